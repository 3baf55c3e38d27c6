"""TextGrids as the Montreal Forced Aligner writes them: read back, matched with transcripts, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid as praat

from audiogram.errors import InputError
from whisperprobe.alignment.textgrid import TextGrids, match_words, read_textgrid
from whisperprobe.corpora.file_names import safe_path

WORDS = [(0.1, 0.4, "the"), (0.5, 0.9, "cat's"), (0.9, 1.25, "out")]


def write(path: Path, tiers: dict[str, list], seconds: float = 1.5, form: str = "long_textgrid") -> Path:
    grid = praat.Textgrid()
    for name, entries in tiers.items():
        grid.addTier(praat.IntervalTier(name, entries, 0, seconds))
    path.parent.mkdir(parents=True, exist_ok=True)
    grid.save(str(path), form, includeBlankSpaces=True)
    return path


@pytest.mark.parametrize("form", ["long_textgrid", "short_textgrid", "json", "textgrid_json"])
def test_what_is_written_is_read(tmp_path: Path, form: str) -> None:
    path = write(tmp_path / "a.TextGrid", {"words": WORDS, "phones": [(0.1, 0.2, "dh")]}, form=form)
    found, seconds = read_textgrid(path)
    assert found == WORDS
    assert seconds == 1.5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path / "a.TextGrid", {"words": [(0.0, 1.0, "süß")]})
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    assert read_textgrid(path)[0] == [(0.0, 1.0, "süß")]


@given(
    st.lists(
        st.tuples(st.integers(1, 300), st.booleans(), st.text("abcdeé'", min_size=1, max_size=6)),
        min_size=1,
        max_size=9,
    )
)
def test_any_words_come_back(tmp_path_factory: pytest.TempPathFactory, drawn: list) -> None:
    at, entries = 0.0, []
    for length, gap, word in drawn:
        at = round(at + 0.02 * gap, 3)
        entries.append((at, round(at + length / 1000, 3), word))
        at = entries[-1][1]
    path = write(tmp_path_factory.mktemp("grid") / "a.TextGrid", {"words": entries}, seconds=round(at + 0.1, 3))
    assert read_textgrid(path)[0] == entries


def test_gaps_are_not_words_however_they_are_written(tmp_path: Path) -> None:
    entries = [(0.0, 0.1, "<eps>"), *WORDS, (1.25, 1.3, "sp"), (1.3, 1.4, "SIL")]
    assert read_textgrid(write(tmp_path / "a.TextGrid", {"words": entries}))[0] == WORDS


def test_speakers_have_tiers_of_their_own(tmp_path: Path) -> None:
    tiers = {"anna - words": [WORDS[0], WORDS[2]], "anna - phones": [(0.1, 0.2, "x")], "bert-lee - words": [WORDS[1]]}
    assert read_textgrid(write(tmp_path / "a.TextGrid", tiers))[0] == WORDS


def test_an_only_tier_needs_no_name_and_several_do(tmp_path: Path) -> None:
    assert read_textgrid(write(tmp_path / "a.TextGrid", {"Mary": WORDS}))[0] == WORDS
    path = write(tmp_path / "b.TextGrid", {"swords": WORDS, "phones": [(0.1, 0.2, "x")]})
    with pytest.raises(InputError, match="no tier of words: its tiers are swords, phones"):
        read_textgrid(path)


@pytest.mark.parametrize("content", [b"", b"not a TextGrid", b"\xff\xfe\x00", bytes(range(256))])
def test_what_is_no_textgrid_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.TextGrid (cannot be read|has no tier)"):
        read_textgrid(path)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.8, 1.0])
def test_a_file_that_ends_before_its_last_word_never_passes(tmp_path: Path, cut: float) -> None:
    path = write(tmp_path / "a.TextGrid", {"words": WORDS})
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole[: int(cut * whole.index('out"'))], encoding="utf-8")
    with pytest.raises(InputError):
        match_words("the cat's out", read_textgrid(path)[0])


def test_words_are_the_transcripts_and_times_the_aligners() -> None:
    found = match_words("The cat’s OUT!", WORDS)
    assert [(w.word, w.start, w.end, w.score) for w in found] == [
        ("The", 0.1, 0.4, None), ("cat’s", 0.5, 0.9, None), ("OUT", 0.9, 1.25, None),
    ]  # fmt: skip


def test_one_word_may_be_several_of_the_aligners() -> None:
    found = match_words("a well-known tune", [(0, 1, "a"), (1, 2, "well"), (2, 3, "known"), (3, 4, "tune")])
    assert [(w.word, w.start, w.end) for w in found] == [("a", 0, 1), ("well-known", 1, 3), ("tune", 3, 4)]


def test_an_unknown_word_of_the_aligners_stands_for_any() -> None:
    found = match_words("the zyzzyva sings", [(0, 1, "the"), (1, 2, "<unk>"), (2, 3, "sings")])
    assert [(w.word, w.start) for w in found] == [("the", 0), ("zyzzyva", 1), ("sings", 2)]


@pytest.mark.parametrize(
    "text", ["the cat's", "the cat's out now", "the dog's out", "cat's the out", "thecat's out in"]
)
def test_another_transcript_is_refused_and_both_are_named(text: str) -> None:
    with pytest.raises(InputError, match=r"does not match the transcript: .*the cat's out") as error:
        match_words(text, WORDS)
    assert text in str(error.value)


def test_clips_find_their_files_by_path(tmp_path: Path) -> None:
    ids = ["anna/yes", "bert/yes", "odd:name", "Twin", "twin"]
    write(tmp_path / "anna" / "yes.TextGrid", {"words": [(0, 1, "yes")]})
    write(tmp_path / "bert" / "yes.textgrid", {"words": [(0, 0.5, "yes")]})
    write(tmp_path / f"{safe_path('odd:name')}.TextGrid", {"words": [(0, 1, "no")]})
    grids = TextGrids(tmp_path, ids)
    assert grids.align("anna/yes", "yes")[0][0].end == 1
    assert grids.align("bert/yes", "Yes.")[0][0].end == 0.5
    assert grids.align("odd:name", "no")[1] == 1.5
    with pytest.raises(InputError, match=r"there is no twin\.TextGrid"):
        grids.align("twin", "yes")
    before = grids.describe()
    write(tmp_path / "anna" / "yes.TextGrid", {"words": [(0, 0.9, "yes")]})
    assert TextGrids(tmp_path, ids).describe() != before


def test_a_folder_without_textgrids_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no folder of TextGrids"):
        TextGrids(tmp_path / "nothing", [])
    with pytest.raises(InputError, match=r"holds no \.TextGrid"):
        TextGrids(tmp_path, [])
