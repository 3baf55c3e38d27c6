"""Listeners beside each other and against people: through compare, the command line, a folder and the report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import audiogram
from audiogram import Audiogram, Condition
from audiogram.console import run_app
from audiogram.errors import AudiogramWarning, InputError
from whisperprobe.cli import app
from whisperprobe.comparison import Comparison, ProbeRun, compare, load_comparison, summarise
from whisperprobe.comparison.effects import condition_effects
from whisperprobe.comparison.intervals import bootstrap_words
from whisperprobe.comparison.people_simulation import simulate_responses
from whisperprobe.comparison.severity import severities, severity_note
from whisperprobe.study_plan import StagePlan
from whisperprobe.study_stages import run_stage_plan

Write = Callable[..., Path]

N = 40
WORDS = [f"{a}{b}" for a in ("ba", "di", "fo", "ga", "ke", "lu", "me", "no") for b in ("t", "s", "n", "m", "k")]


def run_of(shift: float, seed: int = 0, *, ldl: bool = False) -> pd.DataFrame:
    """A run over all words by two voices; surprisal is the word's difficulty and a shift, and noise."""
    rng = np.random.default_rng([seed, round(10 * shift)])
    words = np.repeat(WORDS, 2)
    hard = np.repeat(difficulty(), 2) + shift + rng.normal(0, 0.3, 2 * N)
    correct = rng.random(2 * N) < np.exp(-0.1 * np.clip(hard, 0, None))
    frame = pd.DataFrame(
        {
            "clip_id": [f"v{i % 2}/{w}" for i, w in enumerate(words)], "text": words,
            "prediction": np.where(correct, words, "bat"), "correct": correct,
        }
    )  # fmt: skip
    if ldl:
        tops = [["bat", "dit"]] * (2 * N)
        return frame.assign(target_correlation=1 / (1 + np.exp(hard)), rank=np.round(1 + hard**2), top_words=tops)
    return frame.assign(word_surprisal=hard, word_mean_rank=1.0 + hard**2)


def difficulty() -> np.ndarray:
    return np.random.default_rng(9).normal(4, 1, N)


@pytest.fixture
def folder(tmp_path: Path, write_probe_run: Write) -> Path:
    """Runs whisper-CONDITION and ldl-CONDITION, and people.csv, whose responses go with the words' difficulty."""
    for condition, shift in (("normal", 0.0), ("hfloss", 2.0)):
        options = {"model": "models/base", "condition": audiogram.condition(condition).to_dict()}
        whisper = {"options": {**options, "vectors": "none", "top_k": 10}}
        write_probe_run(tmp_path / f"whisper-{condition}", run_of(shift), manifest=whisper)
        ldl = {"stage": "ldl", "options": {**options, "model": "models/on-normal"}}
        write_probe_run(tmp_path / f"ldl-{condition}", run_of(shift, 1, ldl=True), manifest=ldl)
    words = pd.DataFrame({"word": WORDS, "hard": difficulty(), "long": np.random.default_rng(4).normal(size=N)})
    trials = simulate_responses(words, {"hard": 0.1, "long": 0.05}, subjects=12, seed=1)
    trials = trials.assign(Item=trials["Item"].str.upper(), HearingScore=trials["Subject"].str.len())
    trials.merge(words.assign(Item=words["word"].str.upper())[["Item", "long"]]).rename(
        columns={"long": "Duration"}
    ).to_csv(tmp_path / "people.csv", index=False)
    return tmp_path


def runs_in(folder: Path) -> list[ProbeRun | Path]:
    whisper = [ProbeRun(folder / f"whisper-{c}", "base", c) for c in ("normal", "hfloss")]
    return [*whisper, folder / "ldl-normal", folder / "ldl-hfloss"]


LETTERS = {"a": "AE", "i": "IH", "o": "OW", "e": "EH", "u": "UW"}
SAID = {w: " ".join(LETTERS.get(c, c.upper()) for c in w) for w in WORDS}


@pytest.fixture
def result(folder: Path) -> Comparison:
    human = {"file": folder / "people.csv", "baseline": ["Duration"]}
    return compare(runs_in(folder), human=human, pronunciations=SAID, out=folder / "out", resamples=200)


