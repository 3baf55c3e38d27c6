"""The clinical audiogram as a figure.

matplotlib is imported when a figure is asked for. Every function takes the axes to draw in, or makes a figure (which a
notebook shows by itself), and returns the axes; `ax.figure.savefig(...)` writes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from audiogram.errors import InputError
from audiogram.figures import new_figure
from audiogram.intelligibility_tables import PROCEDURES
from audiogram.interchange import ears_of
from audiogram.listener import Listener
from audiogram.measures import GRADES
from audiogram.thresholds import Audiogram

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.path import Path

__all__ = ["plot_audiogram"]

_RIGHT, _LEFT = "#c8102e", "#0057b8"
# Ears whose side is not known (Okabe and Ito 2008, told apart by colour-blind readers too).
_UNKNOWN = ("#222222", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_DASHES = ("-", "--", "-.", ":")
_OCTAVES = (125, 250, 500, 1000, 2000, 4000, 8000)
_HALF_OCTAVES = (750, 1500, 3000, 6000)
_SIZE = 9.0  # of an air-conduction symbol, in points
_ROOMY = 50.0  # points per octave from which there is room for the labels of half octaves


class _Symbols(NamedTuple):
    colour: str
    air: str
    air_masked: str
    bone: str
    bone_masked: str
    arrow: str


# ASHA (1990), Guidelines for audiometric symbols, table 1; bone conduction is < and >, masked [ and ].
_SYMBOLS = {
    "right": _Symbols(_RIGHT, "o", "^", "<", "[", "left"),
    "left": _Symbols(_LEFT, "x", "s", ">", "]", "right"),
}


def plot_audiogram(
    ears: Audiogram | Listener | Iterable[Audiogram | Listener],
    ax: Axes | None = None,
    *,
    speech_banana: bool = False,
    grades: bool = False,
) -> Axes:
    """Clinical audiogram.

    Hearing level downwards from -10 to 120 dB HL, one octave as wide as 20 dB is high, the symbols of ASHA [1]_: right
    ear red O, masked triangle; left ear blue X, masked square; bone conduction < and >, masked [ and ]; an arrow
    downwards where there was no response, and no line to there. Ears whose side is not known are drawn as dots.
    Several listeners are told apart by their ids. In narrow axes half octaves have no labels.

    Parameters
    ----------
    ears : Audiogram, Listener or iterable of them
        What to draw.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default a new figure's.
    speech_banana : bool, default False
        Shade the levels that conversational speech covers: the standard speech spectrum at normal effort, 62 dB SPL,
        from 15 dB below to 15 dB above its level, in dB HL [2]_. What lies above an ear's thresholds in the chart is
        not heard.
    grades : bool, default False
        Mark the grades of hearing loss of the World Health Organization (2021).

    Returns
    -------
    matplotlib.axes.Axes
        The axes drawn in.

    Raises
    ------
    InputError
        For anything else than audiograms and listeners, and for none.

    References
    ----------
    .. [1] American Speech-Language-Hearing Association (1990), Guidelines for audiometric symbols, Asha 32 (suppl. 2).
    .. [2] ANSI S3.5-1997, table 3.

    Examples
    --------
    >>> from audiogram import preset
    >>> ax = plot_audiogram(preset("hfloss"))
    >>> tuple(float(level) for level in ax.get_ylim())
    (120.0, -10.0)
    """
    chosen = ears_of(ears)
    if not chosen:
        raise InputError("there is no audiogram to draw.")
    if ax is None:
        ax = new_figure(6.4, 6.2).add_subplot()
    _chart(ax, chosen)
    if grades:
        _grades(ax)
    if speech_banana:
        _speech_banana(ax)
    named = len(chosen) > 2 or len({ear.ear for ear in chosen}) < len(chosen) or any(not ear.ear for ear in chosen)
    unknown = [ear for ear in chosen if ear.ear is None]
    for i, ear in enumerate(chosen):
        label = f"{ear.name} " if ear.name and named else ""
        if ear.ear is None:
            n = unknown.index(ear)
            colour, dashes = _UNKNOWN[n % len(_UNKNOWN)], _DASHES[n // len(_UNKNOWN) % len(_DASHES)]
            symbols = _Symbols(colour, ".", "D", "<", "[", "left")
            _ear(ax, ear, symbols, dashes, label.strip() or f"ear {i + 1}")
        else:
            dashes = "-" if ear.ear == "right" else "--"
            _ear(ax, ear, _SYMBOLS[ear.ear], dashes, f"{label}{ear.ear}")
    _legend(ax)
    return ax


def _chart(ax: Axes, ears: list[Audiogram]) -> None:
    """Axes, ticks and grid of the clinical form."""
    from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

    every = [one for ear in ears for one in (ear, ear.bone) if one is not None]
    low, high = min(one.frequencies[0] for one in every), max(one.frequencies[-1] for one in every)
    octaves = [f for f in (31.25, 62.5, *_OCTAVES, 16000) if min(low, 125) <= f <= max(high, 8000)]
    least, most = min(min(one.thresholds) for one in every), max(max(one.thresholds) for one in every)
    ax.set_xscale("log", base=2)
    ax.set_xlim(min(low, 125) / 2**0.5, max(high, 8000) * 2**0.5)
    bottom, top = min(-10, 10 * math.floor(least / 10)), max(120, 10 * math.ceil(most / 10))
    ax.set_ylim(top, bottom)
    ax.set_aspect(1 / 20, adjustable="box")  # on a base-2 axis a unit is an octave
    ax.xaxis.set_major_locator(FixedLocator([float(f) for f in octaves]))
    ax.xaxis.set_major_formatter(lambda f, _: f"{f:g}")
    ax.xaxis.set_minor_locator(FixedLocator([float(f) for f in _HALF_OCTAVES]))
    ax.xaxis.set_minor_formatter(lambda f, _: f"{f:g}")
    ax.tick_params(axis="x", which="minor", labelsize=6, labelcolor="0.4", length=2, pad=2)
    if (octave := _octave_width(ax)) < _ROOMY:  # labels would run into one another
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.tick_params(axis="x", which="major", labelsize=max(5.0, octave / 3.5))
    ax.tick_params(axis="x", top=True, labeltop=True, bottom=False, labelbottom=False, which="both")
    ax.xaxis.set_label_position("top")
    ax.yaxis.set_major_locator(FixedLocator(list(range(bottom, top + 1, 10))))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("Frequency (Hz)")
    ax.set_ylabel("Hearing level (dB HL)")
    ax.grid(which="major", color="0.8", linewidth=0.7)
    ax.grid(which="minor", axis="x", color="0.85", linewidth=0.7, linestyle=(0, (2, 3)))
    ax.axhline(0, color="0.45", linewidth=1.0, zorder=1.5)
    ax.set_axisbelow(True)


def _octave_width(ax: Axes) -> float:
    """Width of an octave in points, as wide as 20 dB are high; before a layout, which changes it little."""
    box = ax.get_window_extent()
    (low, high), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    wide, tall = box.width / math.log2(high / low), box.height / (abs(top - bottom) / 20)
    return float(min(wide, tall) * 72 / ax.figure.dpi)


def _ear(ax: Axes, ear: Audiogram, symbols: _Symbols, dashes: str, label: str) -> None:
    for start, stop in _responses(ear):  # no line leads to or from a threshold that was not found
        ax.plot(
            ear.frequencies[start:stop], ear.thresholds[start:stop], color=symbols.colour, linestyle=dashes,
            linewidth=1.2, zorder=3, gid="line", solid_capstyle="round",
        )  # fmt: skip
    _points(ax, ear, symbols.air, symbols.air_masked, symbols, f"{label}, air" if ear.ear or ear.bone else label)
    if ear.bone is not None:
        _points(ax, ear.bone, symbols.bone, symbols.bone_masked, symbols, f"{label}, bone")


def _responses(ear: Audiogram) -> list[tuple[int, int]]:
    """Runs of neighbouring thresholds that were found, as (start, stop)."""
    runs, start = [], 0
    for i, f in enumerate((*ear.frequencies, None)):
        if f is None or f in ear.no_response:
            if i > start:
                runs.append((start, i))
            start = i + 1
    return runs


def _points(ax: Axes, ear: Audiogram, plain: str, masked: str, symbols: _Symbols, label: str) -> None:
    groups = ((plain, False, label), (masked, True, f"{label}, masked"))
    for symbol, is_masked, text in groups:
        at = [(f, t) for f, t in zip(ear.frequencies, ear.thresholds, strict=True) if (f in ear.masked) == is_masked]
        if at:
            _symbols(ax, at, _marker(symbol), symbols.colour, text, filled=symbol in ".D")
        unheard = [(f, t) for f, t in at if f in ear.no_response]
        if unheard:
            beside = -1.0 if symbol in "<[" else 1.0 if symbol in ">]" else 0.0
            _symbols(
                ax, unheard, _arrow(symbols.arrow, beside), symbols.colour, "_no response", scale=_arrow_scale(beside)
            )


def _symbols(
    ax: Axes,
    at: list[tuple[float, float]],
    marker: Any,
    colour: str,
    label: str,
    *,
    filled: bool = False,
    scale: float | None = None,
) -> Line2D:
    beside = not isinstance(marker, str) and scale is None
    size = _SIZE * (scale or (2.0 if beside else 1.0))
    (line,) = ax.plot(
        [f for f, _ in at], [t for _, t in at], linestyle="none", marker=marker, markersize=size, color=colour,
        markerfacecolor=colour if filled else "none", markeredgewidth=1.4, label=label, zorder=4, clip_on=False,
    )  # fmt: skip
    return line


def _marker(symbol: str) -> str | Path:
    """Marker of a symbol; those of bone conduction stand beside the frequency, as on the clinical form."""
    from matplotlib.path import Path

    shapes = {
        "<": [(-0.35, 0.5), (-1.0, 0.0), (-0.35, -0.5)],
        ">": [(0.35, 0.5), (1.0, 0.0), (0.35, -0.5)],
        "[": [(-0.45, 0.5), (-0.9, 0.5), (-0.9, -0.5), (-0.45, -0.5)],
        "]": [(0.45, 0.5), (0.9, 0.5), (0.9, -0.5), (0.45, -0.5)],
    }
    if symbol not in shapes:
        return symbol
    # a marker is scaled by its largest extent, so an unseen point keeps those of bone conduction equally large
    ends = [(1.0, 0.0), *shapes[symbol]]
    return Path(ends, [Path.MOVETO, Path.MOVETO, *[Path.LINETO] * (len(ends) - 2)])


def _arrow(side: str, beside: float) -> Path:
    """Arrow from a symbol's lower corner, downwards to the given side; `beside` as the symbol stands."""
    from matplotlib.path import Path

    to = -1.0 if side == "left" else 1.0
    x, y = 0.5 * to + 0.7 * beside, -0.5
    tip = (x + 1.1 * to, y - 1.1)
    shape = [(x, y), tip, (tip[0] - 0.6 * to, tip[1] + 0.1), tip, (tip[0] - 0.1 * to, tip[1] + 0.6)]
    return Path(shape, [Path.MOVETO, Path.LINETO, Path.MOVETO, Path.LINETO, Path.LINETO])


