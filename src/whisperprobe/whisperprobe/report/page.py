"""The report: one HTML file that opens offline, with everything it shows inside it."""

from __future__ import annotations

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
    from whisperprobe.report.sources import SoundSource

__all__ = ["write_report"]

_PACKAGES = ("audiogram", "whisperprobe", "torch", "transformers", "numpy", "pandas", "plotly", "itables")


def write_report(
    comparison: Comparison,
    out_html: str | Path,
    *,
    title: str,
    conditions: Sequence[Condition],
    corpora: Mapping[str, SoundSource],
    training: Mapping[str, str | Path] | None = None,
    provenance: Mapping[str, Any] | None = None,
    examples: int = 6,
    description: str = "",
) -> Path:
    """Write the report of a comparison.

    Parameters
    ----------
    comparison : Comparison
        Probe runs joined clip by clip. Tokens are read from the runs' folders, where these are still there.
    out_html : path
        The file to write, replaced whole.
    title : str
        Heading of the page.
    conditions : sequence of audiogram.Condition
        The conditions, in the order in which they are shown; those that were probed but are not listed follow.
    corpora : mapping of str to path or HeardThrough
        What each condition's models heard, for the players and spectrograms: a corpus, or one and the condition that
        it is heard through; may be empty.
    training : mapping of str to path, optional
        Folders of fine-tuned models by label, for the training curves and the methods.
    provenance : mapping, optional
        Anything JSON-able that says where the results come from: the resolved study, versions.
    examples : int, default 6
        How many telling recordings to show unasked, at least 0; fewer where the page would pass 15 MB. Others can be
        looked up, as many as fit.
    description : str, optional
        What the study is about, which the runs do not record: whose speech, how it was divided, what the model is.
        Shown under the heading; an empty line begins a paragraph.

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
    from whisperprobe.report.citation import citations
    from whisperprobe.report.lexicon_methods import lexicon_methods
    from whisperprobe.report.limits import limits
    from whisperprobe.report.methods import conditions_table, methods_text, training_table
    from whisperprobe.report.palette import condition_colours
    from whisperprobe.report.people_section import (
        change_table,
        listeners_context,
        people_context,
        people_methods,
        sounds_context,
    )
    from whisperprobe.report.rendering import render
    from whisperprobe.report.tables import matrix_table, versions_table, word_table_of

    figures = captioned_figures(comparison, order, reference, conditions, training or {})
    listeners = listeners_context(comparison, order, [name for name in figures if name.startswith("listeners-")])
    given = dict(provenance or {})
    versions = {**_versions(), **{str(k): str(v) for k, v in dict(given.pop("versions", {})).items()}}
    *methods, software = methods_text(comparison, versions, training or {}, conditions)
    recordings = _recordings(comparison, order, reference, corpora, examples)
    sections = [
        ("found", "What was found", True),
        ("matrix-section", "Who understands what", True),
        ("conditions", "Conditions", bool(conditions)),
        ("listen", "Listen", bool(recordings["examples"])),
        ("distributions", "How well heard", "distributions" in figures),
        ("words", "Words", True),
        ("clip", "One recording", True),
        ("listeners", "Listeners", listeners is not None),
        ("people", "People", comparison.people is not None),
        ("sounds", "Sounds", comparison.sounds is not None),
        ("training", "Training", "training" in figures),
        ("methods", "Methods", True),
        ("provenance", "Provenance", True),
    ]
    page = render(
        title=title,
        description=[part for part in re.split(r"\n\s*\n", description.strip()) if part],
        version=versions["whisperprobe"],
        sections=[(anchor, name) for anchor, name, present in sections if present],
        summary=summarise(comparison, order),
        figures=figures,
        word_figures=[name for name in figures if name.startswith(("changes", "words-"))],
        matrix=matrix_table(comparison, order),
        changes=change_table(comparison, order),
        conditions=conditions_table(conditions) if conditions else None,
        limits=limits(conditions),
        colours=condition_colours(order),
        words=word_table_of(comparison, order, reference),
        order=order,
        listeners=listeners,
        people=people_context(comparison, order),
        sounds=sounds_context(comparison, order),
        sound_figures=[name for name in figures if name.startswith("sounds-")],
        training=training_table(training or {}),
        methods=[
            text for text in (*methods, *lexicon_methods(comparison), *people_methods(comparison), software) if text
        ],
        citations=citations(versions["whisperprobe"]),
        versions=versions_table(versions),
        provenance=_provenance(comparison, given),
        **recordings,
    )
    return replace_file(Path(out_html), page)


def _recordings(
    comparison: Comparison,
    order: Sequence[str],
    reference: str,
    corpora: Mapping[str, SoundSource],
    examples: int,
) -> dict[str, Any]:
    """The parts of the page about single recordings: players, numbers, tokens."""
    from whisperprobe.report.choosing import fair_order, voices_of
    from whisperprobe.report.examples import collect_recordings, media_of
    from whisperprobe.report.recordings import recordings_of
    from whisperprobe.report.tables import recording_table
    from whisperprobe.report.tokens import collect_tokens

    telling, others = collect_recordings(comparison, order, reference, corpora, examples)
    every = recordings_of(comparison, order)
    voices = voices_of(comparison)
    wanted = fair_order(
        every.words, every.ids, [voices[i] for i in every.ids], first=[e.clip_id for e in (*telling, *others)]
    )
    tokens = collect_tokens(comparison, list(wanted), {clip_id: i for i, clip_id in enumerate(every.ids)})
    return {
        "examples": telling,
        "media": media_of(others),
        "recordings": every,
        "recording_columns": recording_table(comparison, every, order),
        "tokens": tokens,
        "sounds_embedded": len(telling) + len(others),
    }


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
