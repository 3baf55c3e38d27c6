"""From the parts of a report to its text: the templates, the page's own scripts, and the libraries within it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

__all__ = ["emphasise", "render", "script_json", "unbroken"]

_STYLES = ("page.css", "tables.css", "recordings.css", "print.css")
_SCRIPTS = ("data.js", "figures.js", "tables.js", "tokens.js", "recordings.js", "start.js")


def render(**context: Any) -> str:
    """Fill the page's template."""
    import itables.options
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    from whisperprobe.report.palette import THEMES

    environment = Environment(
        loader=PackageLoader("whisperprobe.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["emphasise"] = emphasise
    environment.filters["unbroken"] = unbroken
    environment.filters["script_json"] = script_json
    environment.filters["packed"] = _packed
    folder = Path(__file__).parent / "templates"
    bundle = Path(itables.options.dt_bundle)
    return environment.get_template("page.html.j2").render(
        **context,
        themes=THEMES,
        css=Markup("\n".join((folder / name).read_text(encoding="utf-8") for name in _STYLES)),
        scripts=[Markup((folder / name).read_text(encoding="utf-8")) for name in _SCRIPTS],
        plotly_js=Markup(get_plotlyjs()),
        datatables_js=Markup(base64.b64encode(bundle.read_bytes()).decode("ascii")),
        datatables_css=Markup(bundle.with_suffix(".css").read_text(encoding="utf-8")),
    )


def emphasise(sentence: str) -> Any:
    """The sentence with its accuracies in bold, where the eye looks for them, and no line break within a number."""
    from markupsafe import Markup, escape

    text = unbroken(str(escape(sentence)))
    share = r"\d+(?:\.\d+)?\u00a0%"
    return Markup(re.sub(rf"(?<=understood ){share}|{share}(?= under )", r"<strong>\g<0></strong>", text))


def unbroken(text: str) -> str:
    """The text with no line break between a number and its unit, and within "p < 0.001"; it may be escaped already.

    Examples
    --------
    >>> unbroken("0.7 % of 62 dB HL, p < 0.001").replace("\u00a0", "~")
    '0.7~% of 62~dB~HL, p~<~0.001'
    """
    text = re.sub(r"(?<=\d) (?=(?:%|bits|nats|dB|k?Hz|m?s)(?!\w))", "\u00a0", text)
    text = re.sub(r"(?<=dB) (?=HL|SPL)", "\u00a0", text)
    return re.sub(r"\bp (<|&lt;|=) (?=\d)", "p\u00a0\\1\u00a0", text)


def script_json(value: Any) -> Any:
    """JSON for a script element, in which no text can end the element."""
    from whisperprobe.report.captions import script_safe

    return script_safe(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


def _packed(columns: Any) -> Any:
    """Columns for a script element; base64 has no character that could end it."""
    from markupsafe import Markup

    from whisperprobe.report.packing import pack

    return Markup(pack(columns))