def _arrow_scale(beside: float) -> float:
    """Size that draws an arrow in the units of the symbols: a marker is scaled by its largest coordinate."""
    return 2 * max(1.6, 1.6 + 0.7 * abs(beside))


def _grades(ax: Axes) -> None:
    lowest = min(ax.get_ylim())
    for i, (below, name) in enumerate((*GRADES, (math.inf, "complete"))):
        top = min(below, max(ax.get_ylim()))
        ax.axhspan(lowest, top, color="0.35", alpha=0.03 + 0.028 * i, linewidth=0, zorder=0.5, gid="grade")
        ax.annotate(
            name.replace("moderately ", "moderately\n"), (1.01, (lowest + top) / 2), xycoords=("axes fraction", "data"),
            fontsize=8, color="0.3", va="center",
        )  # fmt: skip
        lowest = top


def _speech_banana(ax: Axes) -> None:
    bands = PROCEDURES["third-octave"]
    level = bands.speech["normal"] - bands.internal_noise  # the internal noise is where 0 dB HL lies
    ax.fill_between(
        bands.centres, level - 15, level + 15, color="#f2c94c", alpha=0.45, linewidth=0, zorder=1, label="speech",
        gid="speech",
    )  # fmt: skip


def _legend(ax: Axes) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if not handles:
        return
    ax.legend(
        handles, labels, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=min(3, len(labels)), frameon=False,
        fontsize=8, columnspacing=1.4, handletextpad=0.8, labelspacing=0.7,
    )  # fmt: skip
