"""docs/comparison*.md are what their generator writes with the packages that they speak of.

The package of PyPI that has our name cannot stand beside ours: pip installs it into a folder of its own, for which the
package index has to be within reach. JudiLing.jl is not run: what was read of it is repeated.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["comparison.md", "comparison-listeners.md"])
def test_the_page_is_what_the_installed_packages_say(page, tmp_path):
    command = [sys.executable, ROOT / "scripts" / "make_comparison_page.py", "--page", page, "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    assert done.returncode == 0, done.stderr
    committed = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert (tmp_path / page).read_text(encoding="utf-8") == committed, "run scripts/make_comparison_page.py"
