"""Names in docstrings lead to their pages: `Probe.from_pretrained` or `audiogram.corpus.open_corpus` in backquotes.

Only names that can mean nothing else: with a dot, a capital or an underscore. `condition` may be an argument.
"""

from __future__ import annotations

import importlib
import inspect
from functools import cache
from typing import TYPE_CHECKING

from docutils import nodes
from generate_pages import MODULES, handed_on, public_names
from sphinx import addnodes
from sphinx.util.docutils import SphinxRole

if TYPE_CHECKING:
    from sphinx.application import Sphinx


@cache
def targets() -> dict[str, str]:
    """Full name of everything public by each way of writing it; the module that stands first in the reference wins."""
    found: dict[str, str] = {}
    for module in MODULES:
        for name in public_names(module):
            thing, full = getattr(importlib.import_module(module), name), f"{module}.{name}"
            if name in handed_on(module):
                continue
            members = [
                member
                for member, value in (vars(thing).items() if inspect.isclass(thing) else ())
                if not member.startswith("_") and (inspect.isroutine(value) or isinstance(value, property))
            ]
            for ending in ("", *(f".{member}" for member in members)):
                short = [f"{name}{ending}"] if ending or name[0].isupper() or "_" in name else []
                for written in (full + ending, f"{module.split('.')[-1]}.{name}{ending}", *short):
                    found.setdefault(written, full + ending)
    return found


class Name(SphinxRole):
    """A name as code; a link where it is public."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Make the node."""
        text = nodes.literal(self.text, self.text, classes=["py"])
        target = targets().get(self.text)
        if target is None:
            return [text], []
        link = addnodes.pending_xref(
            "", text, refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refwarn=True
        )  # fmt: skip
        self.set_source_info(link)
        return [link], []


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_role("name", Name())
    return {"parallel_read_safe": True, "parallel_write_safe": True}
