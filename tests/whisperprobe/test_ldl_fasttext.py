"""fastText models: bytes written here by the format's description; other people's readers judge in tests/peers."""

from __future__ import annotations

import resource
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audiogram.errors import InputError
from whisperprobe.ldl import open_semantics
from whisperprobe.ldl.fasttext import FastTextFile, subword_hashes

WORDS = ["</s>", "ship", "été", "日本", "Chip"]
DIMENSIONS, BUCKETS = 4, 13


def model(
    words: list[str] = WORDS, *, labels: int = 0, version: int = 12, kind: int = 2, quantised: bool = False,
    pruned: int = -1, minn: int = 2, maxn: int = 3, buckets: int = BUCKETS, seed: int = 0,
) -> tuple[bytes, np.ndarray]:  # fmt: skip
    """A model's bytes, and its input matrix."""
    rows = np.random.default_rng(seed).standard_normal((len(words) + buckets, DIMENSIONS)).astype("<f4")
    out = struct.pack("<ii", 793_712_314, version)
    out += struct.pack("<12id", DIMENSIONS, 5, 5, 1, 5, 1, 2, kind, buckets, minn, maxn, 100, 1e-4)
    out += struct.pack("<iiiqq", len(words) + labels, len(words), labels, 1000, pruned)
    for number in range(len(words) + labels):
        name = words[number] if number < len(words) else f"__label__{number}"
        out += name.encode() + b"\0" + struct.pack("<qb", 10, number >= len(words))
    out += b"\0" * (8 * max(0, pruned))
    out += struct.pack("<?qq", quantised, *rows.shape) + rows.tobytes()
    out += struct.pack("<?qq", False, 2, DIMENSIONS) + b"\0" * (8 * DIMENSIONS)
    return out, rows


def fnv(text: bytes) -> int:
    """FNV-1a of 32 bits over signed bytes."""
    h = 2_166_136_261
    for byte in text:
        h = (h ^ (byte - 256 if byte > 127 else byte) & 0xFFFFFFFF) * 16_777_619 % 2**32
    return h


def grams(word: str, minn: int, maxn: int) -> list[str]:
    text = f"<{word}>"
    return [
        text[i : i + n]
        for i in range(len(text))
        for n in range(minn, maxn + 1)
        if i + n <= len(text) and not (n == 1 and i in (0, len(text) - 1))
    ]


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_the_hash_is_fnv_1a_with_signed_bytes() -> None:
    assert fnv(b"foobar") == 0xBF9CF968  # a test vector of the FNV draft
    assert subword_hashes(b"foobar", 8, 8) == [fnv(b"<foobar>")]
    assert fnv("é".encode()) != 0x811C9DC5 * 16_777_619 % 2**32
    unsigned = 2_166_136_261
    for byte in "<é>".encode():
        unsigned = (unsigned ^ byte) * 16_777_619 % 2**32
    assert subword_hashes("é".encode(), 3, 3) == [fnv("<é>".encode())] != [unsigned]


@settings(max_examples=100, deadline=None)
@given(word=st.text(max_size=12), minn=st.integers(1, 4), more=st.integers(0, 4))
def test_subwords_are_the_n_grams_of_letters(word: str, minn: int, more: int) -> None:
    encoded = word.encode(errors="surrogatepass")
    expected = [fnv(g.encode(errors="surrogatepass")) for g in grams(word, minn, minn + more)]
    assert subword_hashes(encoded, minn, minn + more) == expected


def test_vectors_are_means_of_a_words_row_and_its_subwords(tmp_path: Path) -> None:
    content, rows = model()
    space = open_semantics(write(tmp_path / "small.en.bin", content))
    assert (space.name, space.kind, space.dimensions) == ("small.en", "fasttext", DIMENSIONS)
    found = space.look_up([*WORDS, "chips", "été!", "chip"])
    assert found.found.tolist() == ["exact"] * 5 + ["subword", "subword", "capitalised"]
    for number, word in enumerate(WORDS):
        parts = [] if word == "</s>" else grams(word, 2, 3)
        of = [number, *(len(WORDS) + fnv(g.encode()) % BUCKETS for g in parts)]
        assert found.vectors[number] == pytest.approx(rows[of].mean(axis=0), abs=1e-6)
    of = [len(WORDS) + fnv(g.encode()) % BUCKETS for g in grams("chips", 2, 3)]
    assert found.vectors[5] == pytest.approx(rows[of].mean(axis=0), abs=1e-6)
    assert np.array_equal(found.vectors[7], found.vectors[4])


def test_a_word_without_subwords_of_the_models_lengths_is_missing(tmp_path: Path) -> None:
    content, _ = model(minn=6, maxn=6)
    found = open_semantics(write(tmp_path / "a.bin", content)).look_up(["ab", "abcdef", "", "  "])
    assert found.found.tolist() == ["missing", "subword", "missing", "missing"]
    assert found.missing == ["ab", "", "  "]
    assert not found.vectors[[0, 2, 3]].any()
    content, _ = model(minn=0, maxn=0, buckets=0)
    found = open_semantics(write(tmp_path / "b.bin", content)).look_up(["ship", "shipping"])
    assert found.found.tolist() == ["exact", "missing"]


def test_labels_are_no_words_and_old_classifiers_have_no_subwords(tmp_path: Path) -> None:
    content, rows = model(labels=2, kind=3, version=11)
    space = open_semantics(write(tmp_path / "a.bin", content))
    found = space.look_up(["ship", "__label__5", "unheard"])
    assert found.found.tolist() == ["exact", "missing", "missing"]
    assert np.array_equal(found.vectors[0], rows[1])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "too short"),
        (b"\x1f\x8b" + bytes(100), "compressed: unpack it first"),
        (b"3 2\nship 0.1 0.2\n" * 9, r"no fastText model: it does not begin as one does.*end in \.vec"),
        (model(version=10)[0], "version 10; versions 11 and 12"),
        (model(quantised=True)[0], r"quantised .* not the \.ftz"),
        (model(pruned=0)[0], "quantised"),
        (model(buckets=0)[0], "subwords, but no buckets"),
        (model(["ship", "chip", "ship"])[0], "1 words of its dictionary are there twice"),
        (model()[0][:-1], "1 or more are missing"),
    ],
)
def test_what_is_no_whole_model_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_semantics(write(tmp_path / "a.bin", content))


def test_every_truncated_model_is_refused(tmp_path: Path) -> None:
    content, _ = model(labels=1)
    path = tmp_path / "a.bin"
    for length in range(len(content)):
        with pytest.raises(InputError):
            FastTextFile(write(path, content[:length]))
    assert len(FastTextFile(write(path, content))) == len(WORDS)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_header_is_refused_without_taking_memory(tmp_path: Path, data: st.DataObject) -> None:
    content, _ = model(labels=1)
    damaged = bytearray(content)
    header = len(content) - 8 * DIMENSIONS - 4 * DIMENSIONS * (len(WORDS) + BUCKETS)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, header - 1))] = data.draw(st.integers(0, 255))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        found = open_semantics(write(tmp_path / "a.bin", bytes(damaged))).look_up(["ship", "unheard"])
    except InputError as error:
        assert str(tmp_path / "a.bin") in str(error)  # noqa: PT017
    else:
        assert found.vectors.shape[0] == 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB
