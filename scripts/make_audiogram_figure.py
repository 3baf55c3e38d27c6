"""Write docs/audiogram.png, the clinical chart of the README and of the page on audiograms."""

from __future__ import annotations

from pathlib import Path

import audiogram as ag

FIGURE = Path(__file__).parents[1] / "docs" / "audiogram.png"

FREQUENCIES = [125, 250, 500, 1000, 2000, 3000, 4000, 6000, 8000]
LISTENER = ag.Listener(
    left=ag.Audiogram(
        FREQUENCIES,
        [45, 45, 50, 50, 60, 75, 85, 95, 100],
        masked=[125, 250, 500, 1000, 2000],
        no_response=[8000],
        bone=ag.Audiogram([250, 500, 1000, 2000, 4000], [10, 15, 20, 40, 65], masked=[250, 500, 1000, 2000, 4000]),
    ),
    right=ag.Audiogram(
        FREQUENCIES,
        [10, 10, 15, 20, 35, 45, 55, 60, 65],
        bone=ag.Audiogram([500, 1000, 2000, 4000], [10, 20, 30, 50]),
    ),
    id="an example",
)


def main() -> None:
    ax = ag.plot_audiogram(LISTENER, speech_banana=True, grades=True)
    ax.figure.savefig(FIGURE, dpi=110, metadata={"Software": None})  # type: ignore[union-attr]


if __name__ == "__main__":
    main()
