"""Every public name has a complete numpydoc docstring: python docs/check_docstrings.py; exit code 1 and a list if not.

Functions: a summary, every parameter, what is returned or yielded, `Raises` where they raise `InputError` themselves.
Classes: the same for their parameters, or `Attributes` where the library makes them and users read them. Their public
methods and properties: a docstring.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from numpydoc.docscrape import ClassDoc, FunctionDoc
from numpydoc.validate import validate

sys.path.insert(0, str(Path(__file__).parent))
from generate_pages import MODULES, handed_on, public_names

DOCUMENTED = {"GL08", "SS01"}  # a docstring, with a summary
COMPLETE = DOCUMENTED | {"PR01", "PR02", "PR07", "RT01", "YD01", "GL07"}  # parameters, returns, order
REFUSALS = {"InputError", "unknown_name"}


def refuses_itself(function: Any) -> bool:
    """Whether a function's own body raises `InputError`."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return any(isinstance(one.func, ast.Name) and one.func.id in REFUSALS for one in raised)


def problems(module: str, name: str) -> Iterator[str]:
    """What a public name's docstring lacks."""
    thing = getattr(importlib.import_module(module), name)
    if not callable(thing):
        return  # a constant; its comment is in the source
    is_class = inspect.isclass(thing)
    # A number that bears a bound has the signature of float; exceptions take their text; what the library makes itself
    # has attributes to read.
    only_read = is_class and (
        issubclass(thing, float | BaseException)
        or (ClassDoc(thing)["Attributes"] and not ClassDoc(thing)["Parameters"])
    )
    wanted = DOCUMENTED if only_read else COMPLETE
    yield from (f"{module}.{name}: {text}" for code, text in validate(f"{module}.{name}")["errors"] if code in wanted)
    if not is_class and refuses_itself(thing):
        said = {entry.type for entry in FunctionDoc(thing)["Raises"]}
        if "InputError" not in said:
            yield f"{module}.{name}: raises InputError, which its section Raises does not say"
    if is_class:
        for member, value in vars(thing).items():
            if not member.startswith("_") and (inspect.isroutine(value) or isinstance(value, property)):
                found = validate(f"{module}.{name}.{member}")["errors"]
                yield from (f"{module}.{name}.{member}: {text}" for code, text in found if code in DOCUMENTED)


def main() -> int:
    """Check everything and print what is missing."""
    names = [(m, name) for m in MODULES for name in public_names(m) if name not in handed_on(m)]
    found = [problem for module, name in names for problem in problems(module, name)]
    sys.stdout.write("\n".join([*found, f"{len(names)} public names, {len(found)} problems"]) + "\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
