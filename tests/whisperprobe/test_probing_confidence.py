"""Word confidence: what a word is, and the three numbers by name."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.errors import InputError
from whisperprobe.probing.confidence import word_confidence


def rows(tokens, kinds=None, log_p=None, **same):
    """Rows of `tokens` for one sequence."""
    n = len(tokens)
    kinds = kinds or ["text"] * n
    return pd.DataFrame(
        {
            "clip_id": "a", "decoding": "greedy", "variant": None, "position": range(n), "token": tokens,
            "kind": kinds, "log_probability": np.full(n, -1.0) if log_p is None else log_p, **same,
        }
    )  # fmt: skip


def test_punctuation_and_the_end_are_in_no_word():
    tokens = [' "', "Don", "'t", ",", " well", "-", "known", "!", "<|endoftext|>"]
    kinds = ["punctuation", "text", "text", "punctuation", "text", "punctuation", "text", "punctuation", "end"]
    words = word_confidence(rows(tokens, kinds, np.log([0.1, 0.5, 0.25, 0.1, 0.9, 0.1, 0.4, 0.1, 0.1])))
    assert words["word"].tolist() == ["Don't", "well-known"]
    assert words["word_index"].tolist() == [0, 1]
    assert words["position"].tolist() == [1, 4]
    assert words["n_tokens"].tolist() == [2, 2]
    assert words["log_probability"].tolist() == pytest.approx(np.log([0.125, 0.36]))
    assert words["mean_probability"].tolist() == pytest.approx([0.375, 0.65])
    assert words["geometric_mean_probability"].tolist() == pytest.approx([0.125**0.5, 0.6])


def test_sequences_are_kept_apart_and_in_order():
    tokens = pd.concat(
        [rows([" b", "c"], clip_id="z"), rows(["b"], decoding="forced", variant="lower"), rows([" d", " e"])],
        ignore_index=True,
    )
    words = word_confidence(tokens)
    assert words["clip_id"].tolist() == ["z", "a", "a", "a"]
    assert words["word"].tolist() == ["bc", "b", "d", "e"]
    assert words["word_index"].tolist() == [0, 0, 0, 1]
    assert words["variant"].isna().tolist() == [True, False, True, True]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["x", " x", "."]), st.floats(-20, 0)), min_size=1, max_size=12))
def test_the_words_share_out_the_tokens(pairs):
    tokens = rows(
        [t for t, _ in pairs], ["punctuation" if t == "." else "text" for t, _ in pairs], [p for _, p in pairs]
    )
    words, text = word_confidence(tokens), tokens["kind"] == "text"
    assert words["n_tokens"].sum() == text.sum()
    assert words["log_probability"].sum() == pytest.approx(tokens["log_probability"][text].sum(), abs=1e-9)
    assert (words["mean_probability"] >= words["geometric_mean_probability"] * (1 - 1e-12)).all()
    single = words["n_tokens"] == 1
    assert np.allclose(words["mean_probability"][single], np.exp(words["log_probability"][single]))
    shuffled = tokens.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(word_confidence(shuffled), words)


def test_no_tokens_no_words():
    assert len(word_confidence(rows([]))) == 0
    assert list(word_confidence(rows([]))) == list(word_confidence(rows(["x"])))
    assert len(word_confidence(rows(["."], ["punctuation"]))) == 0


def test_a_table_that_lacks_a_column_is_named():
    with pytest.raises(InputError, match="no column 'kind'"):
        word_confidence(rows(["x"]).drop(columns="kind"))
