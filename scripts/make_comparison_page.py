"""Write docs/comparison.md and docs/comparison-listeners.md: our libraries beside others.

    pip install -c constraints.txt -r tests/peers/requirements.txt
    python scripts/make_comparison_page.py

pip installs the package of PyPI that has our name into a folder of its own; every package is asked in a process of its
own (`scripts/comparison`). A claim that is not true of what is installed ends the run with its traceback.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from comparison import page_audiograms, page_listeners

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {"comparison.md": page_audiograms.page, "comparison-listeners.md": page_listeners.page}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=DOCS, help="folder of the pages")
    parser.add_argument("--page", choices=PAGES, help="only this one")
    given = parser.parse_args()
    for name in [given.page] if given.page else PAGES:
        (given.out / name).write_text(PAGES[name](), encoding="utf-8")


if __name__ == "__main__":
    main()
