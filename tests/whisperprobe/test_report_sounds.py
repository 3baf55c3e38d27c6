"""The report on the sounds of words: what its figures, captions, tables and notes say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from whisperprobe.comparison import Comparison
from whisperprobe.comparison.phonemes import ARPABET
from whisperprobe.comparison.pronunciations import Pronunciations
from whisperprobe.comparison.sounds import Sounds, compare_sounds
from whisperprobe.report.cells import SmallTable
from whisperprobe.report.palette import THEMES
from whisperprobe.report.people_figures import confusion_chart, make_up_chart
from whisperprobe.report.people_section import figures_of_people, people_methods, sounds_context
from whisperprobe.report.sound_losses import loss_chart, loss_table, shown_sounds, sound_losses

CONSONANTS = [s for s in ARPABET.values() if not s.vowel]
SAID = {f"{s.symbol}{v}".lower(): [[s.symbol, v]] for s in CONSONANTS for v in ("IY", "AA")}
ORDER = ("normal", "hfloss", "lfloss")


def heard(condition: str, given: dict[str, str], measure: str) -> pd.DataFrame:
    """Every word 10 times, answered as `given` says, else rightly; suffering goes with the word's place in the list."""
    words = np.repeat(list(SAID), 10)
    predictions = [given.get(w, w) for w in words]
    suffered = np.arange(len(words)) * (condition != "normal") + np.random.default_rng(0).normal(size=len(words))
    return pd.DataFrame(
        {
            "listener": "own", "model": "base", "condition": condition, "clip_id": [str(i) for i in range(len(words))],
            "seed": pd.array([pd.NA] * len(words), "Int64"), "word": words, "prediction": predictions,
            "correct": [a == b for a, b in zip(words, predictions, strict=True)], measure: suffered,
        }
    )  # fmt: skip


def made(measure: str = "word_surprisal") -> Comparison:
    """Under hfloss everything is heard as SH AA, under lfloss one word of 48 has an answer without pronunciation."""
    default = dict.fromkeys(SAID, "shaa") | {"viy": "fiy", "ziy": ""}
    frames = [heard("normal", {}, measure), heard("hfloss", default, measure), heard("lfloss", {"piy": "x"}, measure)]
    clips = pd.concat(frames, ignore_index=True)
    result = Comparison(clips, ("base",), ORDER, measures={"own": (measure,)}, resamples=100)
    return replace(result, sounds=compare_sounds(result, Pronunciations(SAID, "a list")))


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return made()


@pytest.fixture(scope="module")
def found(comparison: Comparison) -> Sounds:
    assert comparison.sounds is not None
    return comparison.sounds


# Confusions


def test_confusions_are_drawn_where_enough_was_wrong(comparison: Comparison) -> None:
    drawn = {name: caption for name, _, caption, _, _ in figures_of_people(comparison, ORDER)}
    assert [name for name in drawn if name.startswith("sounds-confusions")] == ["sounds-confusions-1"]
    caption = drawn["sounds-confusions-1"]
    row = comparison.sounds.classes.query("condition == 'hfloss' and manner == 'all'").iloc[0]  # type: ignore[union-attr]
    right, chance = (f"{100 * row[name]:.0f} %" for name in ("right", "right_by_chance"))
    assert f"Grey: heard right, {right} in all; with shuffled answers, {chance}. " in caption


def test_confusions_share_one_scale_and_tell_large_shares_in_numbers(found: Sounds) -> None:
    figure = confusion_chart(found, "base", "hfloss")
    heat = figure.data[0]
    assert (heat.zmin, heat.zmax) == (0, 100)
    assert "P (20)" in figure.layout.yaxis.ticktext
    assert "Z (10)" in figure.layout.yaxis.ticktext  # its other word had an empty answer
    told = {(a.y, a.x): a.text for a in figure.layout.annotations}
    assert told["B", "SH"] == "100"
    assert told["V", "F"] == "50"
    assert told["SH", "SH"] == "100"
    assert {key for key in told if key[0] != key[1]} == {
        (y, x)
        for y, row in zip(heat.y, heat.z, strict=True)
        for x, z in zip(heat.x, row, strict=True)
        if (z or 0) >= 20
    }


def luminance(colour: np.ndarray) -> float:
    share = colour / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_numbers_can_be_read_on_every_colour(found: Sounds, theme: str) -> None:
    """Contrast of WCAG 2, at least 4.5:1."""
    figure = confusion_chart(found, "base", "hfloss")
    assert all(a.font.color is None for a in figure.layout.annotations if a.x != a.y)  # the theme's ink
    layout = THEMES[theme]["layout"]
    ink, paper = (
        np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)])
        for c in (layout["font"]["color"], layout["hoverlabel"]["bgcolor"])
    )
    (*blue, faint), (*_, full) = (
        [float(x) for x in stop[1][5:-1].split(",")] for stop in figure.data[0].colorscale
    )  # fmt: skip
    for share in np.linspace(0.2, 1, 9):
        alpha = faint + share * (full - faint)
        a, b = sorted([luminance(ink), luminance(alpha * np.array(blue) + (1 - alpha) * paper)])
        assert (b + 0.05) / (a + 0.05) >= 4.5


# Effects of the make-up


