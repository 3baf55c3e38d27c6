"""The report: one HTML file that opens offline, with everything it shows inside it."""

from __future__ import annotations

import base64
import importlib.metadata
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.errors import InputError, unknown_name
from whisperprobe.comparison.folds import replace_file
from whisperprobe.comparison.result import Comparison
from whisperprobe.comparison.summary import reference_condition, summarise

if TYPE_CHECKING:
    from audiogram.listening import Condition

__all__ = ["write_report"]

_PACKAGES = ("audiogram", "whisperprobe", "torch", "transformers", "numpy", "pandas", "plotly", "itables")


def write_report(
    comparison: Comparison,
    out_html: str | Path,
    *,
    title: str,
    conditions: Sequence[Condition],
    corpora: Mapping[str, str | Path],
    training: Mapping[str, str | Path] | None = None,
    provenance: Mapping[str, Any] | None = None,
    examples: int = 6,
) -> Path:
    """Write the report of a comparison.

    Parameters
    ----------
    comparison : Comparison
        Probe runs joined clip by clip.
    out_html : path
        The file to write, replaced whole.
    title : str
        Heading of the page.
    conditions : sequence of audiogram.Condition
        The conditions, in the order in which they are shown; those that were probed but are not listed follow.
    corpora : mapping of str to path
        Corpus that each condition's models heard, for the players and spectrograms; may be empty.
    training : mapping of str to path, optional
        Folders of fine-tuned models by label, for the training curves.
    provenance : mapping, optional
        Anything JSON-able that says where the results come from: the resolved study, versions.
    examples : int, default 6
        How many recordings to show, at least 0; fewer where the page would pass 15 MB.

    Returns
    -------
    Path
        `out_html`.

    Raises
    ------
    InputError
        For a corpus of an unknown condition or without the compared clips, a folder without training curves, or a
        negative number of examples.
    WorkError
        If the file cannot be written.
    """
    if isinstance(examples, bool) or not isinstance(examples, int) or examples < 0:
        raise InputError(f"examples={examples!r}; give how many recordings to show, 0 or more.")
    for name in corpora:
        if name not in comparison.conditions:
            raise unknown_name("condition", name, comparison.conditions)
    listed = [c.name for c in conditions if c.name in comparison.conditions]
    order = [*listed, *(c for c in comparison.conditions if c not in listed)]
    reference = reference_condition(order)

    from whisperprobe.report.captions import captioned_figures
    from whisperprobe.report.examples import collect_examples
    from whisperprobe.report.methods import describe_condition, limits, methods_text
    from whisperprobe.report.palette import condition_colours
    from whisperprobe.report.people_section import (
        change_rows,
        listener_rows,
        people_context,
        people_methods,
        sounds_context,
    )
    from whisperprobe.report.tables import matrix_rows, word_columns

    shown = collect_examples(comparison, order, reference, corpora, examples)
    figures = captioned_figures(comparison, order, reference, conditions, training or {})
    table = word_columns(comparison, order)
    listeners = listener_rows(comparison, order)
    given = dict(provenance or {})
    versions = {**_versions(), **{str(k): str(v) for k, v in dict(given.pop("versions", {})).items()}}
    sections = [
        ("found", "What was found", True),
        ("matrix-section", "Who understands what", True),
        ("conditions", "Conditions", bool(conditions)),
        ("listen", "Listen", bool(shown)),
        ("distributions", "Distributions", "distributions" in figures),
        ("words", "Words", True),
        ("listeners", "Listeners", bool(listeners)),
        ("people", "People", comparison.people is not None),
        ("sounds", "Sounds", comparison.sounds is not None),
        ("training", "Training", "training" in figures),
        ("methods", "Methods", True),
        ("provenance", "Provenance", True),
    ]
    return replace_file(
        Path(out_html),
        _render(
            title=title,
            version=versions["whisperprobe"],
            sections=[(anchor, name) for anchor, name, present in sections if present],
            summary=summarise(comparison, order),
            figures=figures,
            word_figures=[name for name in figures if name.startswith("words-")],
            matrix_rows=matrix_rows(comparison, order),
            conditions=[describe_condition(c) for c in conditions],
            limits=limits(conditions),
            colours=condition_colours(order),
            examples=shown,
            table=table,
            table_json=_script_json(table),
            order=order,
            listeners=listeners,
            changes=change_rows(comparison, order),
            people=people_context(comparison, order),
            sounds=sounds_context(comparison, order),
            sound_figures=[name for name in figures if name.startswith("sounds-")],
            methods=[p for p in (*methods_text(comparison, versions), *people_methods(comparison)) if p],
            versions=versions,
            provenance=_provenance(comparison, given),
        ),
    )


def _render(**context: Any) -> str:
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
    environment.filters["emphasise"] = _emphasise
    folder = Path(__file__).parent / "templates"
    bundle = Path(itables.options.dt_bundle)
    return environment.get_template("page.html.j2").render(
        **context,
        themes=_script_json(THEMES),
        css=Markup((folder / "page.css").read_text(encoding="utf-8")),
        js=Markup((folder / "page.js").read_text(encoding="utf-8")),
        plotly_js=Markup(get_plotlyjs()),
        datatables_js=Markup(base64.b64encode(bundle.read_bytes()).decode("ascii")),
        datatables_css=Markup(bundle.with_suffix(".css").read_text(encoding="utf-8")),
    )


def _provenance(comparison: Comparison, given: Mapping[str, Any]) -> list[tuple[str, str]]:
    entries = [(str(name), value) for name, value in given.items()]
    for run in comparison.runs:
        seed = "" if run["seed"] is None else f", seed {run['seed']}"
        entries.append((f"Probe run: {run['model']} hearing {run['condition']}{seed}", run["manifest"]))
    return [(name, json.dumps(value, indent=1, ensure_ascii=False, default=str)) for name, value in entries]


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed as a distribution"
    return found


def _emphasise(sentence: str) -> Any:
    """The sentence with its accuracies in bold, where the eye looks for them, and no line break within a number."""
    from markupsafe import Markup, escape

    text = re.sub(r"(?<=\d) (?=%|bits\b)", "\u00a0", str(escape(sentence)))
    share = r"\d+(?:\.\d+)?\u00a0%"
    return Markup(re.sub(rf"(?<=understood ){share}|{share}(?= under )", r"<strong>\g<0></strong>", text))


def _script_json(value: Any) -> Any:
    """JSON for a script element, in which no text can end the element."""
    from whisperprobe.report.captions import script_safe

    return script_safe(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))
