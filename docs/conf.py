"""Settings of the documentation: sphinx-build -W docs docs/_build."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from myst_nb.core import render
from numpydoc import xref

import audiogram

if TYPE_CHECKING:
    from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

from generate_pages import clashing_files, write_pages  # noqa: E402
from names import targets  # noqa: E402

write_pages(DOCS)  # before autosummary looks for pages to follow
# Commands in tutorials are those of this environment, active or not. Models here are so small that threads only get
# into each other's way: one thread each, and two pages at a time (sphinx-build -j 2).
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "audiogram and whisperprobe"
author = "The audiogram and whisperprobe developers"
project_copyright = "the developers, Apache-2.0"
release = audiogram.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_nb",
    "sphinx_copybutton",
    "sphinx_design",
    "mathml",
    "names",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints", "requirements.txt"]
templates_path = ["_templates"]
root_doc = "index"
default_role = "name"  # `name` in docstrings: code as in Markdown, and a link where it is public
nitpicky = True

myst_enable_extensions = ["colon_fence", "dollarmath", "deflist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
nb_execution_mode = "auto"
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True
nb_output_stderr = "remove"  # progress

autosummary_generate = True
autosummary_filename_map = clashing_files()
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = True  # types that are ours are links
numpydoc_xref_aliases = {name: full for name, full in targets().items() if name[0].isupper() and "." not in name}
numpydoc_xref_ignore = "all"
xref.DEFAULT_LINKS.clear()  # those of Python and NumPy would need their inventories, from the network

html_math_renderer = "mathml"

WITH_PICTURES = ["gallery", *(f"generated/notebooks/{one.stem}" for one in (DOCS.parent / "notebooks").glob("*.ipynb"))]
WITH_WIDE_TABLES = ["comparison", "comparison-listeners"]
html_theme = "pydata_sphinx_theme"
html_title = "audiogram · whisperprobe"
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "secondary_sidebar_items": {"**": ["page-toc"], **{page: [] for page in [*WITH_PICTURES, *WITH_WIDE_TABLES]}},
}
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["style.css"]
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


def name_what_lies_outside(app: Sphinx, page: str, source: list[str]) -> None:
    """Links to the repository's other files work where the pages are read on a forge; here they become names.

    Notebooks are pages here, too.
    """

    def named(match: re.Match[str]) -> str:
        text, target = match.groups()
        return f"`{target}`" if text.strip("`") == target else f"{text} (`{target}` in the repository)"

    source[0] = source[0].replace("](../notebooks/", "](generated/notebooks/")
    source[0] = re.sub(r"(?<!!)\[([^\]]+)\]\(\.\./((?!docs/)[^)\s]+)\)", named, source[0])


RUN_IN = re.compile(re.escape(tempfile.gettempdir()) + r"/tmp\w+")


def joined_streams(outputs: list[Any]) -> list[Any]:
    """One output for all that a cell printed: myst-nb 1.4 breaks the line wherever a program's pipe was read.

    And the corner of a table from pandas, where no heading stands, is no heading; the folder that a page was run in is
    called as a reader's might be.
    """
    kept: list[Any] = []
    streams: dict[str, Any] = {}
    for output in outputs:
        if "text/html" in (data := output.get("data", {})):
            data["text/html"] = "".join(data["text/html"]).replace("<th></th>", "<td></td>")
        if output["output_type"] == "stream" and output["name"] in streams:
            streams[output["name"]]["text"] += output["text"]
            continue
        if output["output_type"] == "stream":
            streams[output["name"]] = output
        kept.append(output)
    for stream in streams.values():
        stream["text"] = RUN_IN.sub("/home/you/lesson", stream["text"])
    return kept


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    render.coalesce_streams = joined_streams
    app.connect("source-read", name_what_lies_outside)
