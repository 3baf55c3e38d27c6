"""Claims about a package, and how they are held to the package that is installed.

A claim has a verdict, names that are looked up by introspection, and a function that probes behaviour: it asserts what
the claim says and may return a few words for the page. A question without a claim is answered "no", and that answer is
held to the package's source: none of the names in it, read from every module, matches the question's pattern.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.metadata
import inspect
import io
import json
import pkgutil
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

Verdict = Literal["yes", "partly", "no", "none", "fact"]
Probe = Callable[[], str | None]


@dataclass(frozen=True)
class Finding:
    """An answer: `none` where the question does not arise, `fact` where no answer is better than another."""

    verdict: Verdict
    names: tuple[str, ...] = ()
    says: str = ""

    def cell(self) -> str:
        """The answer as a cell of a table in Markdown."""
        verdict = {"fact": "", "none": "–"}.get(self.verdict, f"**{self.verdict}**")
        names = ", ".join(f"`{name}`" for name in self.names)
        text = ": ".join(part for part in (names, self.says) if part)
        return " ".join(part for part in (verdict, text) if part).replace("|", r"\|")


class Claims:
    """The claims about one distribution.

    Parameters
    ----------
    distribution : str
        Its name.
    packages : sequence of str
        Its import packages or single modules, whose source is read for names.
    search : sequence of str
        Modules, or classes as `module:Class`, in which the first part of a name is looked for.
    listed : sequence of str, optional
        Modules whose names are listed where no answer has them; default, those of `search`.
    """

    def __init__(
        self,
        distribution: str,
        packages: Sequence[str],
        search: Sequence[str],
        listed: Sequence[str] | None = None,
    ) -> None:
        self.distribution, self.packages, self.search = distribution, packages, search
        self.listed = search if listed is None else listed
        self.top = packages[0].partition(".")[0]
        self.probes: dict[str, tuple[Verdict, tuple[str, ...], Probe]] = {}

    def __call__(self, row: str, verdict: Verdict, *names: str) -> Callable[[Probe], Probe]:
        """Decorate the probe of a claim: the question, its answer, and names such as `Audiogram.at(interpolation)`."""
        assert verdict in get_args(Verdict), verdict
        assert row not in self.probes, f"two claims on {row!r}"

        def keep(probe: Probe) -> Probe:
            self.probes[row] = (verdict, names, probe)
            return probe

        return keep

    def idle(self, *rows: str) -> None:
        """Say of questions that they do not arise, since another's answer is "no"."""
        for row in rows:
            self(row, "none")(lambda: None)

    def find(self, row: str, pattern: str) -> Finding:
        """Run the claim on a question; without one, look for the pattern in all names."""
        if row not in self.probes:
            self._assert_unnamed(row, pattern)
            return Finding("no")
        verdict, names, probe = self.probes[row]
        for name in names:
            self.look_up(name)
        quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
        with warnings.catch_warnings(), quiet[0], quiet[1]:
            warnings.simplefilter("ignore")  # a probe that is about warnings records them itself
            says = probe()
        if verdict == "no" and not says and not names:
            self._assert_unnamed(row, pattern)
        return Finding(verdict, names, says or "")

    def _assert_unnamed(self, row: str, pattern: str) -> None:
        """That a plain "no" is true."""
        assert pattern, f"{self.distribution}: {row!r} needs a claim, there is nothing to look for"
        found = sorted(name for name in self.vocabulary() if re.search(pattern, name, re.IGNORECASE))
        assert not found, f"{self.distribution}: {row!r} needs a claim, names match: {', '.join(found[:8])}"

    def look_up(self, name: str) -> Any:
        """Object of a name; the parameters in its brackets are those of its signature."""
        path, _, inside = name.partition("(")
        first, *rest = path.split(".")
        value: Any = next((getattr(m, first) for m in self.modules() if hasattr(m, first)), None)
        if value is None:
            value = importlib.import_module(f"{self.top}.{first}")
        for part in rest:
            if isinstance(value, ModuleType) and not hasattr(value, part):
                value = importlib.import_module(f"{value.__name__}.{part}")
            elif part in getattr(value, "__dataclass_fields__", {}):
                value = value.__dataclass_fields__[part]
            else:
                value = getattr(value, part)
        for parameter in filter(None, inside.removesuffix(")").split(", ")):
            assert _takes(value, parameter), f"{path} has no parameter {parameter}"
        return value

    def modules(self) -> list[Any]:
        """The modules and classes of `search`."""
        return [pkgutil.resolve_name(name) for name in self.search]

    def vocabulary(self) -> frozenset[str]:
        """Every name in the distribution's source; see `names_in`."""
        if not hasattr(self, "_vocabulary"):
            roots = [_source(importlib.import_module(one)) for one in self.packages]
            self._vocabulary = frozenset(name for root in roots for name in names_in(root))
        return self._vocabulary

    def unmentioned(self, findings: Iterable[Finding]) -> list[str]:
        """Public names in the modules of `listed` that no finding mentions."""
        said = {re.split(r"[(]", name)[0] for one in findings for name in one.names}
        modules = [importlib.import_module(name) for name in self.listed]
        known = [name for module in modules for name in _operations(module, self.top)]
        return sorted(name for name in set(known) if name not in said and name.rpartition(".")[-1] not in said)

    def report(self, rows: Iterable[tuple[str, str]]) -> str:
        """All findings as JSON, for `(question, pattern)` pairs."""
        findings = {row: self.find(row, pattern) for row, pattern in rows}
        version = importlib.metadata.version(self.distribution)
        plain = {row: [one.verdict, list(one.names), one.says] for row, one in findings.items()}
        unmentioned = self.unmentioned(findings.values())
        return json.dumps(
            {"version": version, "names": len(self.vocabulary()), "findings": plain, "unmentioned": unmentioned}
        )


def _takes(value: Any, parameter: str) -> bool:
    """Whether something has a parameter; a class that takes any keyword has those that it keeps."""
    known = inspect.signature(value).parameters
    keeps = inspect.isclass(value) and any(one.kind is one.VAR_KEYWORD for one in known.values())
    return parameter in known or (keeps and parameter in vars(value()))


def names_in(root: Path) -> Iterator[str]:
    """Every name that a source file, or the source below a folder, gives something.

    Modules, classes, functions, their parameters and annotated fields, what is assigned to a name or an attribute, and
    texts of one word, which are keys, columns and values of options; nothing is imported for it.
    """
    for path in [root] if root.is_file() else sorted(root.rglob("*.py")):
        yield path.stem
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                yield node.name
            elif isinstance(node, ast.arg):
                yield node.arg
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield node.attr
            elif isinstance(node, ast.Constant) and re.fullmatch(r"'[\w-]{2,40}'", repr(node.value)):
                yield str(node.value)


def _source(module: ModuleType) -> Path:
    """Folder of a package, or file of a module."""
    return Path(module.__path__[0] if hasattr(module, "__path__") else module.__file__ or "")


def _operations(module: ModuleType, package: str) -> Iterator[str]:
    """Public functions and classes of a module, and methods and properties of its classes."""
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    for name in names:
        value = getattr(module, name)
        if not (inspect.isclass(value) or inspect.isfunction(value)) or not value.__module__.startswith(package):
            continue
        if not hasattr(module, "__all__") and value.__module__ != module.__name__:
            continue
        yield name
        if inspect.isclass(value):
            for attribute, member in vars(value).items():
                plain = getattr(member, "__func__", member)
                if not attribute.startswith("_") and (inspect.isfunction(plain) or isinstance(member, property)):
                    yield f"{name}.{attribute}"