# Both listeners


def test_every_listener_brings_its_own_measures(result: Comparison) -> None:
    assert result.models == ("base", "ldl-on-normal")
    assert result.listener("ldl-on-normal") == "ldl"
    assert result.measures_of("base") == ("correct", "word_surprisal", "word_mean_rank")
    assert result.measures_of("ldl-on-normal") == ("correct", "target_correlation", "rank")
    assert "top_words" not in result.clips  # a list is no measure
    surprisal = result.by_cell("word_surprisal")
    assert np.isnan(surprisal["ldl-on-normal", "normal"]["mean"])
    assert surprisal["base", "normal"]["mean"] == pytest.approx(run_of(0.0)["word_surprisal"].mean())
    assert result.by_cell("rank")["ldl-on-normal", "normal"]["mean"] == pytest.approx(
        run_of(0, 1, ldl=True)["rank"].mean()
    )
    assert any("ldl-on-normal understood" in s for s in summarise(result))


def test_a_listener_of_ones_own_says_its_measures(tmp_path: Path, write_probe_run: Write) -> None:
    own = {"stage": "mine", "listener": "shortlist", "measures": ["activation"]}
    frame = run_of(0.0).drop(columns=["word_surprisal", "word_mean_rank"]).assign(activation=np.arange(2.0 * N))
    result = compare([write_probe_run(tmp_path / "a", frame, manifest=own)])
    assert result.cells == (("shortlist-base", "unmasked"),)
    assert result.measures_of("shortlist-base") == ("correct", "activation")
    with pytest.raises(InputError, match="stage 'mine', not by a probe or by ldl evaluate"):
        compare([write_probe_run(tmp_path / "b", frame, manifest={"stage": "mine", "listener": "x"})])


def test_listeners_that_share_clips_must_share_all_and_others_meet_by_word(
    tmp_path: Path, write_probe_run: Write
) -> None:
    whisper = ProbeRun(write_probe_run(tmp_path / "w", run_of(0.0)), "base", "normal")
    fewer = run_of(0.0, ldl=True).iloc[1:]
    with pytest.raises(InputError, match=r"1 only in base hearing normal"):
        compare([whisper, ProbeRun(write_probe_run(tmp_path / "a", fewer, manifest={"stage": "ldl"}), "x", "normal")])
    cut = fewer.assign(clip_id="cut/" + fewer["clip_id"])
    other = ProbeRun(write_probe_run(tmp_path / "b", cut, manifest={"stage": "ldl"}), "x", "normal")
    result = compare([whisper, other])
    assert result.matrix().set_index("model")["n_clips"].to_dict() == {"base": 2 * N, "ldl-x": 2 * N - 1}
    with pytest.raises(InputError, match="two runs claim to be ldl-x hearing normal"):
        compare([whisper, other, other])


# Effects of conditions


def test_effects_are_paired_differences_of_every_measure(result: Comparison) -> None:
    effects = condition_effects(result).set_index(["model", "measure"])
    row = effects.loc[("base", "word_surprisal")]
    assert row["difference"] == pytest.approx(
        run_of(2.0)["word_surprisal"].mean() - run_of(0.0)["word_surprisal"].mean()
    )
    assert row["low"] < 2 < row["high"]
    assert effects.loc[("ldl-on-normal", "target_correlation"), "high"] < 0
    assert set(effects["reference"]) == {"normal"}


