"""docs/comparison.md is what its generator writes with the packages that it speaks of.

The package of PyPI that has our name cannot stand beside ours: pip installs it into a folder of its own, for which the
package index has to be within reach.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_page_is_what_the_installed_packages_say(tmp_path):
    written = tmp_path / "comparison.md"
    command = [sys.executable, ROOT / "scripts" / "make_comparison_page.py", "--out", written]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    committed = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    assert written.read_text(encoding="utf-8") == committed, "run scripts/make_comparison_page.py and read what is new"
