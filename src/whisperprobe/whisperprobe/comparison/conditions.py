"""Conditions and listeners side by side: runs over the same clips, joined clip by clip, and with people by word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from audiogram.errors import InputError
from audiogram.random_streams import check_seed
from whisperprobe.comparison.listeners import WHISPER, Listener, read_listener
from whisperprobe.comparison.naming import BASE
from whisperprobe.comparison.people_data import HumanSource, read_people
from whisperprobe.comparison.result import Comparison, read_comparison
from whisperprobe.comparison.words import word_of

if TYPE_CHECKING:
    from whisperprobe.comparison.people_data import People
    from whisperprobe.comparison.pronunciations import Pronunciations

__all__ = ["Comparison", "ProbeRun", "compare", "load_comparison"]

_NEEDED = ("clip_id", "text", "prediction", "correct")
_SHOWN = ("word_surprisal", "word_mean_rank")  # what a report shows of every run; missing where there is no such thing
_LABELS = ("listener", "model", "condition", "seed", "clip_id", "word")


@dataclass(frozen=True)
class ProbeRun:
    """One run of a listener and what it stands for.

    Parameters
    ----------
    path : str or Path
        Folder that `whisperprobe probe` or `whisperprobe ldl evaluate` wrote.
    model : str
        Who listened: "base" for the unadapted model, else the condition that it was fine-tuned on. The label of a
        listener that is not Whisper gets the listener's name before it: "ldl-hfloss".
    condition : str
        What it heard.
    seed : int, optional
        Seed of the study that the run belongs to; None where there is one only.
    """

    path: str | Path
    model: str
    condition: str
    seed: int | None = None

    def __post_init__(self) -> None:
        for name in ("model", "condition"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise InputError(f"ProbeRun.{name} is {value!r}; give a name, e.g. 'base' or 'hfloss'.")
        if self.seed is not None and (isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0):
            raise InputError(f"ProbeRun.seed is {self.seed!r}; give a whole number from 0, or None.")

    @property
    def label(self) -> str:
        """How messages name the run."""
        return f"{self.model} hearing {self.condition}" + ("" if self.seed is None else f", seed {self.seed}")


def compare(
    runs: Sequence[ProbeRun | str | Path],
    *,
    out: str | Path | None = None,
    seed: int = 0,
    resamples: int = 2000,
    clips: Literal["same", "common"] = "same",
    human: HumanSource | Mapping[str, Any] | str | Path | None = None,
    measures: Sequence[str] | None = None,
    pronunciations: str | Path | Mapping[str, str] | None = None,
) -> Comparison:
    """Join runs of listeners clip by clip, and with people's responses by word.

    Parameters
    ----------
    runs : sequence of ProbeRun or path
        A bare path is labelled from its manifest: the model's folder name and the condition's name. Give a `ProbeRun`
        where that name is neither "base" nor the condition that the model was fine-tuned on.
    out : path, optional
        Folder to save the comparison in, replaced whole.
    seed : int, default 0
        Seed of the bootstrap.
    resamples : int, default 2000
        Bootstrap resamples, at least 100.
    clips : {"same", "common"}, default "same"
        "same" refuses runs that hold different clips; "common" keeps the clips that all runs of a seed hold and
        lists the others in `Comparison.left_out`. Listeners that share no clip at all, such as whole recordings here
        and words cut from them there, are compared by word.
    human : HumanSource, mapping of its fields, or path, optional
        People's responses to the words: a text table, e.g. MALD's. Needs the extra `people`.
    measures : sequence of str, optional
        Measures to hold against people's responses; default `correct` and those of each listener.
    pronunciations : "cmudict", path, or mapping of word to pronunciation, optional
        What words sound like, for effects by phonological make-up and confusions of sounds: CMUdict or a table with
        columns Word and Pronunciation (ARPABET). Default: the column that `human` names, else "cmudict" where there is
        `human`, else none. Needs the extra `people`.

    Returns
    -------
    Comparison

    Raises
    ------
    InputError
        For no runs, a folder that is not a run of a listener, an empty run, the same model, condition and seed twice, a
        clip twice in a run, a clip with another text elsewhere, and runs that hold different clips; for people's
        responses see `read_people` and `compare_with_people`.
    """
    if not runs or isinstance(runs, str | Path):
        raise InputError(f"compare needs a list of probe runs; received {runs!r}.")
    if clips not in ("same", "common"):
        raise InputError(f"clips={clips!r} is not 'same' or 'common'.")
    check_seed(seed)
    source = HumanSource(human) if isinstance(human, str | Path) else human
    people = None if source is None else read_people(source)  # before the runs: what is wrong with it is said at once
    sound_of = None if people is None and pronunciations is None else _pronunciations(pronunciations, people)
    joined, about, dropped = _join([_read(run) for run in runs], clips)
    conditions = tuple(dict.fromkeys(run["condition"] for run in about))
    known = list(dict.fromkeys(run["model"] for run in about))
    models = sorted(known, key=lambda m: (m != BASE, conditions.index(m) if m in conditions else len(conditions)))
    measured = {run["listener"]: tuple(run.pop("measures")) for run in about}
    result = Comparison(joined, tuple(models), conditions, tuple(about), seed, resamples, dropped, measured)
    result.bootstrap("correct")  # a wrong `resamples` is refused here, not in the middle of a report
    if people is not None:
        from whisperprobe.comparison.people import compare_with_people

        result = replace(result, people=compare_with_people(result, people, measures=measures))
    if sound_of is not None:
        from whisperprobe.comparison.sounds import compare_sounds

        result = replace(result, sounds=compare_sounds(result, sound_of))
    if out is not None:
        result.save(out)
    return result


def load_comparison(folder: str | Path) -> Comparison:
    """Read a comparison from the folder that `compare(..., out=folder)` wrote.

    Parameters
    ----------
    folder : path
        That folder, or `comparison/` of a study.

    Returns
    -------
    Comparison
        The same as `compare` gave.

    Raises
    ------
    InputError
        If the folder is not a comparison.
    WorkError
        If it is damaged.
    """
    return read_comparison(folder)


_Loaded = tuple[ProbeRun, Listener, pd.DataFrame, dict[str, Any]]


def _pronunciations(given: str | Path | Mapping[str, str] | None, people: People | None) -> Pronunciations:
    from whisperprobe.comparison.pronunciations import open_pronunciations

    if given is None and people is not None and "pronunciation" in people.words:
        words = people.words.dropna(subset=["pronunciation"])
        given = dict(zip(words["word"], words["pronunciation"], strict=True))
    return open_pronunciations("cmudict" if given is None else given)


def _join(
    loaded: Sequence[_Loaded], clips: Literal["same", "common"]
) -> tuple[pd.DataFrame, list[dict[str, Any]], tuple[str, ...]]:
    """Put the runs one below the other, with what each was and which clips were left out."""
    _refuse_repeats([run for run, _, _, _ in loaded])
    dropped: set[str] = set()
    frames = []
    for group in _groups(loaded):
        left_out = _match_clips([(run, frame) for run, _, frame, _ in group], refuse=clips == "same")
        dropped = dropped.union(*left_out.values())
        for run, _, frame, _ in group:
            kept = frame[~frame["clip_id"].isin(left_out.get(run.seed, set()))]
            if kept.empty:
                raise InputError(
                    f"no clip is common to all runs (looked at {run.label}). Were they probed on one corpus?"
                )
            frames.append(kept)
        _refuse_other_texts(frames[-len(group) :])
    joined = pd.concat(frames, ignore_index=True)
    first = [*_LABELS, *(c for c in (*_NEEDED, *_SHOWN) if c not in _LABELS)]
    joined = joined[[*first, *(c for c in joined.columns if c not in first)]]
    about = [
        {
            "listener": listener.name, "model": run.model, "condition": run.condition, "seed": run.seed,
            "measures": list(listener.measures), "manifest": manifest, "folder": str(Path(run.path).absolute()),
        }
        for run, listener, _, manifest in loaded
    ]  # fmt: skip
    return joined, about, tuple(sorted(dropped))


def _groups(loaded: Sequence[_Loaded]) -> list[list[_Loaded]]:
    """Runs whose clips must agree: all, but for listeners that share no clip with any before them."""
    groups: list[tuple[set[str], list[_Loaded]]] = []
    for name in dict.fromkeys(listener.name for _, listener, _, _ in loaded):
        mine = [one for one in loaded if one[1].name == name]
        ids = set[str]().union(*(set(frame["clip_id"]) for _, _, frame, _ in mine))
        shared = next((group for group in groups if group[0] & ids), None)
        if shared is None:
            groups.append((ids, mine))
        else:
            shared[0].update(ids)
            shared[1].extend(mine)
    return [group for _, group in groups]


def _read(run: ProbeRun | str | Path) -> _Loaded:
    path = Path(run.path if isinstance(run, ProbeRun) else run)
    listener, frame, manifest = read_listener(path)
    if not isinstance(run, ProbeRun):
        run = ProbeRun(path, *_labels(manifest))
    if listener.name != WHISPER and not run.model.startswith(listener.name):
        run = replace(run, model=f"{listener.name}-{run.model}")
    missing = [c for c in (*_NEEDED, *(_SHOWN if listener.name == WHISPER else ())) if c not in frame.columns]
    if missing:
        raise InputError(f"{path} is not a probe run of this version: its clips lack {', '.join(missing)}.")
    if frame.empty:
        raise InputError(f"{path} ({run.label}) holds no clips. See its failures table for why.")
    twice = frame["clip_id"][frame["clip_id"].duplicated()].unique()
    if len(twice):
        raise InputError(f"{path} holds {len(twice)} clip ids twice: {_some(twice)}. Probe one split at a time.")
    clash = [c for c in ("listener", "model", "condition", "seed", "word") if c in frame.columns]
    frame = frame.rename(columns={c: f"source_{c}" for c in clash})  # a source column may bear a label's name
    words = frame["text"].map(word_of).astype(object)
    labels = {"listener": listener.name, "model": run.model, "condition": run.condition, "seed": run.seed}
    nothing = {c: float("nan") for c in _SHOWN if c not in frame.columns}
    frame = frame.assign(**labels, word=words, **nothing).astype({"seed": "Int64", "clip_id": str})
    return run, listener, frame, manifest


def _labels(manifest: Mapping[str, Any]) -> tuple[str, str]:
    """Model and condition of a run that came without labels, from its manifest."""
    from whisperprobe.probing.store import condition_of

    options = manifest.get("options") or {}
    heard = condition_of(manifest)
    name = heard.get("name") if isinstance(heard, Mapping) else heard
    return Path(str(options.get("model") or "model")).name, str(name or "unmasked")


def _refuse_repeats(runs: Sequence[ProbeRun]) -> None:
    seen: dict[tuple[str, str, int | None], ProbeRun] = {}
    for run in runs:
        key = (run.model, run.condition, run.seed)
        if key in seen:
            raise InputError(
                f"two runs claim to be {run.label}: {seen[key].path} and {run.path}. "
                "Give each its own model, condition and seed, with ProbeRun(path, model, condition, seed)."
            )
        seen[key] = run


def _match_clips(runs: Sequence[tuple[ProbeRun, pd.DataFrame]], *, refuse: bool) -> dict[int | None, set[str]]:
    """Ids per seed that not all of the seed's runs hold.

    A study may draw its test clips anew with every seed; nothing is paired across seeds then, so clips must agree
    within a seed, and across seeds where these do not hold the same cells each.
    """
    by_seed: dict[int | None, list[tuple[ProbeRun, set[str]]]] = {}
    for run, frame in runs:
        by_seed.setdefault(run.seed, []).append((run, set(frame["clip_id"])))
    cells = {frozenset((r.model, r.condition) for r, _ in group) for group in by_seed.values()}
    everyone = list(by_seed.values()) if len(cells) == 1 else [[pair for group in by_seed.values() for pair in group]]
    result: dict[int | None, set[str]] = {}
    for group in everyone:
        reference, ids = group[0]
        for run, others in group[1:]:
            if refuse and ids != others:
                _refuse_difference(reference, ids, run, others)
        sets = [held for _, held in group]
        outside = sets[0].union(*sets) - sets[0].intersection(*sets)
        for run, _ in group:
            result[run.seed] = outside
    return result


def _refuse_difference(a: ProbeRun, ids: set[str], b: ProbeRun, others: set[str]) -> None:
    parts = [
        f"{len(only)} only in {run.label} ({_some(sorted(only))})"
        for run, only in ((a, ids - others), (b, others - ids))
        if only
    ]
    raise InputError(
        f"the runs hold different clips: {'; '.join(parts)}. Probe the same clips in every condition (clips that "
        "failed are in the runs' failures), or compare what they share with clips='common'."
    )


def _refuse_other_texts(frames: Sequence[pd.DataFrame]) -> None:
    first = frames[0].set_index("clip_id")
    for frame in frames[1:]:
        other = frame.set_index("clip_id")
        shared = other.index.intersection(first.index)
        differ = shared[
            (first["word"].reindex(shared).fillna("") != other["word"].reindex(shared).fillna("")).to_numpy()
        ]
        if len(differ):
            texts = f"{first['text'][differ[0]]!r} and {other['text'][differ[0]]!r}"
            raise InputError(
                f"{len(differ)} clips have another text in another run, e.g. {differ[0]!r}: {texts}. "
                "The runs come from different corpora."
            )


def _some(ids: Any, most: int = 5) -> str:
    listed = ", ".join(repr(str(i)) for i in list(ids)[:most])
    return listed + (f" and {len(ids) - most} more" if len(ids) > most else "")