@pytest.mark.parametrize(
    ("measure", "sign", "title"),
    [
        ("word_surprisal", 1, "Further bits of surprisal<br>for every 10 % of the word's sounds → suffers more"),
        ("target_correlation", -1, "correlation of the predicted with the spoken meaning<br>for every 10 %"),
        ("loudness", 1, "Further change of the<br>loudness<br>for every 10 % of the word's sounds"),
    ],
)
def test_right_is_worse_in_every_figure_of_the_make_up(measure: str, sign: int, title: str) -> None:
    comparison = made(measure)
    assert comparison.sounds is not None
    figure = make_up_chart(comparison.sounds, "base", ORDER)
    assert title in figure.layout.xaxis.title.text
    assert ("suffers more" in figure.layout.xaxis.title.text) == (measure != "loudness")
    effects = comparison.sounds.effects.query(f"measure == '{measure}' and feature == 'share_stops'")
    stops = list(figure.layout.yaxis.ticktext).index("stops")
    shown = {trace.name: trace.x[stops] for trace in figure.data}
    for row in effects.to_dict("records"):
        assert shown[row["condition"]] == pytest.approx(sign * row["slope"] / 10)
    caption = next(c for name, _, c, _, _ in figures_of_people(comparison, ORDER) if name == "sounds-effects-0")
    assert ("Right of 0: words with more such sounds lost more" in caption) == (measure != "loudness")


# Sounds lost


def losses_of(sounds: list[str], n: int) -> pd.DataFrame:
    rows = [(c, s, n, 1 - i / 100 * (c != "normal")) for i, s in enumerate(sounds) for c in ("normal", "hfloss")]
    frame = pd.DataFrame(rows, columns=["condition", "sound", "n", "right"])
    return frame.assign(lost=1 - frame["right"], heard_as=None, heard_as_share=np.nan)


def test_the_figure_shows_the_worst_and_leaves_rare_sounds_to_the_table() -> None:
    symbols = sorted(ARPABET)[:30]
    losses = losses_of(symbols, 40)
    losses.loc[(losses["sound"] == symbols[-1]) & (losses["condition"] == "hfloss"), "n"] = 9
    assert shown_sounds(losses) == (symbols[-2:-26:-1], 5)
    figure = loss_chart(losses, ("normal", "hfloss"))
    assert list(figure.layout.yaxis.ticktext) == [f"{s} (40)" for s in symbols[-25:-1]]
    assert symbols[-1] in {row[0] for row in loss_table(losses, ("normal", "hfloss"), "normal", "base").rows}
    assert shown_sounds(losses_of(symbols, 9)) == ([], 0)


def test_sounds_never_mistaken_are_heard_as_nothing_else(found: Sounds) -> None:
    table = loss_table(sound_losses(found, "base", "normal"), ORDER, "normal", "base")
    taken = {(row[0], row[2]): str(row[-1]) for row in table.rows}
    assert taken["SH", "hfloss"] == "–"
    assert taken["B", "hfloss"] == "SH (100.0 %)"
    assert not any("nan" in text for text in taken.values())


def test_the_caption_of_losses_says_which_are_shown_and_what_the_symbols_stand_for(comparison: Comparison) -> None:
    caption = next(c for name, _, c, _, _ in figures_of_people(comparison, ORDER) if name == "sounds-lost")
    assert "the 24 sounds that lost most" in caption  # of 26
    glosses = "CH as in chin, DH this, HH hat, IY beat, JH gem, NG sing, TH thin, Y yes, ZH measure."
    assert caption.endswith(f"In ARPABET: {glosses}")  # without AA and SH, which lost nothing


# Tables, notes, methods


def test_the_table_of_consonants_has_chance(comparison: Comparison, found: Sounds) -> None:
    context = sounds_context(comparison, ORDER)
    assert context is not None
    table: SmallTable = context["table"]
    at = table.titles.index("By chance")
    shown = [str(row[at]) for row in table.rows]
    assert sorted(shown) == sorted(f"{100 * value:.1f}" for value in found.classes["right_by_chance"])
    assert list(dict.fromkeys(str(row[1]) for row in table.rows)) == list(ORDER)
    old = replace(comparison, sounds=replace(found, classes=found.classes.assign(right_by_chance=np.nan)))
    again = sounds_context(old, ORDER)
    assert again is not None
    assert {str(row[at]) for row in again["table"].rows} == {"–"}


def test_the_note_tells_only_what_was_left_out(comparison: Comparison, found: Sounds) -> None:
    def note(**counts: int) -> str:
        coverage = found.coverage.head(1).assign(**counts)
        context = sounds_context(replace(comparison, sounds=replace(found, coverage=coverage)), ORDER)
        assert context is not None
        return str(context["notes"][0])

    none = {"n_clips": 90, "n_used": 90, "n_word_unknown": 0, "n_answer_unknown": 0, "n_empty": 0}
    assert note(**none).endswith("Of 90 answers, 90 were aligned.")
    assert note(**none | {"n_used": 23, "n_answer_unknown": 67}).endswith(
        "23 were aligned. 67 answers were left out, as no pronunciation of them is known."
    )
    assert note(**none | {"n_used": 86, "n_word_unknown": 1, "n_empty": 3}).endswith(
        "1 answer was left out, as no pronunciation of the word spoken is known; 3, as they were empty."
    )


def test_the_methods_give_the_costs_of_vowels_and_say_what_chance_is(comparison: Comparison) -> None:
    (text,) = people_methods(comparison)
    assert "for another vowel 0.2, with 0.4 more for another place and 0.4 for another height" in text
    assert "shuffling each model's answers among the recordings" in text
    assert "5 times, each time up to 1,000 recordings drawn at random (seed 0)" in text
