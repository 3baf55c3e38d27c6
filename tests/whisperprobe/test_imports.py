"""What importing costs and says: nothing heavy, every public name, and the unrelated package called audiogram."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = (
    "audiogram", "audiogram.corpus", "whisperprobe", "whisperprobe.comparison", "whisperprobe.probing",
    "whisperprobe.report", "whisperprobe.training",
)  # fmt: skip


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_loads_and_unknown_ones_are_refused(name: str) -> None:
    package = importlib.import_module(name)
    for public in package.__all__:
        assert getattr(package, public) is not None
    assert set(package.__all__) - {"__version__"} == set(dir(package))
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = package.no_such_name


def test_importing_whisperprobe_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "datasets", "pandas", "pyarrow", "matplotlib", "plotly", "scipy", "numba")
    code = f"import sys, whisperprobe, whisperprobe.cli; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_unrelated_package_called_audiogram_is_named(tmp_path: Path) -> None:
    foreign = tmp_path / "audiogram"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("__version__ = '0.1.0'\n", encoding="utf-8")
    for use in ("from whisperprobe import Probe", "import whisperprobe; whisperprobe.log_mel"):
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {use}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "pip uninstall audiogram" in done.stderr
