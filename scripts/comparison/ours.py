"""All claims about this library; `python -m comparison.ours` prints the findings as JSON."""

from __future__ import annotations

import sys

from comparison import ours_filters  # noqa: F401  adds its claims
from comparison.ours_audiograms import claim
from comparison.rows import ROWS

if __name__ == "__main__":
    sys.stdout.write(claim.report((row.id, row.pattern) for row in ROWS))
