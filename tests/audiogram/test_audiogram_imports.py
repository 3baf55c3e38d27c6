"""What importing costs: nothing heavy until it is used, and compiled code wherever it can be kept."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import audiogram

HEAVY = ("torch", "datasets", "matplotlib", "numba", "scipy.fft", "pyarrow", "pandas", "soundfile", "soxr", "rich")


def python(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import audiogram",
        "import audiogram; audiogram.list_filters()",
        "import audiogram; audiogram.preset('hfloss').at([750]); audiogram.preset('hfloss').grade()",
        "import audiogram; audiogram.condition('hfloss').to_dict()",
        "from audiogram.console import run_app; from audiogram.cli import app; run_app(app, ['--help'])",
    ],
    ids=["import", "list_filters", "audiogram", "condition", "--help"],
)
def test_nothing_heavy_is_imported(code):
    out = python(f"{code}\nimport sys; print([m for m in {HEAVY!r} if m in sys.modules])")
    assert out.splitlines()[-1] == "[]"


def test_filtering_numpy_arrays_imports_no_torch():
    code = (
        "import sys, numpy, audiogram\n"
        "audiogram.apply_conditions(numpy.ones(3000), 16000, ['hfloss'])\n"
        "print('torch' in sys.modules)"
    )
    assert python(code) == "False"


def test_the_public_surface_is_there():
    for name in audiogram.__all__:
        assert getattr(audiogram, name) is not None
    assert set(audiogram.__all__) <= {*dir(audiogram), "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'presest'"):
        audiogram.presest  # noqa: B018


@pytest.fixture
def copied(tmp_path):
    """A copy of the package without compiled code, which can be made read-only."""
    source = Path(audiogram.__file__).parent
    copy = tmp_path / "site" / "audiogram"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
    return copy


FILTER = (
    "import numpy, audiogram; from audiogram.filters.attenuation import Attenuation\n"
    "y = Attenuation(audiogram.preset('hfloss'), sample_rate=16000, n_fft=256, hop_length=64)(numpy.ones(300))\n"
    "from audiogram.kernels import stft_frames as k\n"
    "print(audiogram.__file__, sum(k.cut_pairs.stats.cache_hits.values()), y.sum())"
)


def test_compiled_code_is_kept_for_later_processes(copied, tmp_path):
    environment = {"PYTHONPATH": str(copied.parent), "HOME": str(tmp_path / "home")}
    first, second = (python(FILTER, **environment).split() for _ in range(2))
    assert first[0].startswith(str(copied))
    assert (int(first[1]), int(second[1])) == (0, 1)
    assert first[2] == second[2]


def test_a_read_only_installation_without_a_home_works(copied, tmp_path):
    # a plain file stands where a cache folder would be made, which stops root as well as anybody
    (copied / "kernels" / "__pycache__").write_text("")
    (tmp_path / "nowhere").write_text("")
    environment = {
        "PYTHONPATH": str(copied.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": str(tmp_path / "nowhere"),
        "XDG_CACHE_HOME": str(tmp_path / "nowhere"),
        "NUMBA_CACHE_DIR": "",
    }
    where, hits, _sum = python(FILTER, **environment).split()
    assert where.startswith(str(copied))
    assert int(hits) == 0
