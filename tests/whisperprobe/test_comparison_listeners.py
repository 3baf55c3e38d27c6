"""Whisper beside discriminative lexicons: names, what both lose, sentences, figure, methods."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from whisperprobe.comparison import Comparison, listener_agreement, load_comparison, summarise
from whisperprobe.comparison.agreement import counterparts, losses_by_word
from whisperprobe.comparison.listener_summary import (
    agreement_sentences,
    answer_sentences,
    lexicon_sentences,
    who_listened,
)
from whisperprobe.comparison.naming import lexicon_of, model_name
from whisperprobe.comparison.phonemes import MAKE_UP
from whisperprobe.comparison.sounds import Sounds
from whisperprobe.report.agreement_figure import draw_agreement
from whisperprobe.report.lexicon_methods import lexicon_methods

CONDITIONS = ("normal", "hfloss")
LEXICONS = ("ldl-cfbsf-normal", "ldl-cfbsf-hfloss")
MEASURES = {"whisper": ("word_surprisal",), "ldl": ("target_correlation",)}
FIT = {
    "cues": "cfbsf", "rule": "endstate", "ridge": 1e-6,
    "semantics": {"dimensions": 128, "kind": "whisper", "name": "whisper:model"},
}  # fmt: skip


def both(n_words: int = 40, share: float = 0.7, seed: int = 0, models: tuple[str, ...] = ("base", *LEXICONS)) -> Any:
    """A comparison in which a word's loss is partly the same for both listeners; two recordings a word."""
    draw = np.random.default_rng(seed)
    loss = draw.normal(size=n_words)
    other = share * loss + np.sqrt(1 - share**2) * draw.normal(size=n_words)
    rows = []
    for model in models:
        ldl = model.startswith("ldl-")
        for condition in CONDITIONS:
            for word, recording in np.ndindex(n_words, 2):
                harm = 0.0 if condition == "normal" else 3 + (other if ldl else loss)[word] + 0.01 * recording
                rows.append(
                    {
                        "listener": "ldl" if ldl else "whisper", "model": model, "condition": condition, "seed": 1,
                        "clip_id": f"{word}-{recording}", "word": f"word{word:02d}", "text": f"word{word:02d}",
                        "prediction": "x", "correct": float(harm == 0.0),
                        "word_surprisal": np.nan if ldl else 1 + harm,
                        "target_correlation": 0.9 - 0.1 * harm if ldl else np.nan,
                        "word_mean_rank": np.nan,
                    }
                )  # fmt: skip
    runs = tuple(
        {"model": m, "condition": c, "seed": 1, "listener": "ldl" if m.startswith("ldl-") else "whisper",
         "manifest": {"options": {"fit": FIT, "lexicon": {"words": n_words}}}}
        for m in models for c in CONDITIONS
    )  # fmt: skip
    return Comparison(pd.DataFrame(rows), models, CONDITIONS, runs, resamples=100, measures=MEASURES)


def test_labels_of_a_studys_lexicons_are_told_in_words() -> None:
    assert lexicon_of("ldl-log-mel-hfloss", CONDITIONS) == ("log-mel", "hfloss")
    assert model_name("ldl-cfbsf-normal", CONDITIONS) == "C-FBSF lexicon on normal"
    for label in ("ldl", "ldl-normal", "ldl-cfbsf-", "ldl-cfbsf-other", "my-ldl-cfbsf-normal", "ldl-mfcc-normal"):
        assert lexicon_of(label, CONDITIONS) is None
        assert model_name(label, CONDITIONS) == label


def test_agreement_is_the_rank_correlation_of_what_both_lost() -> None:
    comparison = both(n_words=400)
    (row,) = listener_agreement(comparison).to_dict("records")
    assert (row["model"], row["other"]) == ("base", "ldl-cfbsf-normal")
    assert (row["reference"], row["condition"], row["n_words"]) == ("normal", "hfloss", 400)
    (pair,) = counterparts(comparison)
    table = losses_by_word(comparison, pair, "hfloss")
    assert table["loss"].mean() == pytest.approx(table["other_loss"].mean() / 0.1, rel=0.2)
    assert row["spearman"] == pytest.approx(spearmanr(table["loss"], table["other_loss"]).statistic)
    assert 0.55 < row["spearman"] < 0.8
    assert row["low"] < row["spearman"] < row["high"]
    assert listener_agreement(both(400, share=-0.7))["spearman"].iloc[0] < -0.55


def test_without_a_second_listener_or_a_loss_there_is_nothing_to_compare(tmp_path: Path) -> None:
    for comparison in (both(models=("base",)), both(models=LEXICONS), both(models=("base", LEXICONS[1]))):
        assert listener_agreement(comparison).empty
        assert agreement_sentences(comparison) == []
        assert not (comparison.save(tmp_path / "saved") / "agreement.csv").exists()
    assert listener_agreement(both(n_words=3)).empty
    flat = both()
    flat.clips["target_correlation"] = flat.clips["target_correlation"].where(flat.clips["listener"] != "ldl", 0.5)
    assert listener_agreement(flat).empty


