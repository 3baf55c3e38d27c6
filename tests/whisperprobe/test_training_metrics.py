"""Error rates: against counts made by hand."""

from __future__ import annotations

import pytest

from whisperprobe.training.metrics import text_scores


def test_words_and_characters_are_counted_over_all_clips_together() -> None:
    scores = text_scores(["the ship", "fish", "a wish"], ["the chip", "fish", "wish"])
    assert scores["wer"] == pytest.approx(2 / 5)  # one substitution, one deletion, five words said
    assert scores["cer"] == pytest.approx((1 + 2) / (8 + 4 + 6))
    assert scores["word_accuracy"] == pytest.approx(1 / 3)
    assert (scores["n_clips"], scores["n_words"]) == (3, 5)


def test_case_and_punctuation_do_not_count_and_silence_does() -> None:
    assert text_scores(["ship"], ["Ship."])["word_accuracy"] == 1
    assert text_scores(["ship"], [""])["wer"] == 1
    assert text_scores(["ship"], ["ship ship ship"])["wer"] == 2


def test_a_filler_has_no_words_to_count_but_still_must_be_written() -> None:
    scores = text_scores(["hmm"], ["hmm"])
    assert scores["word_accuracy"] == 1
    assert "wer" not in scores
    assert text_scores(["hmm"], [""])["word_accuracy"] == 0


def test_other_languages_keep_their_letters() -> None:
    assert text_scores(["Bär"], ["bär"], language="de")["word_accuracy"] == 1
