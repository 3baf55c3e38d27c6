"""Words of a transcript, and the silence between them: split, never lost, never counted twice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from audiogram.errors import InputError
from whisperprobe.alignment.gaps import AlignedWord, refuse_unlikely, split_gaps
from whisperprobe.alignment.spoken import letters, spoken_words


@st.composite
def found_words(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, float]:
    times = sorted(draw(st.lists(st.integers(0, 10_000), min_size=3, max_size=21)))
    count = (len(times) - 1) // 2
    return np.array(times[: 2 * count : 2]) / 1000, np.array(times[1 : 2 * count : 2]) / 1000, times[-1] / 1000


@given(found_words(), st.floats(0, 5))
def test_each_word_gets_half_of_every_gap(found: tuple[np.ndarray, np.ndarray, float], edges: float) -> None:
    starts, ends, seconds = found
    s, e = split_gaps(starts, ends, seconds, edges)
    assert np.array_equal(s[1:], e[:-1])
    assert np.allclose(s[1:] - ends[:-1], starts[1:] - s[1:], atol=1e-12)
    assert (e >= s).all()
    assert s[0] == pytest.approx(max(0, starts[0] - edges))
    assert e[-1] == pytest.approx(min(seconds, ends[-1] + edges))


@given(found_words())
def test_with_all_of_the_edges_words_tile_the_clip(found: tuple[np.ndarray, np.ndarray, float]) -> None:
    starts, ends, seconds = found
    s, e = split_gaps(starts, ends, seconds, np.inf)
    assert s[0] == 0
    assert e[-1] == seconds
    assert (e - s).sum() == pytest.approx(seconds)
    assert (s <= starts).all()
    assert (e >= ends).all()


def test_words_that_overlap_are_parted_in_the_middle() -> None:
    s, e = split_gaps([0.0, 0.5], [0.7, 1.0], 1.0)
    assert (s.tolist(), e.tolist()) == ([0.0, 0.6], [0.6, 1.0])


@pytest.mark.parametrize(
    ("starts", "ends", "seconds", "edges", "said"),
    [
        ([0.5], [0.4], 1, 0.1, "ends before it begins"),
        ([0.5, 0.2], [0.6, 0.9], 1, 0.1, "comes behind its successor"),
        ([0.1, 0.2], [0.9, 0.8], 1, 0.1, "comes behind its successor"),
        ([0.5], [1.2], 1, 0.1, "outside of the clip of 1.000 s"),
        ([-0.1], [0.2], 1, 0.1, "outside of the clip"),
        ([float("nan")], [0.2], 1, 0.1, "no finite time"),
        ([], [], 1, 0.1, "one of each for every word"),
        ([0.1], [0.2, 0.3], 1, 0.1, "one of each for every word"),
        ([0.1], [0.2], 1, -0.1, "a length of silence"),
        ([0.1], [0.2], 1, float("nan"), "a length of silence"),
    ],
)
def test_impossible_times_are_refused(starts: list, ends: list, seconds: float, edges: float, said: str) -> None:
    with pytest.raises(InputError, match=said):
        split_gaps(starts, ends, seconds, edges)


def test_a_word_that_ends_with_its_clip_may_be_rounded() -> None:
    assert split_gaps([0.1], [1.0004], 1.0)[1].tolist() == [1.0]


@given(st.text(max_size=40))
def test_words_are_cut_out_of_the_transcript_as_written(text: str) -> None:
    words = spoken_words(text)
    assert [text[w.start : w.end] for w in words] == [w.word for w in words]
    assert all(a.end < b.start for a, b in itertools.pairwise(words))
    assert not any(c.isspace() for w in words for c in w.word)
    kept = "".join(text[w.start : w.end] for w in words)
    assert letters(kept) == letters(text)  # no letter is lost with the punctuation


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("… — !", []),
        ("Hello, world!", ["Hello", "world"]),
        ("she's well-known", ["she's", "well-known"]),
        ("¿Qué?", ["Qué"]),
        ("the the", ["the", "the"]),
        ("5% & more", ["5%", "&", "more"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert [w.word for w in spoken_words(text)] == words


def test_a_low_score_names_both_texts() -> None:
    words = [AlignedWord("yes", 0, 1, 0.2), AlignedWord("sir", 1, 2, 0.1)]
    refuse_unlikely(words, "yes sir", "no", 0.15)
    with pytest.raises(InputError, match=r"score 0\.150.*'yes sir'.*'no'"):
        refuse_unlikely(words, "yes sir", "no", 0.16)