def test_sentences_count_kinds_and_group_lexicons(tmp_path: Path) -> None:
    comparison = both(models=("base", "normal", *LEXICONS, "ldl-log-mel-normal"))
    assert who_listened(comparison) == "2 Whisper models and 3 discriminative lexicons"
    assert who_listened(both(models=LEXICONS)) == "2 discriminative lexicons"
    assert lexicon_sentences(comparison, CONDITIONS) == [
        "Discriminative lexicons (C-FBSF cues, a choice among 40 words), tested in the condition that each had learnt, "
        "understood 100.0 % under normal and 0.0 % under hfloss; in another condition, 0.0 % to 100.0 %.",
        "Discriminative lexicons (log-mel cues, a choice among 40 words), tested in the condition that each had "
        "learnt, understood 100.0 % under normal; in another condition, 0.0 %.",
    ]
    found = summarise(comparison)
    assert found[0].startswith("2 Whisper models and 3 discriminative lexicons heard 80 recordings of 40 words")
    assert sum("(Spearman's ρ) over 40 words of what a condition took from each: " in s for s in found) == 2
    assert not any("ldl-" in s for s in found)
    folder = comparison.save(tmp_path / "saved")
    assert list(pd.read_csv(folder / "agreement.csv")["other"]) == ["ldl-cfbsf-normal", "ldl-log-mel-normal"]
    assert agreement_sentences(load_comparison(folder)) == agreement_sentences(comparison)


def test_what_the_sounds_explain_is_taken_out_of_the_agreement() -> None:
    comparison = both(n_words=200, share=0.0)
    draw = np.random.default_rng(1)
    make_up = pd.DataFrame({name: draw.random(200) for name in MAKE_UP})
    make_up.insert(0, "word", [f"word{word:02d}" for word in range(200)])
    clips = comparison.clips
    worse = (
        clips["word"].map(make_up.set_index("word")["share_stops"]).to_numpy() * (clips["condition"] == "hfloss") * 9
    )
    clips["word_surprisal"] += worse
    clips["target_correlation"] -= 0.1 * worse
    sounds = Sounds(make_up, *(pd.DataFrame() for _ in range(4)), "made up")
    (row,) = listener_agreement(dataclasses.replace(comparison, clips=clips, sounds=sounds)).to_dict("records")
    assert row["spearman"] > 0.5
    assert abs(row["beyond_sounds"]) < 0.25
    assert row["beyond_low"] < 0 < row["beyond_high"]
    (sentence,) = agreement_sentences(dataclasses.replace(comparison, clips=clips, sounds=sounds))
    assert "; beyond the kinds of sounds that the words are made of, " in sentence
    few = dataclasses.replace(both(n_words=50), sounds=sounds)
    assert np.isnan(listener_agreement(few)["beyond_sounds"].iloc[0])


def test_few_answers_for_many_words_are_told() -> None:
    comparison = both()
    clips = comparison.clips.assign(prediction=np.where(comparison.clips["condition"] == "normal", "?", "Shave "))
    (sentence,) = answer_sentences(dataclasses.replace(comparison, clips=clips), ["hfloss"])
    assert sentence.startswith("It fell back on few words: 1 different answer under hfloss, “shave” 100 % of the time.")
    clips = clips.assign(prediction=clips["word"])
    assert answer_sentences(dataclasses.replace(comparison, clips=clips), ["hfloss"]) == []


def test_figure_has_a_point_a_word_and_names_some_that_stand_apart() -> None:
    comparison = both(n_words=2500)
    (pair,) = counterparts(comparison)
    figure = draw_agreement(comparison, pair, listener_agreement(comparison), CONDITIONS)
    (points,) = figure.data
    assert len(points.x) == len(points.y) == len(points.customdata) == 2000
    assert 3 <= sum(map(bool, points.text)) <= 10
    assert figure.layout.annotations[0].text.startswith("hfloss: ρ = 0.6")
    assert "unadapted" in figure.layout.xaxis.title.text
    assert "C-FBSF lexicon on normal" in figure.layout.yaxis.title.text


def test_methods_tell_cues_rule_space_and_how_listeners_were_compared() -> None:
    lexicons, agreement = lexicon_methods(both())
    assert "(C-FBSF; Shafaei-Bajestan et al., 2023" in lexicons
    assert "of 128 dimensions (whisper:model), one lexicon per condition" in lexicons
    assert "a ridge regression (ridge, as a share of the summed squared cues, 1e-06)" in lexicons
    assert "mean output embeddings" in lexicons
    assert "of the lexicon of 40 words" in lexicons
    assert "Spearman's ρ over words" in agreement
    assert lexicon_methods(both(models=("base",))) == []