def test_seeds_are_drawn_too_where_there_are_several() -> None:
    """Two seeds that differ much, words that do not: the interval spans the seeds."""
    counts = np.ones((30, 4))
    sums = np.tile([0.0, 1.0, 0.0, 3.0], (30, 1))  # cell a: 0 with both seeds ... cell b: 1 and 3
    groups = np.array([0, 1, 0, 1])
    words = bootstrap_words(sums, counts, groups, n_groups=2)
    assert words.difference(0, 1) == (2.0, 2.0, 2.0)
    both = bootstrap_words(sums, counts, groups, n_groups=2, repeats=np.array([1, 1, 2, 2]))
    assert both.difference(0, 1) == (2.0, 1.0, 3.0)
    assert {round(float(d), 9) for d in both.draws[:, 1]} == {1.0, 2.0, 3.0}
    none = bootstrap_words(sums, counts, groups, n_groups=2, repeats=np.array([-1, -1, -1, -1]))
    np.testing.assert_array_equal(none.draws, words.draws)
    once = bootstrap_words(sums, counts, groups, n_groups=2, repeats=np.array([-1, 1, -1, 2]))
    assert once.interval(0) == (0.0, 0.0)
    assert once.interval(1) == (1.0, 3.0)


# People


def test_measures_are_held_against_people(result: Comparison) -> None:
    people = result.people
    assert people is not None
    table = people.measures.set_index(["model", "condition", "measure"])
    row = table.loc[("base", "normal", "word_surprisal")]
    assert row["n"] == N
    assert row["pearson"] > 0.4
    assert row["delta_aic"] > 5
    assert (table["p_holm"] >= table["p"]).all()
    assert table["p_holm"].min() == pytest.approx(table["p"].min() * len(table))
    assert table.loc[("ldl-on-normal", "normal", "target_correlation"), "pearson"] < -0.3
    assert people.reliability is not None
    assert 0.5 < people.reliability.value < 1
    assert row["pearson"] < people.reliability.ceiling
    assert people.baseline == ("Duration",)
    means = run_of(0.0).groupby("text")["word_surprisal"].mean()
    words = people.words[(people.words["model"] == "base") & (people.words["condition"] == "normal")].set_index("word")
    np.testing.assert_allclose(words["word_surprisal"], means[words.index])
    assert row["pearson"] == pytest.approx(np.corrcoef(words["word_surprisal"], words["response"])[0, 1])


def test_a_comparison_with_people_comes_back_from_its_folder(result: Comparison, folder: Path) -> None:
    again = load_comparison(folder / "out")
    assert again.people is not None
    assert result.people is not None
    pd.testing.assert_frame_equal(again.people.measures, result.people.measures)
    pd.testing.assert_frame_equal(again.people.words, result.people.words)
    assert again.people.reliability == result.people.reliability
    assert again.people.join == result.people.join
    assert again.people.notes == result.people.notes
    assert again.measures == result.measures
    assert summarise(again) == summarise(result)
    trials = pd.read_csv(folder / "out" / "people" / "trials.csv")
    assert {"word", "subject", "rt", "response", "centred", "HearingScore"} <= set(trials)
    tidy = pd.read_csv(folder / "out" / "people" / "words.csv")
    assert tidy.groupby(["listener", "model", "condition"]).size().tolist() == [N] * 4
    assert trials.merge(tidy[tidy["model"] == "base"], on="word").shape[0] == 2 * len(trials)


def test_findings_say_ceiling_number_of_tests_and_correction(result: Comparison) -> None:
    text = " ".join(summarise(result))
    assert result.people is not None
    assert result.people.reliability is not None
    assert f"split-half reliability is {result.people.reliability.value:.2f} (Spearman-Brown)" in text
    assert f"{len(result.people.measures)} measures were tested" in text
    assert "beyond Duration at p < 0.05 after Holm's correction" in text
    assert "Best of whisper's measures" in text
    assert "Best of ldl's measures" in text
    assert f"{N} of the {N} words that were heard have responses" in text


def test_words_without_a_predictor_count_nowhere_and_are_told(folder: Path) -> None:
    table = pd.read_csv(folder / "people.csv")
    table.loc[table["Item"].isin(["BAT", "DIS"]), "Duration"] = np.nan
    table.to_csv(folder / "people.csv", index=False)
    human = {"file": folder / "people.csv", "baseline": ["Duration"]}
    found = compare(runs_in(folder), human=human, pronunciations=SAID, resamples=100).people
    assert found is not None
    assert set(found.measures["n"]) == {N - 2}
    assert any("2 words that lack a predictor (Duration: 2)" in note for note in found.notes)


