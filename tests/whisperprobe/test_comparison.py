"""Comparison: known answers, intervals that cover, refusals that name what differs, folds that are whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.errors import InputError, WorkError
from whisperprobe.comparison import ProbeRun, compare, load_comparison, summarise
from whisperprobe.comparison.intervals import bootstrap_words, percentile_levels
from whisperprobe.comparison.summary import Recovery, _change, _won_back, recovery, worst_words

Write = Callable[..., Path]
Make = Callable[..., pd.DataFrame]


def clips(*rows: tuple[str, str | None, str | None, bool | None, float | None]) -> pd.DataFrame:
    """Rows of (clip_id, text, prediction, correct, surprisal)."""
    frame = pd.DataFrame(rows, columns=["clip_id", "text", "prediction", "correct", "word_surprisal"])
    return frame.assign(word_mean_rank=1.0)


SMALL = clips(
    ("a1", "sick", "sick", True, 1.0), ("a2", "sick", "thick", False, 3.0), ("b1", "Fish.", "fish", True, 0.5)
)


# Known answers


def test_cells_hold_the_plain_means_and_counts(tmp_path: Path, write_probe_run: Write) -> None:
    result = compare([ProbeRun(write_probe_run(tmp_path / "a", SMALL), "base", "normal")])
    accuracy, surprisal = result.matrix("correct").iloc[0], result.matrix("word_surprisal").iloc[0]
    assert accuracy["mean"] == pytest.approx(2 / 3)
    assert surprisal["mean"] == pytest.approx(1.5)
    assert (accuracy["n_clips"], accuracy["n_words"], accuracy["n_seeds"]) == (3, 2, 1)
    assert accuracy["low"] <= accuracy["mean"] <= accuracy["high"]


def test_word_is_the_text_without_case_and_outer_punctuation(tmp_path: Path, write_probe_run: Write) -> None:
    result = compare([ProbeRun(write_probe_run(tmp_path / "a", SMALL), "base", "normal")])
    assert sorted(result.clips["word"].unique()) == ["fish", "sick"]
    assert set(result.clips["text"]) == {"sick", "Fish."}


def test_seeds_weigh_the_same_and_their_spread_is_told(tmp_path: Path, write_probe_run: Write) -> None:
    other = SMALL.assign(correct=[True, True, True])
    runs = [
        ProbeRun(write_probe_run(tmp_path / "a", SMALL), "base", "normal", 1),
        ProbeRun(write_probe_run(tmp_path / "b", other), "base", "normal", 2),
    ]
    row = compare(runs).matrix().iloc[0]
    assert row["mean"] == pytest.approx((2 / 3 + 1) / 2)
    assert (row["seed_min"], row["seed_max"], row["n_seeds"]) == (pytest.approx(2 / 3), 1.0, 2)


def test_clips_without_text_or_value_count_nowhere(tmp_path: Path, write_probe_run: Write) -> None:
    frame = pd.concat([SMALL, clips(("p", None, "mip", None, None), ("q", "sick", "sick", True, None))])
    result = compare([ProbeRun(write_probe_run(tmp_path / "a", frame), "base", "normal")])
    assert result.matrix("correct").iloc[0]["n_clips"] == 4
    assert result.matrix("word_surprisal").iloc[0]["n_clips"] == 3
    assert len(result.clips) == 5
    assert "mip" not in set(result.words()["word"])


def test_a_run_of_pseudowords_alone_has_no_mean(tmp_path: Path, write_probe_run: Write) -> None:
    frame = clips(("p", None, "mip", None, None), ("q", None, "mop", None, None))
    result = compare([ProbeRun(write_probe_run(tmp_path / "a", frame), "base", "normal")])
    row = result.matrix().iloc[0]
    assert np.isnan(row["mean"])
    assert row["n_words"] == 0
    assert summarise(result)
    assert len(load_comparison(result.save(tmp_path / "out")).clips) == 2


def test_words_name_the_most_frequent_confusion(tmp_path: Path, write_probe_run: Write) -> None:
    frame = clips(
        ("1", "sick", "Thick!", False, 2.0), ("2", "sick", "thick", False, 2.0), ("3", "sick", "fish", False, 5.0),
        ("4", "moon", " ", False, 1.0), ("5", "bed", "bed", True, 0.0),
        ("6", "bad", "bet", False, 1.0), ("7", "bad", "bed", False, 1.0),
    )  # fmt: skip
    table = compare([ProbeRun(write_probe_run(tmp_path / "a", frame), "base", "normal")]).words().set_index("word")
    assert table.loc["sick", "confusion"] == "thick"
    assert table.loc["sick", "confusion_share"] == pytest.approx(2 / 3)
    assert table.loc["sick", "surprisal"] == pytest.approx(3.0)
    assert table.loc["moon", "confusion"] == "(nothing)"
    assert table.loc["bad", "confusion"] == "bed"  # equally frequent: alphabetical
    assert table.loc["bed", "confusion"] is None
    assert table.loc["bed", "confusion_share"] == 0


def test_paired_change_is_the_difference_word_by_word(tmp_path: Path, write_probe_run: Write) -> None:
    worse = SMALL.assign(correct=[False, False, True], word_surprisal=[4.0, 6.0, 0.5])
    runs = [
        ProbeRun(write_probe_run(tmp_path / "a", SMALL), "base", "normal"),
        ProbeRun(write_probe_run(tmp_path / "b", worse), "base", "hfloss"),
    ]
    change = compare(runs).paired("word_surprisal", ("base", "normal"), ("base", "hfloss"))
    assert change.mean == pytest.approx(2.0)
    assert change.words.set_index("word")["difference"].to_dict() == {"fish": 0.0, "sick": 3.0}
    with pytest.raises(InputError, match="unknown cell 'base/hflos'"):
        compare(runs).paired("correct", ("base", "normal"), ("base", "hflos"))


def test_models_and_conditions_keep_the_order_of_a_study(study_runs: list[tuple[Path, str, str, int]]) -> None:
    result = compare([ProbeRun(*run) for run in reversed(study_runs)])
    assert result.conditions == ("hfloss", "lfloss", "normal")
    assert result.models == ("base", "hfloss", "lfloss", "normal")
    assert len(result.cells) == 12


def test_source_columns_that_bear_a_label_are_renamed(tmp_path: Path, write_probe_run: Write) -> None:
    frame = SMALL.assign(condition="quiet room", seed=7, speaker="x")
    result = compare([ProbeRun(write_probe_run(tmp_path / "a", frame), "base", "normal")])
    assert set(result.clips["condition"]) == {"normal"}
    assert set(result.clips["source_condition"]) == {"quiet room"}
    assert set(result.clips["speaker"]) == {"x"}


def test_other_numeric_columns_are_measures_and_text_is_not(tmp_path: Path, write_probe_run: Write) -> None:
    frame = SMALL.assign(mean_entropy=[1.0, 2.0, 3.0], speaker="x")
    result = compare([ProbeRun(write_probe_run(tmp_path / "a", frame), "base", "normal")])
    assert result.matrix("mean_entropy").iloc[0]["mean"] == pytest.approx(2.0)
    with pytest.raises(InputError, match="is text"):
        result.matrix("speaker")
    with pytest.raises(InputError, match=r"unknown measure 'mean_entrop'.*mean_entropy"):
        result.matrix("mean_entrop")


# Intervals


def naive_draws(sums: np.ndarray, counts: np.ndarray, seed: int, resamples: int) -> np.ndarray:
    """One resample after the other, word by word."""
    rng = np.random.default_rng(seed)
    n = len(sums)
    return np.array([sums[words].sum() / counts[words].sum() for words in rng.integers(0, n, size=(resamples, n))])


@given(st.integers(2, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_vectorised_bootstrap_equals_a_naive_loop(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, size=n).astype(float)
    sums = rng.normal(size=n) * counts
    result = bootstrap_words(sums[:, None], counts[:, None], np.array([0]), n_groups=1, seed=seed, resamples=100)
    # Both draw from one stream: the first block of 64 resamples, then the rest.
    np.testing.assert_allclose(result.draws[:64, 0], naive_draws(sums, counts, seed, 64), rtol=1e-9, atol=1e-12)
    assert result.estimates[0] == pytest.approx(sums.sum() / counts.sum())


@pytest.mark.parametrize(("n_words", "n_clips"), [(10, 8), (60, 4)])
def test_intervals_cover_the_true_mean(n_words: int, n_clips: int) -> None:
    """Words differ in difficulty; the interval is about the population of words, not about the recordings."""
    rng = np.random.default_rng(5)
    hits, studies = 0, 400
    for study in range(studies):
        difficulty = rng.normal(3.0, 1.0, size=n_words)
        values = difficulty[:, None] + rng.normal(0, 0.5, size=(n_words, n_clips))
        counts = np.full((n_words, 1), float(n_clips))
        boot = bootstrap_words(values.sum(1)[:, None], counts, np.array([0]), n_groups=1, seed=study, resamples=600)
        low, high = boot.interval(0)
        hits += low <= 3.0 <= high
    assert 0.92 <= hits / studies <= 0.98  # binomial 3 sd around 0.95: 0.917 to 0.983


def test_expanded_percentiles_meet_the_plain_ones_for_many_words() -> None:
    assert percentile_levels(10**6) == pytest.approx((0.025, 0.975), abs=1e-5)
    widths = [percentile_levels(n)[1] - percentile_levels(n)[0] for n in (3, 10, 30, 1000)]
    assert widths == sorted(widths, reverse=True)


def test_one_word_has_no_interval_and_equal_words_none_of_width() -> None:
    one = bootstrap_words(np.array([[3.0]]), np.array([[4.0]]), np.array([0]), n_groups=1)
    assert one.estimates[0] == 0.75
    assert np.isnan(one.interval(0)).all()
    equal = bootstrap_words(np.full((9, 1), 2.0), np.full((9, 1), 2.0), np.array([0]), n_groups=1)
    assert equal.interval(0) == (1.0, 1.0)


def test_cells_share_their_resamples() -> None:
    """A constant shift between two cells is a paired difference without any uncertainty."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=20)
    values, counts = np.stack([a, a + 2.0], axis=1), np.ones((20, 2))
    boot = bootstrap_words(values, counts, np.array([0, 1]), n_groups=2)
    difference, low, high = boot.difference(0, 1)
    assert (difference, low, high) == pytest.approx((2.0, 2.0, 2.0))
    assert boot.interval(0)[1] - boot.interval(0)[0] > 0.1


