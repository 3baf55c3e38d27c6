"""The stages of a study's second listener: a lexicon per cues, condition and seed, and what each of them hears."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whisperprobe.study_plan import Planner

__all__ = ["plan_ldl"]

WHISPER = "whisper"
_CUES = ("boundary", "sampling", "top_hz")  # options of cfbsf
_HEARING = ("splits", "rows_per_part", "max_failures")  # of [probe]: both listeners hear the same clips
_ELSEWHERE = ("cues", "semantics", "frequencies", "neighbours", *_CUES)


def plan_ldl(planner: Planner, table: dict[str, Any], seed: int) -> None:
    """Add the stages of one seed: for every kind of cues, training under each condition, then listening.

    Cues of all conditions are laid out as those of `normal` are, or of the first condition: log-mels that each
    condition scaled by itself would hide what it makes inaudible. So that condition is learnt first.
    """
    conditions = [c.name for c in planner.study.conditions]
    first = "normal" if "normal" in conditions else conditions[0]
    order = [first, *(name for name in conditions if name != first)]
    for cues in table["cues"]:
        models = {name: _train(planner, table, cues, name, first, seed) for name in order}
        for name in conditions:
            for heard in planner.heard_by(name):
                _evaluate(planner, table, cues, name, models[name], heard, seed)


def _train(planner: Planner, table: dict[str, Any], cues: str, condition: str, first: str, seed: int) -> str:
    source = planner.masked(condition, seed)
    out, shape = (str(planner.folder(seed) / "models" / f"ldl-{cues}-{name}") for name in (condition, first))
    semantics, needed = _semantics(planner, table["semantics"], seed)
    options = {
        "corpus": {"source": source}, "out": out, "seed": seed, "semantics": semantics, "cues": cues.replace("-", "_"),
        "cue_options": {key: table[key] for key in _CUES if key in table and cues == "cfbsf"},
        "shape": None if condition == first else shape,
        **{key: value for key, value in table.items() if key not in _ELSEWHERE},
    }  # fmt: skip
    inputs = [source, *needed, *([] if condition == first else [shape])]
    if "frequencies" in table:
        options["frequencies"] = planner.file("frequencies", table["frequencies"])
        inputs.append(options["frequencies"])
    planner.add(f"ldl-train.{cues}.{condition}.seed-{seed}", "ldl-train", options, inputs, [out])
    return out


def _evaluate(
    planner: Planner, table: dict[str, Any], cues: str, condition: str, model: str, heard: str, seed: int
) -> None:
    label = f"ldl-{cues}-{condition}"
    out = str(planner.folder(seed) / "probes" / label / heard)
    corpus, through = planner.listening(heard, seed)
    semantics, needed = _semantics(planner, table["semantics"], seed)
    probe = planner.study.probe
    options = {
        "corpus": corpus, "out": out, "model": model, "condition": through, "semantics": semantics, "name": label,
        **{key: table[key] for key in ("neighbours", "workers")},
        **{key: probe[key] for key in _HEARING if key in probe},
    }  # fmt: skip
    name = f"ldl-evaluate.{cues}.{condition}.{heard}.seed-{seed}"
    planner.add(name, "ldl-evaluate", options, [corpus["source"], model, *needed], [out])
    planner.runs.append({"path": out, "model": label, "condition": heard, "seed": seed})


def _semantics(planner: Planner, said: str, seed: int) -> tuple[str, list[str]]:
    """The semantic space as `ldl.open_semantics` takes it, and what it needs of the study."""
    if said == WHISPER:
        model = planner.base_model(seed)
        return f"{WHISPER}:{model}", [model]
    if said.startswith(f"{WHISPER}:"):
        return f"{WHISPER}:{planner.model_name(said.removeprefix(f'{WHISPER}:'))}", []
    file = planner.file("semantics", said)
    return file, [file]
