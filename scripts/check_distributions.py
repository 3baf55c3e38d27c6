"""Look into built wheels and sdists: all that must ship is there, nothing else, and the page on PyPI stands alone."""

from __future__ import annotations

import argparse
import re
import sys
import tarfile
import zipfile
from email.parser import Parser
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

NEEDED = {
    "audiogram": ("py.typed", "cli.py", "filters/attenuation.py", "corpus/mask.py"),
    "whisperprobe": (
        "py.typed", "cli.py", "report/templates/page.html.j2", "report/templates/page.css", "report/templates/start.js",
        "demo/study.toml", "demo/pronunciations.csv", "demo/model/config.json", "demo/model/model.safetensors",
        "demo/model/tokenizer.json",
        "demo/speech/data/test-*.parquet", "demo/speech/data/train-*.parquet",
    ),
}  # fmt: skip
BESIDE = ("LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "PKG-INFO")  # of an sdist
UNWANTED = (
    "*/__pycache__/*", "*.pyc", "*.nbi", "*.nbc", "*.so", "*/tests/*", "*/test_*.py", "*/conftest.py",
    "*/.pytest_cache/*", "*/.ipynb_checkpoints/*", "*~", "*.orig", "*.swp", "*/.env*",
)  # fmt: skip
LARGEST = 10_000_000  # bytes; PyPI takes ten times that


def problems_of_wheel(path: Path) -> list[str]:
    """What is wrong with a wheel; empty where nothing is."""
    with zipfile.ZipFile(path) as wheel:
        names = wheel.namelist()
        (information,) = {name.split("/")[0] for name in names if ".dist-info/" in name}
        metadata = wheel.read(f"{information}/METADATA").decode()
    package = information.split("-")[0]
    found = _missing(names, [f"{package}/{one}" for one in NEEDED[package]])
    found += _missing(names, [f"{information}/licenses/LICENSE"])
    found += [
        f"{name} is neither of {package} nor metadata"
        for name in names
        if name.split("/")[0] not in (package, information)
    ]
    return _named(path, found + _unwanted(names) + _too_large(path) + problems_of_metadata(metadata))


def problems_of_sdist(path: Path) -> list[str]:
    """What is wrong with an sdist; empty where nothing is."""
    with tarfile.open(path) as sdist:
        names = [member.name for member in sdist if member.isfile()]
        (folder,) = {name.split("/")[0] for name in names}
        metadata = sdist.extractfile(f"{folder}/PKG-INFO")
        assert metadata is not None
        said = metadata.read().decode()
    package = folder.split("-")[0]
    needed = [*(f"{folder}/{one}" for one in BESIDE), *(f"{folder}/{package}/{one}" for one in NEEDED[package])]
    return _named(path, _missing(names, needed) + _unwanted(names) + _too_large(path) + problems_of_metadata(said))


def problems_of_metadata(metadata: str) -> list[str]:
    """What is wrong with the metadata and the README in it, which PyPI shows without the repository around it."""
    message = Parser().parsestr(metadata)
    page = str(message.get_payload())
    prose = re.sub(r"```.*?```|`[^`]*`", "", page, flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"", prose)
    found = [f"the README links to {''.join(link)}, which PyPI has not" for link in links if "://" not in "".join(link)]
    needed = ("Summary", "License-Expression", "Requires-Python", "Author", "Keywords")
    found += [f"the metadata has no {key}" for key in needed if not message.get(key)]
    if message.get("Description-Content-Type") != "text/markdown":
        found.append("the README is not said to be Markdown")
    if len(page.strip()) < 500:
        found.append("there is no README")
    return found


def _missing(names: list[str], needed: list[str]) -> list[str]:
    return [f"{one} is missing" for one in needed if not any(fnmatch(name, one) for name in names)]


def _unwanted(names: list[str]) -> list[str]:
    return [
        f"{name} must not ship" for name in names if any(fnmatch(f"/{PurePosixPath(name)}", one) for one in UNWANTED)
    ]


def _too_large(path: Path) -> list[str]:
    size = path.stat().st_size
    return [f"has {size} bytes, more than {LARGEST}"] if size > LARGEST else []


def _named(path: Path, found: list[str]) -> list[str]:
    return [f"{path.name}: {one}" for one in found]


def main() -> int:
    """Check every distribution in a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where wheels and sdists of both packages are")
    folder = parser.parse_args().folder
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    found = [f"{folder}: no {kind} of {name}" for kind, paths in (("wheel", wheels), ("sdist", sdists))
             for name in NEEDED if not any(path.name.startswith(f"{name}-") for path in paths)]  # fmt: skip
    found += [one for path in wheels for one in problems_of_wheel(path)]
    found += [one for path in sdists for one in problems_of_sdist(path)]
    sizes = ", ".join(f"{path.name} {path.stat().st_size / 1e6:.1f} MB" for path in (*wheels, *sdists))
    print("\n".join(found) or f"complete, and nothing besides: {sizes}")  # noqa: T201
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
