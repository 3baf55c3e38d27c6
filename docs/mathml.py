"""Formulas as MathML, made while the pages are built: browsers draw it and screen readers read it, without a script.

Sphinx's own renderer loads MathJax from the network. The translation is docutils', which is here anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

_log = logging.getLogger(__name__)


def _drawn(translator: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula; one that cannot be translated stays TeX, with a warning."""
    is_block = isinstance(node, nodes.math_block)
    tag = "div" if is_block else "span"
    translator.body.append(translator.starttag(node, tag, "", CLASS="math notranslate nohighlight"))
    try:
        translator.body.append(tex2mathml(node.astext(), as_block=is_block))
    except MathError as error:
        _log.warning("formula %r is not translated: %s", node.astext(), error, location=node)
        translator.body.append(translator.encode(node.astext()))
    translator.body.append(f"</{tag}>")
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("mathml", (_drawn, None), (_drawn, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