def test_constant_and_missing_measures_are_left_out_and_told(
    tmp_path: Path, folder: Path, write_probe_run: Write
) -> None:
    frame = run_of(0.0).assign(word_mean_rank=1.0, semantic_density=np.where(np.arange(2 * N) < N, np.nan, 1.0))
    run = ProbeRun(write_probe_run(tmp_path / "c", frame), "base", "normal")
    human = folder / "people.csv"
    found = compare([run], human=human, pronunciations=SAID).people
    assert found is not None
    assert set(found.measures["measure"]) == {"correct", "word_surprisal"}
    text = " ".join(found.notes)
    assert "missing for too many words: semantic_density of base hearing normal (50 %)" in text
    assert "the same for all words: word_mean_rank of base hearing normal" in text
    assert "Nothing is in the baseline; the file has Duration" in text
    with pytest.raises(InputError, match=r"word_mean_rank of base hearing normal is the same for all 40 words \(1\)"):
        compare([run], human=human, pronunciations=SAID, measures=["word_mean_rank"])
    with pytest.raises(InputError, match=r"unknown measure 'surprise'"):
        compare([run], human=human, pronunciations=SAID, measures=["surprise"])


def test_clips_without_text_join_nothing(tmp_path: Path, folder: Path, write_probe_run: Write) -> None:
    frame = run_of(0.0).assign(text=None, correct=None)
    run = ProbeRun(write_probe_run(tmp_path / "c", frame), "base", "normal")
    with pytest.raises(InputError, match="no clip has a text"):
        compare([run], human=folder / "people.csv")


def test_few_common_words_are_too_few_for_the_regression(tmp_path: Path, folder: Path, write_probe_run: Write) -> None:
    frame = run_of(0.0).iloc[:6]
    run = ProbeRun(write_probe_run(tmp_path / "c", frame), "base", "normal")
    human = {"file": folder / "people.csv", "baseline": ["Duration"]}
    with pytest.raises(
        InputError, match=r"of base hearing normal: 3 words are too few for a regression with 3 parameters"
    ):
        compare([run], human=human)
    other = run_of(0.0)
    renamed = other.assign(text=["x" + w if i >= 22 else w for i, w in enumerate(other["text"])])
    far = ProbeRun(write_probe_run(tmp_path / "d", renamed), "base", "normal")
    with pytest.warns(AudiogramWarning, match="few words meet: 11 of the 40"):
        found = compare([far], human=human, pronunciations=SAID).people
    assert found is not None
    assert found.join.why


# Severity


def test_conditions_of_unequal_severity_are_warned_of(result: Comparison) -> None:
    lf, hf, normal = (audiogram.condition(n) for n in ("lfloss", "hfloss", "normal"))
    note = severity_note([normal, lf, hf])
    assert note is not None
    assert "(PTA4) is lfloss 47.5 dB and hfloss 62.5 dB" in note
    assert f"lfloss {lf.audiogram.sii():.2f} and hfloss {hf.audiogram.sii():.2f}" in note
    assert severity_note([normal, hf]) is None
    mirrored = Condition("mirrored", Audiogram(hf.audiogram.frequencies, hf.audiogram.thresholds))
    assert severity_note([hf, mirrored]) is None
    assert not any(s.startswith("Caution") for s in summarise(result))
    sparse = severities([Condition("sparse", Audiogram([250, 1000], [10, 60]))])[0]
    assert sparse.pta4 is None
    assert sparse.sii is not None


def test_the_caution_is_among_the_findings(tmp_path: Path, write_probe_run: Write) -> None:
    runs = [
        ProbeRun(write_probe_run(tmp_path / c, run_of(s)), "base", c) for c, s in (("lfloss", 1.0), ("hfloss", 2.0))
    ]
    assert any(s.startswith("Caution: the losses differ in severity") for s in summarise(compare(runs, resamples=100)))


# Command line and report


