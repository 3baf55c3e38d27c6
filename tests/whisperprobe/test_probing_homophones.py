"""Homophones: what sounds alike is correct, in every way to ask for it, and nothing else is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import whisperprobe as wp
from audiogram.errors import InputError
from whisperprobe import demo, labels
from whisperprobe.probing.homophones import Homophones

MODEL = Path(demo.__file__).parent / "model"
SETS = [("two", "too", "to"), ("read", "red"), ("read", "reed"), ("naïve", "nigh-eve")]


@pytest.fixture(scope="module")
def homophones():
    return Homophones.of(SETS, labels.text_normaliser(None))


@pytest.mark.parametrize(
    ("prediction", "text", "same"),
    [
        ("Too.", "two", True),
        ("2", "to", True),
        ("I red two", "i read TOO", True),
        ("red", "reed", False),  # each sounds like one way to say "read"
        ("red read", "reed red", False),
        ("too to", "two", False),
        ("nigh-eve", "Naïve", True),
        ("fish", "Fish!", True),
        ("fish", "ship", False),
        ("", "two", False),
        ("", "", True),
    ],
)
def test_texts_are_the_same_but_for_words_that_sound_alike(homophones, prediction, text, same):
    assert homophones.same(prediction, text) is same
    assert homophones.same(text, prediction) is same


def test_a_file_has_a_set_per_line(homophones, tmp_path):
    (tmp_path / "a.txt").write_text("\ufefftwo, too,to\n\nread\tred\n read reed \nnaïve nigh-eve\n", encoding="utf-8")
    read = Homophones.of(tmp_path / "a.txt", labels.text_normaliser(None))
    assert read.sets == homophones.sets
    assert read.describe() == homophones.describe()


@pytest.mark.parametrize("sets", [[], [["two"]], ["two too"], [["two", 2]], [["two", " "]], "nowhere.txt"])
def test_what_is_no_list_is_refused(sets):
    with pytest.raises(InputError, match="homophones"):
        Homophones.of(sets, labels.text_normaliser(None))


def test_a_probe_has_the_column_where_a_list_is_given():
    probe = wp.Probe.from_pretrained(MODEL, device="cpu")
    clips = [np.sin(np.arange(8_000) / (20 + i)).astype(np.float32) for i in range(3)]
    answer = str(probe(clips[:1]).clips["prediction"][0])
    asked = {"homophones": [(answer, "bough"), ("two", "too")]}
    run = probe(clips[:1] * 3 + clips[1:2], ["bough", "two", answer, None], **asked)
    assert run.clips["correct"].tolist() == [False, False, True, None]
    assert run.clips["correct_homophone"].tolist() == [True, False, True, None]
    assert run.manifest["options"]["homophones"]["sets"] == 2
    assert "correct_homophone" not in probe(clips[:1], ["two"]).clips
    windows = probe(clips[:1], ["bough"], long_audio="windows", **asked)
    assert windows.clips["correct_homophone"].tolist() == [True]
