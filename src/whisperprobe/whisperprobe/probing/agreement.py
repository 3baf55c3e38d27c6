"""How well two probes of the same clips agree: what a trimmed encoder, or half precision, changes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from audiogram.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from whisperprobe.probing.store import ProbeResult

__all__ = ["Agreement", "probe_agreement"]

_FORCED = ["clip_id", "variant", "position"]


@dataclass(frozen=True)
class Agreement:
    """How well two runs agree; what cannot be computed is None.

    Attributes
    ----------
    clips : int
        Clips that were compared.
    words : int
        How many of them had a text that was forced, in both runs.
    mean_difference : float or None
        Mean over words of the difference in `word_log_probability`, the other run less the reference, nats.
    median_difference, largest_difference : float or None
        Median and largest of the differences' sizes.
    surprisal_correlation : float or None
        Spearman's rank correlation of `word_surprisal`, over words.
    rank_correlation : float or None
        Spearman's rank correlation of the ranks of forced tokens.
    positions : int
        Greedy positions at which both runs had read the same tokens.
    top_1_match : float or None
        Share of them at which both chose the same next token, 0 to 1.
    same_prediction : float or None
        Share of clips whose greedy tokens are all the same, 0 to 1.
    """

    clips: int
    words: int
    mean_difference: float | None
    median_difference: float | None
    largest_difference: float | None
    surprisal_correlation: float | None
    rank_correlation: float | None
    positions: int
    top_1_match: float | None
    same_prediction: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, numbers to six significant digits: what lies below them differs between machines."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: float(f"{x:.6g}") if isinstance(x, float) else x for name, x in values.items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Agreement:
        """Make it again from `to_dict`; other keys are left out."""
        return cls(**{entry.name: values[entry.name] for entry in fields(cls)})

    def __str__(self) -> str:
        def said(value: float | None, form: str) -> str:
            return "-" if value is None else format(value, form)

        return (
            f"{self.clips} clips, {self.words} words: ln p of the word differs by "
            f"{said(self.median_difference, '.3g')} (median), {said(self.largest_difference, '.3g')} (largest), "
            f"{said(self.mean_difference, '+.3g')} (mean); Spearman's rho of surprisal "
            f"{said(self.surprisal_correlation, '.4f')}, of ranks {said(self.rank_correlation, '.4f')}; "
            f"same next token at {said(self.top_1_match, '.1%')} of {self.positions} positions, "
            f"same answer to {said(self.same_prediction, '.1%')} of clips"
        )


def probe_agreement(reference: ProbeResult, other: ProbeResult) -> Agreement:
    """Compare two probes of the same clips, of one model or of models that share a tokenizer.

    Parameters
    ----------
    reference : ProbeResult
        The run to compare with: the padded one, that in float32.
    other : ProbeResult
        The run in question.

    Returns
    -------
    Agreement

    Raises
    ------
    InputError
        The runs are not of the same clips and texts, or their tokens are not of one tokenizer.
    """
    left, right = (run.clips.set_index("clip_id") for run in (reference, other))
    if set(left.index) != set(right.index):
        missing = sorted(set(left.index) ^ set(right.index))
        raise InputError(
            f"the runs are not of the same clips: {len(missing)} are in one only (first {missing[0]!r}). "
            "Probe the same corpus, the same splits and sample, twice."
        )
    right = right.loc[left.index]
    texts = [frame["text"].fillna("") for frame in (left, right)]
    if not texts[0].equals(texts[1]):
        clip = texts[0].index[(texts[0] != texts[1]).to_numpy()][0]
        raise InputError(
            f"the clip {clip!r} has the text {texts[0][clip]!r} in one run and {texts[1][clip]!r} in the other."
        )
    both = (left["word_log_probability"].notna() & right["word_log_probability"].notna()).to_numpy()
    difference = (right["word_log_probability"] - left["word_log_probability"]).to_numpy(dtype=float)[both]
    size = np.abs(difference)
    n_same, n_positions, n_equal = _greedy(reference.tokens, other.tokens)
    n_greedy = len(left) if n_positions else 0
    return Agreement(
        clips=len(left),
        words=int(both.sum()),
        mean_difference=float(difference.mean()) if len(size) else None,
        median_difference=float(np.median(size)) if len(size) else None,
        largest_difference=float(size.max()) if len(size) else None,
        surprisal_correlation=_spearman(left["word_surprisal"][both], right["word_surprisal"][both]),
        rank_correlation=_spearman(*_forced_ranks(reference.tokens, other.tokens)),
        positions=n_positions,
        top_1_match=n_same / n_positions if n_positions else None,
        same_prediction=n_equal / n_greedy if n_greedy else None,
    )


def _forced_ranks(left: pd.DataFrame, right: pd.DataFrame) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """Ranks of the forced tokens that both runs have, one beside the other."""
    columns = [*_FORCED, "token_id", "rank"]
    forced = [table.loc[table["decoding"] == "forced", columns] for table in (left, right)]
    joined = forced[0].merge(forced[1], on=_FORCED)
    if (joined["token_id_x"] != joined["token_id_y"]).any():
        raise InputError(
            "the runs read the same texts in as other tokens: their models do not share a tokenizer. "
            "Compare their clips with whisperprobe.compare instead."
        )
    return joined["rank_x"], joined["rank_y"]


def _greedy(left: pd.DataFrame, right: pd.DataFrame) -> tuple[int, int, int]:
    """Equal next tokens, positions read alike, and clips that are equal to their end.

    Behind the first difference the two runs have read other tokens, and their next ones are not comparable; every
    window of a long clip begins anew.
    """
    keys = ["clip_id", "window"] if "window" in left and "window" in right else ["clip_id"]
    answers: list[dict[Any, list[int]]] = []
    for table in (left, right):
        greedy = table[table["decoding"] == "greedy"].sort_values("position", kind="stable")
        answers.append(greedy.groupby(keys)["token_id"].agg(list).to_dict())
    n_same = n_positions = 0
    differing = set()
    for key, own in answers[0].items():
        other = answers[1].get(key, [])
        same = next((i for i, (a, b) in enumerate(zip(own, other, strict=False)) if a != b), min(len(own), len(other)))
        n_same += same
        n_positions += same + (own != other)
        if own != other:
            differing.add(key if isinstance(key, str) else key[0])
    return n_same, n_positions, left["clip_id"].nunique() - len(differing)


def _spearman(left: pd.Series[Any], right: pd.Series[Any]) -> float | None:
    """Spearman's rank correlation; None where there are fewer than two values, or all are equal."""
    from scipy.stats import spearmanr

    if len(left) < 2 or left.nunique() < 2 or right.nunique() < 2:
        return None
    return float(spearmanr(left.to_numpy(dtype=float), right.to_numpy(dtype=float)).statistic)
