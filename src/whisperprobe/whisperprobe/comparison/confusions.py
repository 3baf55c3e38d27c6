"""Which sounds were taken for which: the phonemes of the spoken and of the answered word, aligned and counted."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from whisperprobe.comparison.phonemes import ARPABET, distance
from whisperprobe.comparison.pronunciations import Pronunciations
from whisperprobe.comparison.words import as_numbers

__all__ = ["FEW_WRONG", "GAP", "align_nearest", "align_phonemes", "confusion_classes", "count_confusions"]

GAP = "-"  # nothing: the other side of a sound left out or put in
FEW_WRONG = 0.02
"""Share of consonants: where fewer were wrong, which ones is a matter of single answers and is not shown."""

_KEYS = ["model", "condition"]


def align_phonemes(spoken: Sequence[str], heard: Sequence[str]) -> list[tuple[str, str]]:
    """Align two pronunciations at the least cost (`distance`; 1 for a sound left out or put in).

    Parameters
    ----------
    spoken, heard : sequence of str
        ARPABET symbols without stress.

    Returns
    -------
    list of (str, str)
        Spoken and heard sound, in order; `GAP` where there is none. Of equally cheap alignments, the one that
        substitutes late rather than early gaps is taken, always the same.

    Examples
    --------
    >>> align_phonemes(["S", "IH", "K"], ["TH", "IH", "NG", "K"])
    [('S', 'TH'), ('IH', 'IH'), ('-', 'NG'), ('K', 'K')]
    """
    return _align(tuple(spoken), tuple(heard))[1]


def align_nearest(spoken: Sequence[str], options: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Align a pronunciation with that of several which is the cheapest to align with.

    Parameters
    ----------
    spoken : sequence of str
        ARPABET symbols without stress.
    options : sequence of sequence of str
        Pronunciations of what was heard, at least one; of equally cheap ones the first is taken.

    Returns
    -------
    list of (str, str)
        As `align_phonemes` gives them.

    Examples
    --------
    >>> align_nearest(["AY", "D", "ER"], [["IY", "DH", "ER"], ["AY", "DH", "ER"]])
    [('AY', 'AY'), ('D', 'DH'), ('ER', 'ER')]
    """
    return min((_align(tuple(spoken), tuple(each)) for each in options), key=lambda one: one[0])[1]


def _align(spoken: tuple[str, ...], heard: tuple[str, ...]) -> tuple[float, list[tuple[str, str]]]:
    rows, columns = len(spoken) + 1, len(heard) + 1
    cost = [[0.0] * columns for _ in range(rows)]
    for i in range(rows):
        for j in range(columns):
            options = []
            if i and j:
                options.append(cost[i - 1][j - 1] + distance(spoken[i - 1], heard[j - 1]))
            if i:
                options.append(cost[i - 1][j] + 1)
            if j:
                options.append(cost[i][j - 1] + 1)
            cost[i][j] = min(options, default=0.0)
    pairs: list[tuple[str, str]] = []
    i, j = len(spoken), len(heard)
    while i or j:
        here = cost[i][j] + 1e-9
        if i and j and cost[i - 1][j - 1] + distance(spoken[i - 1], heard[j - 1]) <= here:
            i, j = i - 1, j - 1
            pairs.append((spoken[i], heard[j]))
        elif i and cost[i - 1][j] + 1 <= here:
            i -= 1
            pairs.append((spoken[i], GAP))
        else:
            j -= 1
            pairs.append((GAP, heard[j]))
    return cost[-1][-1], pairs[::-1]