def test_the_same_seed_gives_the_same_interval_and_another_seed_another(
    study_runs: list[tuple[Path, str, str, int]],
) -> None:
    runs = [ProbeRun(*run) for run in study_runs if run[1] == "base"]
    first, again, other = compare(runs, seed=3), compare(runs, seed=3), compare(runs, seed=4)
    pd.testing.assert_frame_equal(first.matrix(), again.matrix())
    assert not first.matrix()["low"].equals(other.matrix()["low"])


def test_too_few_resamples_are_refused(tmp_path: Path, write_probe_run: Write) -> None:
    with pytest.raises(InputError, match="resamples=50 is too few"):
        compare([write_probe_run(tmp_path / "a", SMALL)], resamples=50)


def test_a_negative_seed_is_refused(tmp_path: Path, write_probe_run: Write) -> None:
    with pytest.raises(InputError, match="seed is a whole number, 0 or more, got -1"):
        compare([write_probe_run(tmp_path / "a", SMALL)], seed=-1)


# Refusals


def test_different_clips_are_refused_with_how_many_and_which(tmp_path: Path, write_probe_run: Write) -> None:
    runs = [
        ProbeRun(write_probe_run(tmp_path / "a", SMALL), "base", "normal"),
        ProbeRun(write_probe_run(tmp_path / "b", SMALL.iloc[1:]), "base", "hfloss"),
    ]
    with pytest.raises(InputError, match=r"1 only in base hearing normal \('a1'\)"):
        compare(runs)
    shared = compare(runs, clips="common")
    assert shared.left_out == ("a1",)
    assert set(shared.clips["clip_id"]) == {"a2", "b1"}
    assert "1 recording that not every run holds" in summarise(shared)[0]


