"""Channels of the three gammatone banks of the Cambridge hearing-loss simulation.

Numbers of the banks that M. A. Stone and B. C. J. Moore made on 19 November 2013 for a sampling rate of 44.1 kHz, as
they stand in pyclarity 0.9 (`clarity/evaluator/msbg/msbg_hparams`). Above 970 Hz centres lie 0.75 times the broadening
apart on the ERB-number scale, counted down from 19,183.5 Hz; below they close up.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TABLES", "Table"]


@dataclass(frozen=True)
class Table:
    """One bank."""

    broadening: float
    """Bandwidth of the channels in normal equivalent rectangular bandwidths."""
    centres: tuple[float, ...]
    """Hz, ascending."""
    advances: tuple[int, ...]
    """Samples at 44.1 kHz, one per centre."""
    high_pass: tuple[float, ...]
    """Hz, of the last channels; the lower ones have no high-pass."""
    sum_db: float
    """By how much the sum of all channels exceeds the input, in dB."""


# fmt: off
TABLES = {
    "mild": Table(
        broadening=1.5,
        centres=(
            72.582, 97.861, 129.449, 168.202, 214.957, 270.521, 335.671, 411.160, 497.732, 596.141, 707.172, 831.673,
            970.571, 1124.908, 1299.105, 1495.717, 1717.629, 1968.096, 2250.793, 2569.866, 2929.998, 3336.470, 3795.246,
            4313.057, 4897.499, 5557.145, 6301.674, 7142.007, 8090.473, 9160.985, 10369.249, 11732.990, 13272.214,
            15009.503, 16970.343, 19183.500,
        ),
        advances=(
            485, 442, 396, 349, 311, 272, 239, 210, 186, 162, 143, 126, 111, 98, 87, 77, 69, 61, 54, 47, 42, 37, 33, 29,
            26, 23, 20, 18, 16, 14, 12, 11, 10, 9, 8, 7,
        ),
        high_pass=(
            91.52, 107.67, 123.82, 150.73, 177.65, 209.95, 253.02, 301.46, 366.06, 436.05, 527.56, 635.23, 769.81,
            925.93, 1114.34, 1335.06, 1598.84, 1900.31, 2239.45, 2605.52, 2976.97, 3294.58,
        ),
        sum_db=5.1336,
    ),
    "moderate": Table(
        broadening=2.0,
        centres=(
            65.827, 95.555, 134.883, 185.570, 249.409, 328.232, 423.940, 538.565, 674.348, 833.830, 1019.956, 1238.682,
            1495.717, 1797.773, 2152.734, 2569.866, 3060.060, 3636.111, 4313.057, 5108.571, 6043.419, 7142.007,
            8433.013, 9950.139, 11732.990, 13828.108, 16290.187, 19183.500,
        ),
        advances=(
            379, 339, 289, 253, 216, 184, 156, 132, 111, 95, 80, 68, 58, 49, 42, 36, 30, 26, 22, 19, 16, 13, 11, 10, 8,
            7, 6, 5,
        ),
        high_pass=(
            123.82, 156.12, 188.42, 236.87, 296.08, 376.83, 473.73, 602.93, 764.43, 968.99, 1227.39, 1550.39, 1943.37,
            2411.72, 2912.37, 3364.56,
        ),
        sum_db=4.9678,
    ),
    "severe": Table(
        broadening=3.0,
        centres=(
            83.318, 133.067, 204.098, 302.165, 434.025, 607.852, 833.830, 1124.908, 1495.717, 1968.096, 2569.866,
            3336.470, 4313.057, 5557.145, 7142.007, 9160.985, 11732.990, 15009.503, 19183.500,
        ),
        advances=(229, 204, 166, 133, 106, 83, 65, 50, 39, 31, 24, 19, 15, 12, 9, 7, 5, 4, 4),
        high_pass=(215.33, 290.70, 398.36, 549.10, 764.43, 1071.28, 1496.56, 2083.34, 2831.62, 3574.51),
        sum_db=4.2404,
    ),
}
# fmt: on
