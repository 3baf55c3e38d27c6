"""Which recordings the page carries: the telling ones first, then all words and voices by turns, always the same."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

import pandas as pd

from whisperprobe.comparison.naming import BASE
from whisperprobe.comparison.result import Comparison
from whisperprobe.comparison.summary import worst_words

__all__ = ["fair_order", "telling_clips", "voices_of"]

_VOICE_COLUMNS = ("voice", "speaker", "speaker_id", "talker", "reader", "client_id")


def voices_of(comparison: Comparison) -> dict[str, str]:
    """Who speaks in every recording, by clip id.

    A column of the source that names the voice tells, else the folder in the recording's id; where there is neither,
    all have one voice, without a name.
    """
    clips = comparison.clips.drop_duplicates("clip_id")
    ids = clips["clip_id"].astype(str)
    for name in _VOICE_COLUMNS:
        if name in clips and clips[name].notna().any():
            named = clips[name].where(clips[name].notna(), "").astype(str)
            return dict(zip(ids, named, strict=True))
    folders = [i.rpartition("/")[0] for i in ids]
    return dict(zip(ids, folders if len(set(folders)) < len(folders) else [""] * len(folders), strict=True))


def telling_clips(
    comparison: Comparison, order: Sequence[str], reference: str, examples: int, available: Collection[str]
) -> list[str]:
    """Clip ids of words that the unadapted model lost, condition by condition in turn, voices in turn.

    Of each word that recording is taken whose voice was taken least before, among those in which some condition
    changed the answer; of several, the one that changed in most conditions, then the first id. Where too few words
    suffered, the others follow in alphabetical order.
    """
    clips = comparison.clips[comparison.clips["word"].notna() & comparison.clips["clip_id"].isin(list(available))]
    base = clips[clips["model"] == BASE]
    base = base if len(base) else clips
    right = pd.Series(pd.to_numeric(base["correct"], errors="coerce"), index=base.index)
    shares = right.groupby([base["word"], base["clip_id"], base["condition"]]).mean().unstack("condition")
    before = shares.get(reference, pd.Series(1.0, index=shares.index))
    lost = shares.drop(columns=reference, errors="ignore").rsub(before, axis=0).sum(axis=1)
    recordings: dict[str, list[tuple[float, str]]] = {}
    for word, clip_id, value in lost.reset_index(name="lost")[["word", "clip_id", "lost"]].itertuples(index=False):
        recordings.setdefault(str(word), []).append((float(value), str(clip_id)))
    queues = [
        list(worst_words(comparison, c, reference)["word"])
        for c in order
        if c != reference and {(BASE, c), (BASE, reference)} <= set(comparison.cells)
    ]
    ranked = [word for layer in zip(*queues, strict=False) for word in layer] + sorted(recordings)
    words = [word for word in dict.fromkeys(ranked) if word in recordings][: max(examples, 0)]
    voices, taken = voices_of(comparison), Counter[str]()
    chosen = []
    for word in words:
        _, clip_id = min(recordings[word], key=lambda r: (r[0] <= 0, taken[voices[r[1]]], -r[0], r[1]))
        taken[voices[clip_id]] += 1
        chosen.append(clip_id)
    return chosen


def fair_order(
    words: Sequence[str | None],
    clip_ids: Sequence[str],
    voices: Sequence[str],
    *,
    first: Sequence[str] = (),
    seed: int = 0,
) -> Iterator[str]:
    """Yield every recording, so that at any point all words, and within them all voices, have had their turn.

    Words come in an order drawn once from their names and the seed. Of a word, the recording comes next whose voice has
    come least, of several the one that the draw puts first.

    Parameters
    ----------
    words, clip_ids, voices : sequence of str
        One entry per recording.
    first : sequence of str
        Ids that come before all others.
    seed : int, default 0
        Of the draw.

    Examples
    --------
    >>> ids = ["a/one", "a/two", "b/one", "b/two"]
    >>> found = list(fair_order(["one", "two", "one", "two"], ids, ["a", "a", "b", "b"]))
    >>> sorted(found[:2]) in (["a/one", "b/two"], ["a/two", "b/one"])
    True
    """
    taken: Counter[str] = Counter()
    voice_of = dict(zip(clip_ids, voices, strict=True))
    left: dict[str, list[str]] = {}
    for word, clip_id in zip(words, clip_ids, strict=True):
        left.setdefault(clip_id if word is None else word, []).append(clip_id)  # a pseudoword is a word of its own
    begun = [clip_id for clip_id in dict.fromkeys(first) if clip_id in voice_of]
    for clip_id in begun:
        taken[voice_of[clip_id]] += 1
        yield clip_id
    done = set(begun)
    queue = sorted(left, key=lambda word: _draw(seed, word))
    waiting = {word: sorted((i for i in left[word] if i not in done), key=lambda i: _draw(seed, i)) for word in queue}
    while queue:
        queue = [word for word in queue if waiting[word]]
        for word in queue:
            clip_id = min(waiting[word], key=lambda i: taken[voice_of[i]])
            waiting[word].remove(clip_id)
            taken[voice_of[clip_id]] += 1
            yield clip_id


def _draw(seed: int, name: str) -> bytes:
    return hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