def test_runs_without_a_common_clip_are_refused(tmp_path: Path, write_probe_run: Write) -> None:
    runs = [
        ProbeRun(write_probe_run(tmp_path / "a", SMALL.iloc[:1]), "base", "normal"),
        ProbeRun(write_probe_run(tmp_path / "b", SMALL.iloc[1:]), "base", "hfloss"),
    ]
    with pytest.raises(InputError, match="no clip is common"):
        compare(runs, clips="common")


def test_every_seed_may_draw_its_own_test_clips(tmp_path: Path, write_probe_run: Write) -> None:
    other = SMALL.assign(clip_id=["x", "y", "z"])
    runs = [
        ProbeRun(write_probe_run(tmp_path / f"{seed}{condition}", frame), "base", condition, seed)
        for seed, frame in ((1, SMALL), (2, other))
        for condition in ("normal", "hfloss")
    ]
    assert compare(runs).matrix()["n_clips"].tolist() == [6, 6]
    with pytest.raises(InputError, match="different clips"):
        compare(runs[:3])  # seed 2 lacks a condition: its clips would decide the difference


def test_empty_runs_are_refused(tmp_path: Path, write_probe_run: Write) -> None:
    with pytest.raises(InputError, match=r"base hearing normal\) holds no clips"):
        compare([ProbeRun(write_probe_run(tmp_path / "a", SMALL.iloc[:0]), "base", "normal")])


