"""Alignment and cutting of words as row stages: nothing lost, nothing twice, the same bytes however they end."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from praatio import textgrid as praat

from audiogram import mask_corpus, open_corpus
from audiogram.console import run_app
from audiogram.errors import InputError, StoppedError, WorkError
from whisperprobe import align_corpus, cut_words, load_alignment, measure_shift, verify_folder
from whisperprobe.alignment.gaps import AlignedWord
from whisperprobe.alignment.spoken import spoken_words
from whisperprobe.cli import app

RATE = 16_000
TEXTS = ["the cat sat", "yes", "a well-known café, no?", "one two three four five", "so", "no no no"]


class Even:
    """An aligner by which words take equal shares of what lies between 0.1 s and 0.1 s before the end."""

    method, sample_rate, batch_size, max_seconds = "ctc", RATE, 2, None

    def __call__(self, waveforms: Any, texts: Any) -> list:
        found = []
        for x, text in zip(waveforms, texts, strict=True):
            words = [w.word for w in spoken_words(text)]
            cuts = np.linspace(0.1, len(x) / RATE - 0.1, 2 * len(words))
            spans = zip(words, cuts[::2], cuts[1::2], strict=True)
            found.append([AlignedWord(w, float(a), float(b), 0.5) for w, a, b in spans])
        return found

    def describe(self) -> dict:
        return {"model": "even"}


def write_speech(folder: Path, texts: list[str | None] = TEXTS, split: str = "test") -> Path:
    (folder / split / "anna").mkdir(parents=True)
    with open(folder / split / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file_name", "text", "speaker"])
        for number, text in enumerate(texts):
            x = np.random.default_rng(number).normal(size=RATE // 2 + 1600 * number).clip(-4, 4) / 8
            soundfile.write(folder / split / "anna" / f"s{number}.wav", x, RATE, subtype="PCM_16")
            rows.writerow([f"anna/s{number}.wav", text or "", "anna" if number % 2 else "bert"])
    return folder


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speech(tmp_path_factory.mktemp("speech") / "speech")


@pytest.fixture(scope="module")
def alignment(speech: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return align_corpus(speech, tmp_path_factory.mktemp("alignment") / "a", model=Even(), edges=np.inf, rows_per_part=4)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def failures(folder: Path) -> dict[str, str]:
    rows = [row for file in sorted(folder.glob("failures/*.parquet")) for row in pq.read_table(file).to_pylist()]
    return {row["id"]: row["error"] for row in rows}


def sound_of(folder: Path) -> dict[str, np.ndarray]:
    corpus = open_corpus(folder)
    return {clip.id: clip.audio()[0] for split in corpus.splits for clip in corpus.read(split)}


def test_one_row_per_word_with_times_score_and_the_clips_columns(speech: Path, alignment: Path) -> None:
    frame = load_alignment(alignment)
    assert list(frame.columns) == [
        "clip_id", "word_index", "word", "start", "end", "score", "method", "spoken_start", "spoken_end", "text",
        "speaker",
    ]  # fmt: skip
    corpus = open_corpus(speech)
    assert list(dict.fromkeys(frame["clip_id"])) == corpus.ids("test")
    for clip in corpus.read("test"):
        own = frame[frame["clip_id"] == clip.id]
        x, rate = clip.audio()
        assert own["word"].tolist() == [w.word for w in spoken_words(clip.text)]
        assert own["word_index"].tolist() == list(range(len(own)))
        assert own["text"].unique().tolist() == [clip.text]
        assert own["speaker"].unique().tolist() == [clip.metadata["speaker"]]
        assert (own["start"].iloc[0], own["end"].iloc[-1]) == (0.0, len(x) / rate)
        assert np.array_equal(own["start"][1:], own["end"][:-1])
        gaps = own["spoken_start"].to_numpy()[1:] - own["spoken_end"].to_numpy()[:-1]
        assert np.allclose(own["start"].to_numpy()[1:] - own["spoken_end"].to_numpy()[:-1], gaps / 2)


def test_a_shift_moves_words_as_far_as_the_clip_reaches(speech: Path, alignment: Path, tmp_path: Path) -> None:
    late = load_alignment(align_corpus(speech, tmp_path / "a", model=Even(), edges=0.0, shift=0.05))
    early = load_alignment(align_corpus(speech, tmp_path / "b", model=Even(), edges=0.0, shift=-0.2))
    frame = load_alignment(alignment)
    assert np.allclose(late["spoken_start"], frame["spoken_start"] - 0.05)
    assert (early["spoken_end"] <= frame.groupby("clip_id")["end"].transform("max") + 1e-9).all()
    with pytest.raises(InputError, match="Is it given in milliseconds"):
        align_corpus(speech, tmp_path / "c", model=Even(), shift=50)


def test_shards_and_what_was_begun_end_with_the_same_bytes(speech: Path, alignment: Path, tmp_path: Path) -> None:
    options = {"model": Even(), "edges": np.inf, "rows_per_part": 4}
    for shard in ("1/2", "0/2"):
        align_corpus(speech, tmp_path / "a", shard=shard, **options)
    assert tree(tmp_path / "a") == tree(alignment)
    (tmp_path / "a" / "failures" / "test-00001-of-00002.parquet").unlink()
    align_corpus(speech, tmp_path / "a", **options)
    assert tree(tmp_path / "a") == tree(alignment)
    with pytest.raises(InputError, match="belongs to another run: edges"):
        align_corpus(speech, tmp_path / "a", **(options | {"edges": 0.0}))


def test_a_clip_that_cannot_be_aligned_is_a_failure_and_stops_nothing(tmp_path: Path) -> None:
    folder = write_speech(tmp_path / "speech", [*TEXTS, None, "…", "silent", "damaged"])
    soundfile.write(folder / "test" / "anna" / "s8.wav", np.zeros(1000), RATE)
    (folder / "test" / "anna" / "s9.wav").write_bytes(b"no sound")

    class Picky(Even):
        def __call__(self, waveforms: Any, texts: Any) -> list:
            refused = InputError("the model does not like it.")
            words = super().__call__(waveforms, [t if t != "…" else "x" for t in texts])
            return [refused if t == "…" else w for w, t in zip(words, texts, strict=True)]

    with pytest.raises(WorkError, match="4 of 10 clips of split 'test' failed"):
        align_corpus(folder, tmp_path / "a", model=Picky())
    found = failures(tmp_path / "a")
    assert [*found] == [f"test/anna/s{n}" for n in (6, 7, 8, 9)]
    assert "no transcript" in found["test/anna/s6"]
    assert found["test/anna/s7"] == "the model does not like it."
    assert "silent" in found["test/anna/s8"]
    assert load_alignment(tmp_path / "a")["clip_id"].nunique() == 6
    assert verify_folder(tmp_path / "a").sound


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "dtw"}, "dtw"),
        ({"method": "ctc"}, "takes a model"),
        ({"method": "whisper", "model": Even()}, "the aligner, Even, is none of method 'whisper'"),
        ({"method": "textgrid"}, "takes a folder of TextGrids"),
        ({"method": "ctc", "model": Even(), "textgrids": "x"}, "takes a model"),
        ({"method": "ctc", "model": Even(), "edges": -1}, "a length of silence"),
        ({"method": "ctc", "model": Even(), "batch_size": 0}, "batch_size is 0"),
        ({"method": "ctc", "model": Even(), "splits": ["dev"]}, "no split 'dev'"),
    ],
)
def test_a_wrong_call_is_refused_before_any_work(speech: Path, tmp_path: Path, options: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        align_corpus(speech, tmp_path / "a", **options)
    assert not (tmp_path / "a").exists()


def test_textgrids_are_imported_and_mismatches_fail(speech: Path, tmp_path: Path) -> None:
    for number, text in enumerate(TEXTS[:4]):
        words = [w.word.lower() for w in spoken_words(text if number != 1 else "other words")]
        grid = praat.Textgrid()
        spans = [(round(0.1 + 0.05 * i, 3), round(0.14 + 0.05 * i, 3), w) for i, w in enumerate(words)]
        grid.addTier(praat.IntervalTier("bert - words", spans, 0, 0.5 + 0.1 * number))
        path = tmp_path / "grids" / "test" / "anna" / f"s{number}.TextGrid"
        path.parent.mkdir(parents=True, exist_ok=True)
        grid.save(str(path), "long_textgrid", includeBlankSpaces=True)
    run = ["align", str(speech), "--method", "textgrid", "--textgrids", str(tmp_path / "grids"), "--out"]
    assert run_app(app, [*run, str(tmp_path / "a"), "--quiet"]) == 1
    assert run_app(app, [*run, str(tmp_path / "a"), "--quiet", "--max-failures", "1"]) == 0
    frame = load_alignment(tmp_path / "a")
    assert frame[frame["clip_id"] == "test/anna/s2"]["word"].tolist() == ["a", "well-known", "café", "no"]
    assert frame["score"].isna().all()
    found = failures(tmp_path / "a")
    assert "'other words'" in found["test/anna/s1"]
    assert "'yes'" in found["test/anna/s1"]
    assert "there is no test/anna/s5.TextGrid" in found["test/anna/s5"]


def test_words_of_all_the_silence_are_the_sentence_again(speech: Path, alignment: Path, tmp_path: Path) -> None:
    words = sound_of(cut_words(speech, alignment, tmp_path / "w", rows_per_part=3))
    for id, x in sound_of(speech).items():
        own = [words[name] for name in words if name.startswith(f"{id}/")]
        assert np.array_equal(np.concatenate(own), x)


def test_a_word_corpus_says_what_each_word_is(speech: Path, alignment: Path, tmp_path: Path) -> None:
    out = cut_words(speech, alignment, tmp_path / "w")
    corpus, frame = open_corpus(out), load_alignment(alignment)
    assert corpus.columns == (
        "source_clip", "word_index", "start", "end", "score", "method", "utterance", "speaker",
    )  # fmt: skip
    rows = pd.DataFrame(list(corpus.rows("test")))
    assert rows["text"].tolist() == frame["word"].tolist()
    assert rows["source_clip"].tolist() == frame["clip_id"].tolist()
    assert rows["utterance"].tolist() == frame["text"].tolist()
    assert rows["id"].tolist() == [f"{c}/{n:03d}" for c, n in zip(frame["clip_id"], frame["word_index"], strict=True)]
    for name in ("start", "end", "speaker"):
        assert rows[name].tolist() == frame[name].tolist()
    assert corpus.manifest["order"] == "cut"
    assert "hears every word alone" in (out / "README.md").read_text()


def test_filtering_first_is_the_same_written_or_on_the_fly(speech: Path, alignment: Path, tmp_path: Path) -> None:
    masked = mask_corpus(speech, tmp_path / "masked", ["hfloss"])["hfloss"]
    written = cut_words(masked, alignment, tmp_path / "a")
    fly = cut_words(speech, alignment, tmp_path / "b", condition="hfloss")
    alone = mask_corpus(cut_words(speech, alignment, tmp_path / "c"), tmp_path / "d", ["hfloss"])["hfloss"]
    a, b, c = sound_of(written), sound_of(fly), sound_of(alone)
    assert a.keys() == b.keys() == c.keys()
    assert all(np.abs(a[id] - b[id]).max() <= 2**-22 for id in a)
    assert any(np.abs(a[id] - c[id]).max() > 0.01 for id in a)  # the other order is another sound
    for folder in (written, fly):
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["order"] == "condition, then cut"
        assert manifest["condition"]["name"] == "hfloss"
        assert "heard through `hfloss` first" in (folder / "README.md").read_text()
    assert "Made in this order: words, then mask." in (alone / "README.md").read_text()
    assert "Made in this order: mask, then words." in (written / "README.md").read_text()
    assert json.loads((alone / "manifest.json").read_text())["input"]["upstream"]["order"] == "cut"
    with pytest.raises(InputError, match="filtered already"):
        cut_words(masked, alignment, tmp_path / "e", condition="hfloss")
    with pytest.raises(InputError, match="filtered already"):
        cut_words(masked, alignment, tmp_path / "e", condition="normal")


def test_padding_reaches_as_far_as_the_clip(speech: Path, alignment: Path, tmp_path: Path) -> None:
    plain = sound_of(cut_words(speech, alignment, tmp_path / "a"))
    padded = sound_of(cut_words(speech, alignment, tmp_path / "b", padding=0.02))
    whole = sound_of(speech)
    for row in load_alignment(alignment).itertuples():
        id = f"{row.clip_id}/{row.word_index:03d}"
        before = min(320, round(row.start * RATE))
        x = padded[id]
        assert len(x) - len(plain[id]) in range(before, before + 322)
        assert np.array_equal(x[before : before + len(plain[id])], plain[id])
        assert np.array_equal(x, whole[row.clip_id][max(0, round((row.start - 0.02) * RATE)) :][: len(x)])


def test_short_words_are_left_out_and_samples_drawn(speech: Path, alignment: Path, tmp_path: Path) -> None:
    frame = load_alignment(alignment)
    kept = frame[frame["end"] - frame["start"] >= 0.2]
    assert 0 < len(kept) < len(frame)
    out = cut_words(speech, alignment, tmp_path / "a", min_seconds=0.2)
    assert [row["text"] for row in open_corpus(out).rows("test")] == kept["word"].tolist()
    out = cut_words(speech, alignment, tmp_path / "b", max_samples=6, balance="text", seed=1)
    texts = [row["text"] for row in open_corpus(out).rows("test")]
    assert len(texts) == len(set(texts)) == 6  # "no" is said four times, and drawn once at most
    assert verify_folder(out).sound


def test_words_however_cut_are_the_same_bytes(speech: Path, alignment: Path, tmp_path: Path) -> None:
    options = {"rows_per_part": 5, "condition": "lfloss"}
    whole = cut_words(speech, alignment, tmp_path / "a", **options)
    for shard in ("2/3", "0/3", "1/3"):
        cut_words(speech, alignment, tmp_path / "b", shard=shard, **options)
    cut_words(speech, alignment, tmp_path / "c", workers=2, **options)
    assert tree(whole) == tree(tmp_path / "b") == tree(tmp_path / "c")


def test_verify_follows_words_back_to_their_clips(speech: Path, alignment: Path, tmp_path: Path) -> None:
    out = cut_words(speech, alignment, tmp_path / "w")
    found = verify_folder(out)
    assert found.sound
    assert found.rows_in == found.decoded == len(load_alignment(alignment))
    assert [link.stage for link in found.chain] == ["folder", "words"]
    assert found.chain[0].rows_out == len(TEXTS)


def test_verify_sees_impossible_times_and_an_alignment_that_changed(speech: Path, tmp_path: Path) -> None:
    alignment = align_corpus(speech, tmp_path / "a", model=Even())
    out = cut_words(speech, alignment, tmp_path / "w")
    assert verify_folder(out).sound
    part = alignment / "words" / "test-00000-of-00001.parquet"
    table = pq.read_table(part)
    starts = table["start"].to_pylist()
    starts[2] += 0.01
    pq.write_table(table.set_column(3, "start", pa.array(starts)), part)
    assert any("does not follow on" in problem for problem in verify_folder(alignment).problems)
    assert any("does not hold any more" in problem for problem in verify_folder(out).problems)


def test_sentences_that_cannot_be_heard_fail_word_by_word(speech: Path, alignment: Path, tmp_path: Path) -> None:
    folder = write_speech(tmp_path / "speech", [TEXTS[0], "another text", *TEXTS[2:]])
    (folder / "test" / "anna" / "s0.wav").write_bytes(b"no sound")
    soundfile.write(folder / "test" / "anna" / "s3.wav", np.zeros(RATE // 4), RATE)
    cut_words(folder, alignment, tmp_path / "w", max_failures=1)
    found = failures(tmp_path / "w")
    assert [id for id in found if "s0" in id] == [f"test/anna/s0/{n:03d}" for n in range(3)]
    assert "aligns 'yes', the transcript is 'another text'" in found["test/anna/s1/000"]
    assert all("does not fit the sound" in found[f"test/anna/s3/{n:03d}"] for n in (3, 4))
    assert set(sound_of(tmp_path / "w")) >= {"test/anna/s2/000", "test/anna/s4/000"}


def test_wrong_words_calls_are_refused(speech: Path, alignment: Path, tmp_path: Path) -> None:
    other = write_speech(tmp_path / "other", TEXTS, split="train")
    with pytest.raises(
        InputError, match=r"has no clip of the source .*names 'test/anna/s0', the source 'train/anna/s0'"
    ):
        cut_words(other, alignment, tmp_path / "w")
    with pytest.raises(InputError, match="not an alignment"):
        cut_words(speech, cut_words(speech, alignment, tmp_path / "words"), tmp_path / "w")
    with pytest.raises(InputError, match="no manifest"):
        cut_words(speech, speech, tmp_path / "w")
    with pytest.raises(InputError, match="padding is -1"):
        cut_words(speech, alignment, tmp_path / "w", padding=-1)
    unfinished = align_corpus(speech, tmp_path / "a", model=Even(), rows_per_part=4, shard="0/2")
    with pytest.raises(InputError, match="not finished"):
        cut_words(speech, unfinished, tmp_path / "w")
    assert run_app(app, ["words", str(speech), "--alignment", str(tmp_path), "--out", str(tmp_path / "w"), "-q"]) == 2


def test_stopped_it_goes_on(speech: Path, alignment: Path, tmp_path: Path) -> None:
    class Stops(Even):
        calls = 0

        def __call__(self, waveforms: Any, texts: Any) -> list:
            self.calls += 1
            if self.calls == 3:
                raise StoppedError("stopped on request (SIGTERM).")
            return super().__call__(waveforms, texts)

    options = {"edges": np.inf, "rows_per_part": 4}
    with pytest.raises(StoppedError):
        align_corpus(speech, tmp_path / "a", model=Stops(), **options)
    assert len(list((tmp_path / "a" / "failures").glob("test-*"))) == 1
    assert tree(align_corpus(speech, tmp_path / "a", model=Even(), **options)) == tree(alignment)


def test_the_commands_say_where_their_results_are(
    speech: Path, alignment: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ["words", str(speech), "--alignment", str(alignment), "--out", str(tmp_path / "w"), "--condition", "hfloss"]
    assert run_app(app, run) == 0
    assert f"words: {tmp_path / 'w'}" in capsys.readouterr().out
    assert (
        run_app(app, ["align", str(speech), "--out", str(tmp_path / "a"), "--model", str(tmp_path / "no"), "-q"]) == 2
    )
    assert "there is no CTC model" in capsys.readouterr().err


def test_the_shift_of_an_aligner_is_measured_where_words_are_known(speech: Path) -> None:
    clips = list(open_corpus(speech).read("test"))
    sounds, texts = [clip.audio()[0] for clip in clips], [clip.text for clip in clips]
    known = [[(a.end + b.start) / 2 for a, b in itertools.pairwise(words)] for words in Even()(sounds, texts)]
    late = [[t - 0.04 for t in times] for times in known]
    assert measure_shift(Even(), sounds, texts, known) == 0
    assert measure_shift(Even(), sounds, texts, late) == pytest.approx(0.04)
    with pytest.raises(InputError, match="clip 0: 3 words, 'the cat sat', have 2 boundaries between them, received 1"):
        measure_shift(Even(), sounds, texts, [known[0][:1], *known[1:]])
    with pytest.raises(InputError, match="no clip has two words"):
        measure_shift(Even(), sounds[1:2], texts[1:2], [[]])
