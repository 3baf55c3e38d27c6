"""Whether a tag and what was built for it go together: versions, changelogs, citation. For the release workflow."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("audiogram", "whisperprobe")


def problems(tag: str, distributions: list[str], root: Path = ROOT) -> list[str]:
    """What is wrong with releasing these distributions, given by the names of their files, under a tag."""
    if not re.fullmatch(r"v\d+\.\d+\.\d+((a|b|rc)\d+)?", tag):
        return [f"the tag {tag!r} is no version: v1.2.3, or v1.2.3rc1 for a candidate"]
    version = tag[1:]
    found = []
    for name in PACKAGES:
        expected = {f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.tar.gz"}
        built = {one for one in distributions if one.startswith(f"{name}-")}
        if built != expected:
            said = ", ".join(sorted(built)) or "nothing"
            found.append(
                f"{tag} needs {' and '.join(sorted(expected))}, but {said} was built: set __version__ of {name}"
            )
        newest = re.search(
            r"^## (.*)$", (root / "src" / name / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
        )
        heading = newest[1] if newest else "nothing"
        if "rc" not in version and not re.fullmatch(rf"{re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heading):
            found.append(f"the changelog of {name} begins with {heading!r}; a release is '{version} (YYYY-MM-DD)'")
    cited = re.search(r"^version: (.*)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    if cited is None or cited[1].strip("\"' ") != version:
        found.append(f"CITATION.cff has version {cited[1] if cited else 'none'}; it is {version} that will be cited")
    return found


def main() -> int:
    """Say what stands in the way of a release; exit code 1 where anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag", help="the tag, e.g. v1.0.0")
    parser.add_argument("folder", type=Path, help="where wheels and sdists of both packages are")
    given = parser.parse_args()
    found = problems(given.tag, sorted(path.name for path in given.folder.iterdir()))
    print("\n".join(found) or f"{given.tag}: wheels, sdists, changelogs and citation agree")  # noqa: T201
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