def test_the_same_labels_twice_are_refused(tmp_path: Path, write_probe_run: Write) -> None:
    a, b = (write_probe_run(tmp_path / name, SMALL) for name in "ab")
    with pytest.raises(InputError, match="two runs claim to be base hearing normal, seed 1"):
        compare([ProbeRun(a, "base", "normal", 1), ProbeRun(b, "base", "normal", 1)])


def test_a_folder_that_is_no_probe_run_is_refused(tmp_path: Path, write_probe_run: Write) -> None:
    with pytest.raises(InputError, match="is not a probe run"):
        compare([tmp_path])
    with pytest.raises(InputError, match="is not a probe run"):
        compare([tmp_path / "missing"])
    masked = write_probe_run(tmp_path / "m", SMALL, manifest={"stage": "mask"})
    with pytest.raises(InputError, match="stage 'mask', not by a probe"):
        compare([masked])


def test_an_unfinished_run_is_refused(tmp_path: Path, write_probe_run: Write) -> None:
    plan = {"rows": {"test": 512}, "rows_per_part": 256}
    with pytest.raises(InputError, match="is not finished"):
        compare([write_probe_run(tmp_path / "a", SMALL, manifest={"plan": plan})])


def test_other_texts_and_repeated_clips_are_refused(tmp_path: Path, write_probe_run: Write) -> None:
    runs = [
        ProbeRun(write_probe_run(tmp_path / "a", SMALL), "base", "normal"),
        ProbeRun(write_probe_run(tmp_path / "b", SMALL.assign(text=["sick", "ship", "fish"])), "base", "hfloss"),
    ]
    with pytest.raises(InputError, match=r"1 clips have another text.*'a2'.*'sick' and 'ship'"):
        compare(runs)
    with pytest.raises(InputError, match="holds 3 clip ids twice"):
        compare([write_probe_run(tmp_path / "c", pd.concat([SMALL, SMALL]))])


@pytest.mark.parametrize("labels", [("", "normal"), ("base", " "), (None, "normal"), ("base", "normal", "1")])
def test_labels_are_validated(labels: tuple[object, ...]) -> None:
    with pytest.raises(InputError, match="ProbeRun"):
        ProbeRun("x", *labels)  # type: ignore[arg-type]


@pytest.mark.parametrize("runs", [[], "folder"])
def test_runs_must_be_a_list_of_some(runs: object) -> None:
    with pytest.raises(InputError, match="needs a list of probe runs"):
        compare(runs)  # type: ignore[arg-type]


