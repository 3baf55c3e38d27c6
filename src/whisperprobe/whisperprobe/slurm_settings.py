"""A person's settings on a cluster, `cluster/.env.local`: read as bash reads it, and checked before submission."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from audiogram.errors import InputError

__all__ = ["ClusterSettings", "read_settings"]

_NEEDED = {
    "PROJECT_ROOT": "the folder of this repository",
    "RESULTS_DIR": "a folder for results that all nodes see",
    "ACTIVATE": "what makes `whisperprobe` a command, e.g. 'source /path/of/yours/.venv/bin/activate'",
}
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD", re.IGNORECASE)
_HINT = "Copy .env.template there to .env.local and fill it in; cluster/README.md says how."


@dataclass(frozen=True)
class ClusterSettings:
    """What `.env.local` says.

    Attributes
    ----------
    folder : Path
        The folder of the recipes.
    values : mapping of str to str
        Its variables, tokens left out.
    """

    folder: Path
    values: Mapping[str, str]

    @property
    def results(self) -> Path:
        """Where studies are written."""
        return Path(self.values["RESULTS_DIR"])

    def whose(self) -> dict[str, str]:
        """Account, partition and qos, where given."""
        given = {name: self.values.get(f"SBATCH_{name.upper()}", "") for name in ("account", "partition", "qos")}
        return {name: value for name, value in given.items() if value}

    def resources(self, recipe: str) -> dict[str, str]:
        """What the settings say of a recipe: options of sbatch, and ``tasks`` and ``at-once``."""
        start = f"{recipe.upper()}_"
        found = {name.removeprefix(start): v for name, v in self.values.items() if name.startswith(start) and v}
        return {name.lower().replace("_", "-"): value for name, value in found.items()}


def read_settings(folder: str | Path | None = None) -> ClusterSettings:
    """Find the recipes' folder, read its `.env.local` and check it.

    Parameters
    ----------
    folder : path, optional
        The folder of the recipes; default ``cluster`` in the current folder, or the current folder itself.

    Returns
    -------
    ClusterSettings

    Raises
    ------
    InputError
        No recipes, no settings, a value that is missing or still the template's, a folder that is not there.
    """
    where = _recipes(folder)
    file = where / ".env.local"
    if not file.is_file():
        raise InputError(f"there is no {file}. {_HINT}")
    values = _read(file)
    for name, what in _NEEDED.items():
        if not values.get(name):
            raise InputError(f"{file} gives no {name}: {what}. {_HINT}")
    for name, value in values.items():
        if "/path/to/" in value or "/path/with/" in value:
            raise InputError(
                f"{file} leaves {name} as the template has it. Give {_NEEDED.get(name, 'a path of yours')}."
            )
    for name in ("PROJECT_ROOT", "RESULTS_DIR"):
        if not Path(values[name]).is_absolute():
            raise InputError(f"{file}: {name}={values[name]} is not absolute; jobs start in other folders.")
        if not Path(values[name]).is_dir():
            raise InputError(f"{file}: {name}={values[name]} is no folder. Make it, or correct the path.")
    _check_activation(file, values)
    return ClusterSettings(where, values)


def _recipes(folder: str | Path | None) -> Path:
    tried = [Path(folder)] if folder is not None else [Path("cluster"), Path()]
    for one in tried:
        if (one / "common.sh").is_file():
            return one.absolute()
    raise InputError(
        f"no recipes in {' or '.join(str(one.absolute()) for one in tried)} (no common.sh there). Start from the "
        f"repository's folder, or name its folder cluster with --cluster."
    )


def _read(file: Path) -> dict[str, str]:
    """Have bash read the file; return what it set. Errors name the line only: values may be secret."""
    try:
        text = file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read ({_why(error)}). It is a text file of yours, in UTF-8.") from None
    if "\r" in text:
        raise InputError(
            f"{file} has line ends of Windows, which bash reads into the values. Run: sed -i 's/\\r//' {file}"
        )
    own = set(re.findall(r"^\s*(?:export\s+)?(\w+)=", text, re.MULTILINE)) - {"PATH", "HOME", "USER"}
    # the shell's other variables are there as in a job: RESULTS_DIR=$SCRATCH/results
    plain = {name: value for name, value in os.environ.items() if name not in own}
    script = 'set -eu; set -a; source "$1" >&2; env -0'
    ended = subprocess.run(["bash", "-c", script, "bash", str(file)], env=plain, capture_output=True)
    if ended.returncode != 0:
        said = os.fsdecode(ended.stderr)
        line, unset = re.search(r"line (\d+)", said), re.search(r"line \d+: (\w+): unbound variable", said)
        remedy = (
            f"{unset[1]} is not set in this shell; write the value itself."
            if unset
            else "Write NAME=value without spaces around the =, and put values with spaces in 'quotes'."
        )
        raise InputError(f"bash cannot read {file}{f', line {line[1]}' if line else ''}. {remedy}")
    pairs = (entry.partition("=") for entry in os.fsdecode(ended.stdout).split("\0") if entry)
    kept = {name: value for name, _, value in pairs if plain.get(name) != value and name not in ("_", "PWD", "SHLVL")}
    return {name: value for name, value in kept.items() if not _SECRET.search(name)}


def _why(error: OSError | UnicodeDecodeError) -> str | None:
    return error.strerror if isinstance(error, OSError) else error.reason


def _check_activation(file: Path, values: Mapping[str, str]) -> None:
    """Try it as a job does: in the folder of the recipes, with the file's variables."""
    call = ["bash", "-c", 'eval "$ACTIVATE" && command -v whisperprobe']
    ended = subprocess.run(call, cwd=file.parent, env={**os.environ, **values}, capture_output=True, text=True)
    if ended.returncode != 0:
        said = ended.stderr.strip().splitlines()
        raise InputError(
            f"{file}: with ACTIVATE there is no command whisperprobe{f' ({said[-1]})' if said else ''}. Try that line "
            f"in a new shell, with whole paths: jobs start in {file.parent}. Was the package installed into that "
            f"environment?"
        )
