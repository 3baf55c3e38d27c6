"""docs/comparison.md: this library beside the package `audiogram` of PyPI and pyclarity."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from comparison.pages import Comparison, ask
from comparison.rows import TOPICS

PEER = "audiogram==0.1.0"
HEADER = ("this library", "audiogram 0.1.0", "pyclarity 0.9")

INTRODUCTION = """\
# This library beside others

Written by `scripts/make_comparison_page.py`; do not edit. Whisper as a listener and discriminative lexicons have
[a page of their own](comparison-listeners.md). Compared are

- **this library**, `audiogram` {ours};
- **[audiogram](https://pypi.org/project/audiogram/) {pypi}** of PyPI, an object model of clinical audiograms, which has
  the same name and is otherwise unrelated;
- **[pyclarity](https://pypi.org/project/pyclarity/) {clarity}**, tools of the Clarity challenges: of it `Audiogram` and
  `Listener` (`clarity.utils.audiogram`), the hearing-loss simulator MSBG (`Ear` and its parts in
  `clarity.evaluator.msbg`) and its approximation in torch, `MSBGHearingModel` (`clarity.predictor.torch_msbg`).

Every answer was checked against the installed packages when the page was written, and is checked again by the tests:
names by introspection, behaviour by running it. A **no** without more words means that none of the package's names
matches the pattern under [What was searched for](#what-was-searched-for). Names are those of all its source: modules,
classes, functions, parameters, fields, variables and texts of one word; {pypi_names:,} in audiogram {pypi},
{clarity_names:,} in pyclarity, of which all of `clarity` and `recipes` was read and not these modules alone. A dash
means that the question does not arise: audiogram {pypi} has nothing to do with sound. Everything ran on a CPU; nothing
here was tried on a GPU.

## Which to choose

For clinical records alone, speech audiometry and aided thresholds among them, without any other package: audiogram
{pypi}. For hearing-aid processing, measures of its quality, or results to stand beside those of the Clarity challenges
to the last digit: pyclarity, whose simulator is the reference for our `msbg`. For filtering speech through losses,
corpora and training: this library.

Where the others do more than this library:

"""

UNNAMED = """
## Named by no answer

Public functions, classes, methods and properties of the others' modules.

"""

SEARCHED = """
## What was searched for

Regular expressions, found anywhere in a name, in any case. Questions that are not here have an answer that was \
probed in every package.

| question | pattern |
| --- | --- |
"""


def install_peer(folder: Path) -> None:
    """Install the package of PyPI into a folder."""
    options = ["--no-deps", "--disable-pip-version-check", "--quiet", "--target", str(folder)]
    done = subprocess.run([sys.executable, "-m", "pip", "install", *options, PEER], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{PEER} cannot be installed; it has to come from a package index.\n{done.stderr}")


def page() -> str:
    """The page in Markdown."""
    with tempfile.TemporaryDirectory() as folder:
        install_peer(Path(folder))
        with ThreadPoolExecutor(2) as pool:
            asked = [
                pool.submit(ask, name, *peer)
                for name, *peer in (("ours",), ("pypi_audiogram", Path(folder)), ("pyclarity",))
            ]
            ours, pypi, clarity = (one.result() for one in asked)
    found = Comparison(TOPICS, HEADER, (ours, pypi, clarity))
    introduction = INTRODUCTION.format(
        ours=ours.version,
        pypi=pypi.version,
        clarity=clarity.version,
        pypi_names=pypi.names,
        clarity_names=clarity.names,
    )
    parts = [introduction, found.better(), found.tables(), UNNAMED, found.unmentioned(), SEARCHED, found.patterns()]
    return "".join(parts)