def test_bare_paths_are_labelled_from_their_manifests(tmp_path: Path, write_probe_run: Write) -> None:
    options = {"model": "somewhere/whisper-small", "condition": {"name": "hfloss"}}
    result = compare([write_probe_run(tmp_path / "a", SMALL, manifest={"options": options})])
    assert result.cells == (("whisper-small", "hfloss"),)
    masked = {"model": "somewhere/whisper-small", "condition": None, "corpus_condition": {"name": "lfloss"}}
    result = compare([write_probe_run(tmp_path / "b", SMALL, manifest={"options": masked})])
    assert result.cells == (("whisper-small", "lfloss"),)
    assert repr(result) == "<Comparison of whisper-small hearing lfloss: 3 rows>"
    said = " ".join(summarise(result))
    assert "The model whisper-small understood" in said
    assert "tuned on" not in said  # a folder's name does not say what the model was tuned on


# Folds


def test_saved_comparisons_come_back_and_have_the_same_bytes(
    tmp_path: Path, study_runs: list[tuple[Path, str, str, int]]
) -> None:
    runs = [ProbeRun(*run) for run in study_runs]
    first = compare(runs, out=tmp_path / "one")
    compare(runs, out=tmp_path / "two")
    names = sorted(p.name for p in (tmp_path / "one").iterdir())
    assert names == ["clips.parquet", "comparison.json", "effects.csv", "matrix.csv", "words.csv"]
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    again = load_comparison(tmp_path / "one")
    pd.testing.assert_frame_equal(again.matrix("word_surprisal"), first.matrix("word_surprisal"))
    assert summarise(again) == summarise(first)
    assert again.runs == first.runs
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_saving_replaces_the_whole_folder_and_nothing_foreign(tmp_path: Path, write_probe_run: Write) -> None:
    result = compare([ProbeRun(write_probe_run(tmp_path / "a", SMALL), "base", "normal")])
    out = result.save(tmp_path / "out")
    (out / "left-over.txt").write_text("from an older version")
    result.save(out)
    assert not (out / "left-over.txt").exists()
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").write_text("years of work")
    with pytest.raises(InputError, match="belongs to something else"):
        result.save(foreign)
    assert (foreign / "chapter.tex").read_text() == "years of work"
    with pytest.raises(InputError, match="is a file"):
        result.save(foreign / "chapter.tex")


def test_loading_something_else_or_something_damaged_is_an_error(tmp_path: Path, write_probe_run: Write) -> None:
    with pytest.raises(InputError, match="is not a comparison"):
        load_comparison(tmp_path)
    out = compare([ProbeRun(write_probe_run(tmp_path / "a", SMALL), "base", "normal")]).save(tmp_path / "out")
    about = json.loads((out / "comparison.json").read_text())
    (out / "comparison.json").write_text(json.dumps({**about, "format": 99}))
    with pytest.raises(InputError, match="has format 99"):
        load_comparison(out)
    (out / "comparison.json").write_text(json.dumps(about))
    (out / "clips.parquet").write_bytes(b"PAR1")
    with pytest.raises(WorkError, match="is damaged"):
        load_comparison(out)


# What was found


def test_summary_says_drop_recovery_transfer_and_words(study_runs: list[tuple[Path, str, str, int]]) -> None:
    result = compare([ProbeRun(*run) for run in study_runs])
    sentences = summarise(result, ["normal", "lfloss", "hfloss"])
    matrix = result.matrix().set_index(["model", "condition"])["mean"]
    assert "averaged over 2 seeds" in sentences[0]
    assert f"understood {100 * matrix['base', 'normal']:.1f} %" in sentences[1]
    assert f"Under hfloss, it understood {100 * matrix['base', 'hfloss']:.1f} %" in " ".join(sentences)
    drop = matrix["base", "normal"] - matrix["base", "hfloss"]
    assert f"{100 * drop:.1f} percentage points less" in " ".join(sentences)
    share = (matrix["hfloss", "hfloss"] - matrix["base", "hfloss"]) / drop
    found = recovery(result, "hfloss", "normal")
    assert found is not None
    assert found.share == pytest.approx(share)
    assert found.low < found.share < found.high
    assert f"of the drop was recovered ({100 * share:.0f} %" in " ".join(sentences)
    assert any(s.startswith("Transfer: the model tuned on lfloss") and "under hfloss" in s for s in sentences)
    worst = worst_words(result, "hfloss", "normal").iloc[0]
    assert any(s.startswith("The words that suffered most under hfloss") and worst["word"] in s for s in sentences)