def test_compare_and_report_with_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = ["base:normal=" + str(folder / "whisper-normal"), "base:hfloss=" + str(folder / "whisper-hfloss")]
    runs += [str(folder / "ldl-normal"), str(folder / "ldl-hfloss")]
    table = folder / "said.csv"
    pd.DataFrame({"Word": SAID.keys(), "Pronunciation": SAID.values()}).to_csv(table, index=False)
    people = ["--human", str(folder / "people.csv"), "--baseline", "Duration", "--pronunciations", str(table)]
    given = ["compare", *runs, *people, "--out", str(folder / "mine"), "--resamples", "100"]
    assert run_app(app, given) == 0
    out = capsys.readouterr().out
    assert "split-half reliability" in out
    assert "Best of ldl's measures" in out
    assert run_app(app, ["report", str(folder / "mine")]) == 0
    page = (folder / "mine.html").read_text(encoding="utf-8")
    for heading in ("Listeners side by side", "Listeners and people", "The sounds of words"):
        assert heading in page
    figures = ["people-responses", "people-gain", "sounds-effects-0", "sounds-effects-1", "sounds-confusions-0"]
    for name in figures:
        start = page.index(f'id="fig-{name}-data">') + len(f'id="fig-{name}-data">')
        assert json.loads(page[start : page.index("</script>", start)])["data"]
    assert "normal to hfloss" in page[page.index("What the conditions changed, paired by word") :]
    assert "scattergl" not in page[page.index("fig-people-responses-data") : page.index("fig-people-gain-data")]


def test_options_about_people_need_people(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(folder / "whisper-normal")
    assert run_app(app, ["compare", run, "--baseline", "Duration"]) == 2
    assert "--baseline is about people's responses, and no --human FILE was given" in capsys.readouterr().err
    assert run_app(app, ["compare", run, "--human", str(folder / "people.csv"), "--word", "Itm"]) == 2
    assert "Did you mean 'Item'" in capsys.readouterr().err


# The page


def test_the_page_has_every_column(result: Comparison, folder: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "people.md").read_text(encoding="utf-8")
    tables = page[page.index("## Tables") : page.index("## In R")]
    measured = {"pearson", "spearman"}
    for name in ("people/measures", "people/words", "people/trials", "sounds/effects", "sounds/confusions",
                 "sounds/classes", "sounds/coverage"):  # fmt: skip
        row = next(line for line in tables.splitlines() if line.startswith(f"| `{name}.csv`"))
        known = {
            "listener",
            "model",
            "condition",
            "reference",
            "measure",
            "feature",
            "word",
            "manner",
            "spoken",
            "heard",
        }
        known |= {f"{m}_{end}" for m in measured for end in ("low", "high", "p")}
        known |= {"Duration", *result.measures_of("base"), *result.measures_of("ldl-on-normal")}
        for column in pd.read_csv(folder / "out" / f"{name}.csv", nrows=1).columns:
            assert column in known or f"`{column}`" in row, (name, column)


def test_compare_is_a_stage_of_a_study(folder: Path) -> None:
    runs = [
        {"path": str(folder / f"whisper-{c}"), "model": "base", "condition": c, "seed": 1} for c in ("normal", "hfloss")
    ]
    human = {"file": str(folder / "people.csv"), "baseline": ["Duration"], "decimal": "."}
    said = folder / "said.csv"
    pd.DataFrame({"Word": SAID.keys(), "Pronunciation": SAID.values()}).to_csv(said, index=False)
    options = {
        "runs": runs,
        "out": str(folder / "study"),
        "human": human,
        "pronunciations": str(said),
        "resamples": 100,
    }
    run_stage_plan(StagePlan("compare", "compare", json.loads(json.dumps(options)), (), (str(folder / "study"),)))
    found = load_comparison(folder / "study")
    assert found.people is not None
    assert set(found.people.measures["n"]) == {N}


def test_a_page_without_whisper_shows_no_distribution_of_surprisal(folder: Path) -> None:
    compare([folder / "ldl-normal", folder / "ldl-hfloss"], out=folder / "ldl-only", resamples=100)
    assert run_app(app, ["report", str(folder / "ldl-only")]) == 0
    page = (folder / "ldl-only.html").read_text(encoding="utf-8")
    assert "Listeners side by side" in page
    assert "fig-distributions" not in page