def count_confusions(clips: pd.DataFrame, pronunciations: Pronunciations) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count how often every sound was heard as every other, under every model and condition.

    A right answer counts as every sound heard as it is. Of several pronunciations of an answer, that nearest to the
    spoken word's usual one is taken.

    Parameters
    ----------
    clips : DataFrame
        model, condition, word, prediction, correct: one row per clip and run.
    pronunciations : Pronunciations
        Of words and answers.

    Returns
    -------
    confusions : DataFrame
        model, condition, spoken, heard (ARPABET or `GAP`), n, share (of the spoken sound; of an insertion, of all
        sounds spoken).
    coverage : DataFrame
        model, condition, n_clips, n_used, n_word_unknown, n_answer_unknown (no pronunciation), n_empty (no answer).
    """
    known = clips[clips["word"].notna()]
    frame = pd.DataFrame({name: known[name].astype(str) for name in (*_KEYS, "word")})
    frame["correct"] = as_numbers(known["correct"]) == 1
    frame["answer"] = known["prediction"].where(known["prediction"].notna(), "").astype(str)
    frame.loc[frame["correct"], "answer"] = ""
    counted = frame.groupby([*_KEYS, "word", "correct", "answer"], sort=True).size().rename("n").reset_index()
    said = {word: pronunciations.first(word) for word in counted["word"].unique()}
    pairs: dict[tuple[str, str, str, str], int] = {}
    coverage: dict[tuple[str, str], dict[str, int]] = {}
    aligned: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for model, condition, word, correct, answer, n in counted.itertuples(index=False):
        found = coverage.setdefault((model, condition), dict.fromkeys(_COVERAGE, 0))
        found["n_clips"] += n
        spoken = said[word]
        heard = (spoken,) if correct else pronunciations.all(answer)
        if spoken is None:
            found["n_word_unknown"] += n
            continue
        if not correct and not answer.strip():
            found["n_empty"] += n
            continue
        if not heard:
            found["n_answer_unknown"] += n
            continue
        found["n_used"] += n
        if (word, answer) not in aligned:  # a right answer is "" here, and nothing else is
            aligned[word, answer] = align_nearest(spoken, [option for option in heard if option])
        for a, b in aligned[word, answer]:
            pairs[model, condition, a, b] = pairs.get((model, condition, a, b), 0) + n
    table = pd.DataFrame(
        [(*key, n) for key, n in sorted(pairs.items())], columns=[*_KEYS, "spoken", "heard", "n"]
    )  # fmt: skip
    sounds = table[table["spoken"] != GAP].groupby(_KEYS)["n"].sum()
    totals = table.groupby([*_KEYS, "spoken"])["n"].transform("sum").astype(float)
    cells = pd.MultiIndex.from_frame(table[_KEYS])
    totals = totals.where(table["spoken"] != GAP, pd.Series(sounds.reindex(cells).to_numpy(), index=table.index))
    table["share"] = table["n"] / totals.where(totals > 0)
    rows = [(*key, *found.values()) for key, found in sorted(coverage.items())]
    return table, pd.DataFrame(rows, columns=[*_KEYS, *_COVERAGE])


_COVERAGE = ("n_clips", "n_used", "n_word_unknown", "n_answer_unknown", "n_empty")


def confusion_classes(confusions: pd.DataFrame) -> pd.DataFrame:
    """Sum the confusions of consonants up by what was mistaken: voicing, place, manner.

    Parameters
    ----------
    confusions : DataFrame
        As `count_confusions` gives them.

    Returns
    -------
    DataFrame
        model, condition, manner (of the spoken sound; "all" for all consonants), n (consonants spoken), right,
        left_out, voicing, place, manner_wrong (shares of those spoken; a substitution counts in each in which it is
        wrong), and only_voicing, only_place, only_manner (in this alone).
    """
    spoken = confusions[confusions["spoken"].map(lambda s: s in ARPABET and not ARPABET[s].vowel).astype(bool)]
    rows = []
    for (model, condition), group in spoken.groupby(_KEYS, sort=False):
        manners = group["spoken"].map(lambda s: ARPABET[s].manner)
        for manner in ("all", *sorted(set(manners))):
            part = group if manner == "all" else group[manners == manner]
            rows.append({"model": model, "condition": condition, "manner": manner, **_shares(part)})
    return pd.DataFrame(rows, columns=[*_KEYS, "manner", "n", *_SHARES])


_SHARES = ("right", "left_out", "voicing", "place", "manner_wrong", "only_voicing", "only_place", "only_manner")


def _shares(part: pd.DataFrame) -> dict[str, float]:
    total = int(part["n"].sum())
    counts = dict.fromkeys(_SHARES, 0)
    for spoken, heard, n in zip(part["spoken"], part["heard"], part["n"], strict=True):
        if spoken == heard:
            counts["right"] += n
        elif heard == GAP:
            counts["left_out"] += n
        else:
            a, b = ARPABET[spoken], ARPABET[heard]
            wrong = {"voicing": a.voiced != b.voiced, "place": a.place != b.place, "manner": a.manner != b.manner}
            for name, is_wrong in wrong.items():
                if is_wrong:
                    counts["manner_wrong" if name == "manner" else name] += n
                    if sum(wrong.values()) == 1:
                        counts[f"only_{name}"] += n
    return {"n": total, **{name: count / total for name, count in counts.items()}}