def test_summary_claims_no_drop_where_there_is_none(tmp_path: Path, write_probe_run: Write) -> None:
    runs = [
        ProbeRun(write_probe_run(tmp_path / m / c, SMALL), m, c)
        for m in ("base", "hfloss")
        for c in ("normal", "hfloss")
    ]
    text = " ".join(summarise(compare(runs)))
    assert "no more and no less" in text
    assert "recovered" not in text
    assert "No word was understood worse under hfloss" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((-0.3, -0.4, -0.2), "30.0 percentage points less (20.0 to 40.0)"),
        ((-0.0004, -0.02, 0.013), "under 0.1 percentage points less, a difference that these words do not settle"),
        ((0.0, -0.02, 0.02), "no more and no less on average (−2.0 to +2.0)"),
        ((0.01, -0.0001, 0.02), "1.0 percentage points more, a difference that these words do not settle (0.0 to"),
        ((-1.0, -1.0, -1.0), "100.0 percentage points less"),
    ],
)
def test_changes_are_never_said_to_be_zero_and_something(change: tuple[float, float, float], said: str) -> None:
    text = _change(*change)
    assert text == said or text.startswith(said)
    assert "(100.0 to 100.0)" not in text


@pytest.mark.parametrize(
    ("share", "said"),
    [
        ((1.0, 1.0, 1.0), "all of the drop was recovered (100 %)."),
        ((0.99, 0.97, 1.01), "most of the drop was recovered (99 %, 97 to 101 %)."),
        ((0.2, -0.05, 0.45), "some of the drop was recovered (20 %, −5 to 45 %), which these words do not settle."),
        ((0.003, 0.001, 0.01), "hardly any of the drop was recovered (0 %, 0 to 1 %)."),
        ((-0.1, -0.2, 0.1), "nothing of the drop was recovered."),
    ],
)
def test_recovery_is_said_in_words_that_fit_its_share(share: tuple[float, float, float], said: str) -> None:
    assert _won_back(Recovery(*share)) == said


def test_summary_says_what_the_words_do_not_settle(
    tmp_path: Path, write_probe_run: Write, synthetic_clips: Make
) -> None:
    other, base = sorted((synthetic_clips(0.7, seed=s) for s in (1, 2)), key=lambda clips: clips["correct"].mean())
    assert other["correct"].mean() < base["correct"].mean()
    runs = [
        ProbeRun(write_probe_run(tmp_path / "n", base), "base", "normal"),
        ProbeRun(write_probe_run(tmp_path / "h", other), "base", "hfloss"),
        ProbeRun(write_probe_run(tmp_path / "t", synthetic_clips(0.9, seed=3)), "hfloss", "hfloss"),
    ]
    result = compare(runs)
    change = result.paired("correct", ("base", "normal"), ("base", "hfloss"))
    assert change.low < 0 < change.high
    text = " ".join(summarise(result))
    assert "a difference that these words do not settle" in text
    assert "recovered" not in text  # a share of a drop that may not exist is no number


def test_summary_works_without_base_or_normal(tmp_path: Path, write_probe_run: Write, synthetic_clips: Make) -> None:
    runs = [ProbeRun(write_probe_run(tmp_path / c, synthetic_clips(a)), "n3", c) for c, a in (("n1", 0.9), ("n3", 0.8))]
    sentences = summarise(compare(runs))
    assert any("Fine-tuned on n3" in s for s in sentences)
    assert not any("unadapted" in s for s in sentences)
    with pytest.raises(InputError, match="unknown condition 'n2'"):
        summarise(compare(runs), ["n2"])
