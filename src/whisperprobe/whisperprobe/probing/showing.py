"""How a probe run shows itself in a console and a notebook: what was heard, by whom, how well, and what is inside."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whisperprobe.probing.probe import Probe
    from whisperprobe.probing.store import ProbeResult

__all__ = ["as_html", "as_text", "html_table", "probe_as_html", "probe_as_text"]

_SHOWN = ("clip_id", "text", "prediction", "correct", "word_surprisal", "lexicon_best", "lexicon_rank")
_CLIPS_SHOWN = 5


def as_text(result: ProbeResult) -> str:
    """Return one line for each thing that the run holds."""
    title, rows = _title(result), _rows(result)
    width = max(len(name) for name, _ in rows)
    return "\n".join([title, *(f"  {name:<{width}}  {value}" for name, value in rows)])


def as_html(result: ProbeResult) -> str:
    """Return the same as a table, and the first clips."""
    clips = result.clips
    first = clips[[name for name in _SHOWN if name in clips]].head(_CLIPS_SHOWN)
    return html_table(_title(result), _rows(result)) + str(first.to_html(index=False, float_format="{:.3g}".format))


def html_table(title: str, rows: list[tuple[str, str]]) -> str:
    """Return names and values as an HTML table under a title."""
    left = 'style="text-align:left"'
    cells = "".join(
        f"<tr><th {left}>{html.escape(name)}</th><td {left}>{html.escape(value)}</td></tr>" for name, value in rows
    )
    return f"<p><b>{html.escape(title)}</b></p><table>{cells}</table>"


def _title(result: ProbeResult) -> str:
    options = result.manifest.get("options") or {}
    return f"ProbeResult of {options.get('model', 'a model')}, {result.path or 'in memory'}"


def _rows(result: ProbeResult) -> list[tuple[str, str]]:
    from whisperprobe.probing.store import condition_of

    options = result.manifest.get("options") or {}
    heard: Any = condition_of(result.manifest)
    rows = [("clips", _clips(result))]
    if heard:
        rows.append(("condition", str(heard.get("name"))))
    prompt = ", ".join(str(options[name]) for name in ("language", "task", "dtype") if options.get(name))
    if prompt:
        rows.append(("heard in", prompt))
    if "lexicon_rank" in result.clips:
        rows.append(("lexicon", _lexicon(result, options)))
    rows += [(name, f"{result.count(name)} rows") for name in result.table_names[1:]]
    shapes = {name: f"{' × '.join(map(str, array.shape))} {array.dtype}" for name, array in result.vectors.items()}
    shapes.pop("top_k_log_probabilities", None)  # as its ids
    rows += [(name.removesuffix("_ids"), shape) for name, shape in shapes.items()]
    return rows


def _clips(result: ProbeResult) -> str:
    clips = result.clips
    said = str(len(clips))
    correct = clips["correct"].dropna()
    if len(correct):
        said += f", {correct.astype(float).mean():.1%} of {len(correct)} correct"
    surprisal = clips["word_surprisal"].mean() if "word_surprisal" in clips else float("nan")
    return said + (f", word surprisal {surprisal:.2f} bits" if surprisal == surprisal else "")


def _lexicon(result: ProbeResult, options: dict[str, Any]) -> str:
    ranks = result.clips["lexicon_rank"].dropna()
    said = f"{(options.get('lexicon') or {}).get('words', '?')} words"
    if options.get("candidates"):
        said += f", {options['candidates']} candidates"
    if len(ranks):
        said += f", the spoken one best in {(ranks == 1).mean():.1%} of {len(ranks)} clips"
    return said


def probe_as_text(probe: Probe) -> str:
    """Return who listens, in one line."""
    return (
        f"Probe({probe.name!r}, d={probe.model.config.d_model}, V={len(probe.vocabulary)}, "
        f"window={probe.window.seconds:g} s, {probe.dtype}, {probe.device}, prompt={_prompt(probe)!r})"
    )


def probe_as_html(probe: Probe) -> str:
    """Return the same as a table, and the model's shape."""
    config = probe.model.config
    rows = [
        ("layers", f"{config.encoder_layers} encoder, {config.decoder_layers} decoder, d = {config.d_model}"),
        ("vocabulary", f"{len(probe.vocabulary)} tokens"),
        ("window", f"{probe.window.seconds:g} s, {probe.window.n_mels} mel bands"),
        ("prompt", _prompt(probe)),
        ("runs in", f"{probe.dtype} on {probe.device}"),
    ]
    return html_table(f"Probe of {probe.name}", rows)


def _prompt(probe: Probe) -> str:
    return "".join(probe.vocabulary.tokens[i] for i in probe.prompt)
