"""How sure a listener was of each word: sum, arithmetic and geometric mean over the word's tokens, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from audiogram.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["word_confidence"]

SEQUENCE = ["clip_id", "decoding", "variant"]
NEEDED = (*SEQUENCE, "position", "token", "kind", "log_probability")
COLUMNS = (
    *SEQUENCE, "word_index", "word", "position", "n_tokens", "log_probability", "mean_probability",
    "geometric_mean_probability",
)  # fmt: skip


def word_confidence(tokens: pd.DataFrame) -> pd.DataFrame:
    """Return one row per word: its joint log-probability and both means of its tokens' probabilities.

    A word begins at a token that begins with white space, behind a timestamp or an end token, or at the sequence's
    first; only tokens of kind `text` count (an apostrophe within "don't" is part of such a token), so punctuation,
    timestamps and the end token neither lower nor raise a confidence. Whether the word is over is not asked, unlike in
    `word_log_probability`.

    Tools call different things a confidence: openai-whisper's `probability` is the arithmetic mean (of probabilities
    among text tokens only, punctuation as words of its own), whisper-timestamped's `confidence` the geometric mean.

    Parameters
    ----------
    tokens : DataFrame
        `ProbeResult.tokens` or some of its rows, whole sequences: greedy output, forced variants, or both.

    Returns
    -------
    DataFrame
        In the order of `tokens`: `clip_id`, `decoding`, `variant`, `word_index` (from 0, within the sequence), `word`
        (without white space and outer punctuation), `position` (of its first text token), `n_tokens`,
        `log_probability` (sum of ln p), `mean_probability` (arithmetic), `geometric_mean_probability`.

    Raises
    ------
    InputError
        A column is missing.

    References
    ----------
    .. [1] J. Louradour, "whisper-timestamped", 2023, https://github.com/linto-ai/whisper-timestamped
    .. [2] A. Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022.

    Examples
    --------
    >>> import pandas as pd
    >>> rows = pd.DataFrame({"token": [" Good", " morn", "ing", "!"], "log_probability": np.log([0.5, 0.8, 0.2, 0.1])})
    >>> rows = rows.assign(clip_id="a", decoding="greedy", variant=None, position=range(4), kind="text")
    >>> rows.loc[3, "kind"] = "punctuation"
    >>> word_confidence(rows)[["word", "mean_probability", "geometric_mean_probability"]].round(3)
          word  mean_probability  geometric_mean_probability
    0     Good               0.5                         0.5
    1  morning               0.5                         0.4
    """
    missing = [name for name in NEEDED if name not in tokens]
    if missing:
        raise InputError(f"the table has no column {missing[0]!r}; give the `tokens` of a probe run, whole rows.")
    rows = tokens.reset_index(drop=True)
    sequence = rows.groupby(SEQUENCE, sort=False, dropna=False).ngroup().to_numpy()
    order = np.lexsort((rows["position"].to_numpy(), sequence))
    rows, sequence = rows.iloc[order], sequence[order]
    token = rows["token"].to_numpy(dtype=object)
    begins = np.array([t[:1].isspace() for t in token], dtype=bool) | (np.diff(sequence, prepend=-1) != 0)
    begins[1:] |= rows["kind"].isin(("timestamp", "end")).to_numpy()[:-1]
    at = np.flatnonzero(rows["kind"] == "text")
    kept = rows.iloc[at].assign(probability=lambda x: np.exp(x["log_probability"].astype(float)), at=at)
    out = kept.groupby(np.cumsum(begins)[at]).agg(
        **{name: (name, "first") for name in (*SEQUENCE, "position")},
        n_tokens=("token", "size"),
        log_probability=("log_probability", "sum"),
        mean_probability=("probability", "mean"),
        first=("at", "first"),
        last=("at", "last"),
    )
    out["geometric_mean_probability"] = np.exp(out["log_probability"] / out["n_tokens"])
    out["word"] = ["".join(token[a : b + 1]).strip() for a, b in zip(out["first"], out["last"], strict=True)]
    out["word_index"] = out.groupby(SEQUENCE, sort=False, dropna=False).cumcount()
    return out[list(COLUMNS)].reset_index(drop=True)
