"""Write docs/cross_condition.png, the README's figure, from a finished demo.

whisperprobe demo --out demo
python scripts/make_matrix_figure.py demo
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from whisperprobe.comparison import load_comparison
from whisperprobe.report import matrix_figure

FIGURE = Path(__file__).parents[1] / "docs" / "cross_condition.png"


def main() -> None:
    comparison = load_comparison(Path(sys.argv[1]) / "comparison")
    models = tuple(m for m in comparison.models if comparison.listener(m) == "whisper")  # the others have no surprisal
    clips = comparison.clips[comparison.clips["model"].isin(models)]
    figure = matrix_figure(dataclasses.replace(comparison, clips=clips, models=models))
    figure.savefig(FIGURE, metadata={"Software": None})


if __name__ == "__main__":
    main()
