"""Probes of a corpus: what fails is a row in `failures`; killed and started again, the same bytes; `load_probes`."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import audiogram as ag
from audiogram import sound
from audiogram.errors import InputError, WorkError
from whisperprobe.arrays import PartedArray
from whisperprobe.probing import corpus as probing_corpus
from whisperprobe.probing import schemas
from whisperprobe.probing.corpus import probe_corpus
from whisperprobe.probing.probe import Probe
from whisperprobe.probing.store import load_probes

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

WORDS = ["sick", "thick", "fish", "ship", "chip", "naïve"]
PATTERN = r"(?P<text>[^_]+)_(?P<speaker>[a-z]+)"
OPTIONS = {"text_pattern": PATTERN, "splits": None, "batch_size": 4, "rows_per_part": 5, "top_k": 7}


def tone(n, seed, rate=16_000):
    t = np.arange(n) / rate
    rng = np.random.default_rng(seed)
    wave = np.sin(2 * np.pi * (200 + 150 * seed) * t) * 0.3 + rng.standard_normal(n) * 0.02
    return wave.astype(np.float32)


@pytest.fixture(scope="module")
def whisper():
    return naive_probe.tiny_whisper(WORDS)


@pytest.fixture(scope="module")
def probe(whisper):
    return Probe(*whisper, max_new_tokens=4)


@pytest.fixture(scope="module")
def model_folder(whisper, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    whisper[0].save_pretrained(path)
    whisper[1].save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Twelve clips of three speakers, at 8 and 16 kHz."""
    root = tmp_path_factory.mktemp("speech")
    for i, word in enumerate(WORDS * 2):
        rate = 8_000 if i % 3 == 0 else 16_000
        sound.write(root / f"{word}_{'abc'[i // 4]}.flac", tone(3_000 + 400 * i, i, rate), rate)
    return root


def digests(folder, *, without=()):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in without and not p.name.startswith(".")
    }


def test_a_run_on_disk_is_the_run_in_memory(probe, speech, tmp_path):
    out = probe_corpus(speech, tmp_path / "run", model=probe, **OPTIONS)
    stored = load_probes(out)
    clips = [sound.read(speech / f"{clip}.flac") for clip in stored.clips["clip_id"]]
    clips = [sound.resample(x, rate, 16_000) for x, rate in clips]
    memory = probe(clips, stored.clips["text"].tolist(), ids=stored.clips["clip_id"].tolist(), top_k=7)
    for name in ("tokens", "ground_truth"):
        ours, other = getattr(stored, name), getattr(memory, name)
        for column in other:
            if column == "vector_row" or other[column].dtype.kind != "f":
                assert ours[column].equals(other[column]), (name, column)
            else:
                assert np.allclose(ours[column], other[column], atol=1e-6, equal_nan=True), (name, column)
    rows = stored.tokens["vector_row"].dropna()
    assert rows.tolist() == list(range(len(rows)))  # three parts, one numbering
    assert np.allclose(stored.hidden[rows], memory.hidden, atol=1e-5)
    assert np.array_equal(np.asarray(stored.top_k.ids), memory.top_k.ids)
    assert list(stored.clips.columns) == [*schemas.CLIPS.names, "speaker"]
    assert set(stored.clips["speaker"]) == {"a", "b", "c"}
    assert "12" in repr(stored)


def test_vector_rows_on_disk_count_within_the_part(probe, speech, tmp_path):
    out = probe_corpus(speech, tmp_path / "run", model=probe, **OPTIONS)
    for file in sorted((out / "tokens").glob("*.parquet")):
        rows = pq.read_table(file)["vector_row"].drop_null().to_pylist()
        assert rows == list(range(len(rows)))
        vectors = (out / "vectors" / file.name).with_suffix(".safetensors")
        from safetensors.numpy import load_file  # the library reads what is mapped here by hand

        arrays = load_file(vectors)
        assert {name: len(a) for name, a in arrays.items()} == dict.fromkeys(arrays, len(rows))
        assert set(arrays) == {"hidden", "top_k_ids", "top_k_log_probabilities"}
    assert all(f.type not in (pa.list_(pa.float64()),) for f in pq.read_schema(file))


def test_parquet_holds_scalars_only(probe, speech, tmp_path):
    out = probe_corpus(speech, tmp_path / "run", model=probe, **OPTIONS)
    for table in ("clips", "tokens", "ground_truth"):
        for field in pq.read_schema(next((out / table).glob("*.parquet"))):
            assert not pa.types.is_nested(field.type), field


def test_nested_columns_of_the_source_become_text(probe, speech, tmp_path):
    rows = [{"id": f.stem, "audio": {"bytes": f.read_bytes(), "path": None}, "text": "fish"} for f in speech.iterdir()]
    table = pa.Table.from_pylist(rows)
    nested = [{"age": 7, "tags": ["a", None]}, None] * 6
    table = table.append_column("who", pa.array(nested)).append_column("tags", pa.array([["ä"], []] * 6))
    table = table.append_column("voice", pa.array(["x", None] * 6).dictionary_encode())
    (tmp_path / "corpus").mkdir()
    pq.write_table(table, tmp_path / "corpus" / "test-00000-of-00001.parquet")
    out = probe_corpus(tmp_path / "corpus", tmp_path / "run", model=probe, rows_per_part=5)
    for file in out.rglob("*.parquet"):
        kinds = pq.read_schema(file).types
        assert not any(pa.types.is_nested(kind) or pa.types.is_dictionary(kind) for kind in kinds)
    clips = load_probes(out).clips
    assert json.loads(clips["who"][0]) == nested[0]
    assert clips["who"].isna().tolist() == [False, True] * 6
    assert clips["tags"].tolist() == ['["ä"]', "[]"] * 6
    assert clips["voice"].dropna().tolist() == ["x"] * 6


def test_the_manifest_says_who_listened_and_how(model_folder, speech, tmp_path):
    out = probe_corpus(speech, tmp_path / "run", model=model_folder, condition="hfloss", device="cpu", **OPTIONS)
    manifest = json.loads((out / "manifest.json").read_text())
    options = manifest["options"]
    assert manifest["stage"] == "probe"
    assert options["model"] == str(model_folder)
    assert len(options["model_sha256"]) == 64
    assert len(options["tokenizer_sha256"]) == 64
    assert options["condition"]["name"] == "hfloss"
    assert options["dtype"] == "float32"
    assert options["attention"] == "sdpa"
    assert len(options["prompt_ids"]) == 4
    assert {"whisperprobe", "audiogram", "torch", "transformers"} <= set(manifest["versions"])
    assert manifest["input"]["fingerprint"]


def test_a_condition_on_the_fly_is_the_masked_corpus(probe, speech, tmp_path):
    from audiogram.corpus import mask_corpus

    masked = mask_corpus(speech, tmp_path / "masked", ["lfloss"], text_pattern=PATTERN)["lfloss"]
    written = load_probes(
        probe_corpus(masked, tmp_path / "a", model=probe, splits=None, top_k=7, batch_size=4, rows_per_part=5)
    )
    on_the_fly = load_probes(probe_corpus(speech, tmp_path / "b", model=probe, condition="lfloss", **OPTIONS))
    assert written.manifest["options"]["corpus_condition"] == on_the_fly.manifest["options"]["condition"]
    assert written.clips["clip_id"].tolist() == on_the_fly.clips["clip_id"].tolist()
    difference = written.clips["word_surprisal"] - on_the_fly.clips["word_surprisal"]
    assert difference.abs().max() < 1e-3  # 2**-23 in the sound, through a random model
    plain = load_probes(probe_corpus(speech, tmp_path / "c", model=probe, **OPTIONS))
    assert (plain.clips["word_surprisal"] - on_the_fly.clips["word_surprisal"]).abs().max() > 1e-2


@pytest.fixture
def spoiled(speech, tmp_path):
    """The same clips, and in the middle of every batch one that cannot be used."""
    root = tmp_path / "spoiled"
    root.mkdir()
    for file in speech.iterdir():
        (root / file.name).write_bytes(file.read_bytes())
    (root / "fish_broken.flac").write_bytes(b"fLaC nothing")
    (root / "fish_empty.wav").write_bytes(b"")
    sound.write(root / "naïve_long.flac", tone(16_001, 3), 16_000)
    sound.write(root / "ship_silent.flac", np.zeros(4_000, dtype=np.float32), 16_000)
    return root


def test_bad_clips_are_rows_in_failures_and_disturb_nobody(probe, speech, spoiled, tmp_path):
    good = load_probes(probe_corpus(speech, tmp_path / "good", model=probe, **OPTIONS))
    out = probe_corpus(spoiled, tmp_path / "spoiled-run", model=probe, max_failures=0.5, **OPTIONS)
    run = load_probes(out)
    failures = run.failures.set_index("id")["error"]
    assert sorted(failures.index) == ["fish_broken", "fish_empty", "naïve_long", "ship_silent"]
    assert "window of 1 s" in failures["naïve_long"]
    assert "silent" in failures["ship_silent"]
    assert "empty" in failures["fish_empty"]
    assert run.clips["clip_id"].tolist() == good.clips["clip_id"].tolist()
    for column in ("word_surprisal", "word_mean_entropy", "log_probability", "semantic_density"):
        assert np.allclose(run.clips[column], good.clips[column], atol=1e-9, equal_nan=True), column
    assert np.allclose(run.hidden[:], good.hidden[:], atol=1e-6)


def test_states_that_are_no_numbers_fail_their_clips_only(probe, speech, tmp_path, monkeypatch):
    good = load_probes(probe_corpus(speech, tmp_path / "good", model=probe, **OPTIONS))
    read = Probe.prepare

    def louder(self, waveform, *args, **options):
        x, text = read(self, waveform, *args, **options)
        return (np.sign(x) * np.float32(1e25) if len(x) in (3_800, 6_200) else x), text

    monkeypatch.setattr(Probe, "prepare", louder)
    for padding in ("window", "trimmed"):
        out = tmp_path / padding
        run = load_probes(probe_corpus(speech, out, model=probe, max_failures=0.5, padding=padding, **OPTIONS))
        assert len(run.failures) == 2
        assert run.failures["error"].str.contains("NaN or infinite: the sound is far louder").all()
        kept = good.clips[~good.clips["clip_id"].isin(run.failures["id"])]
        assert run.clips["clip_id"].tolist() == kept["clip_id"].tolist()
        rows = run.tokens["vector_row"].dropna()
        assert rows.tolist() == list(range(len(run.hidden)))
    assert np.isfinite(json.loads((out / "agreement.json").read_text())["largest_difference"])
    run = load_probes(tmp_path / "window")
    assert np.allclose(run.clips["word_surprisal"], kept["word_surprisal"], atol=1e-9)


def test_too_many_failures_end_the_run_and_keep_what_was_written(probe, spoiled, tmp_path):
    with pytest.raises(WorkError, match="4 of 16 clips"):
        probe_corpus(spoiled, tmp_path / "run", model=probe, **OPTIONS)
    assert len(load_probes(tmp_path / "run").clips) == 12


def test_a_filter_that_fails_on_a_clip_fails_that_clip(probe, speech, tmp_path, monkeypatch):
    condition = ag.condition("hfloss")
    real = type(condition).__call__

    def sometimes(self, x, sample_rate, *, keys=None):
        if keys == "ship_a":
            raise ZeroDivisionError("no hair cells left")
        return real(self, x, sample_rate, keys=keys)

    monkeypatch.setattr(type(condition), "__call__", sometimes)
    out = probe_corpus(speech, tmp_path / "run", model=probe, condition=condition, max_failures=0.5, **OPTIONS)
    failures = load_probes(out).failures
    assert failures["id"].tolist() == ["ship_a"]
    assert "no hair cells left" in failures["error"][0]


def test_a_finished_run_is_left_alone_and_another_is_refused(probe, speech, tmp_path):
    out = probe_corpus(speech, tmp_path / "run", model=probe, **OPTIONS)
    before = digests(out)
    probe_corpus(speech, out, model=probe, **OPTIONS)
    assert digests(out) == before
    with pytest.raises(InputError, match=r"top_k is 7 there and 9 now"):
        probe_corpus(speech, out, model=probe, **{**OPTIONS, "top_k": 9})
    with pytest.raises(InputError, match=r"condition"):
        probe_corpus(speech, out, model=probe, condition="lfloss", **OPTIONS)
    assert digests(out) == before


def test_an_unfinished_run_is_not_opened(probe, speech, tmp_path):
    out = probe_corpus(speech, tmp_path / "run", model=probe, shard="0/2", **OPTIONS)
    with pytest.raises(InputError, match="not finished"):
        load_probes(out)
    probe_corpus(speech, out, model=probe, shard="1/2", **OPTIONS)
    whole = probe_corpus(speech, tmp_path / "whole", model=probe, **OPTIONS)
    assert digests(out) == digests(whole)


def test_what_is_no_probe_run_is_refused(speech, tmp_path):
    from audiogram.corpus import mask_corpus

    with pytest.raises(InputError, match="no manifest"):
        load_probes(speech)
    masked = mask_corpus(speech, tmp_path / "masked", ["normal"], text_pattern=PATTERN)["normal"]
    with pytest.raises(InputError, match="not by a probe"):
        load_probes(masked)


KILLED = """
import signal, sys
from pathlib import Path
from whisperprobe.probing import corpus
work = corpus._Work._write
def slow(self, ready, writer, kept):
    if len(list(Path(sys.argv[3]).glob("failures/*.parquet"))) == 1:
        print("ready", flush=True)
        signal.pause()  # until it is killed
    return work(self, ready, writer, kept)
corpus._Work._write = slow
corpus.probe_corpus(sys.argv[1], sys.argv[3], model=sys.argv[2], dtype="float64", device="cpu", max_new_tokens=4,
                    text_pattern=sys.argv[4], splits=None, batch_size=4, rows_per_part=5, top_k=7)
"""


def test_killed_in_the_middle_and_started_again_it_ends_with_the_same_bytes(model_folder, speech, tmp_path):
    # Loaded as the killed process loads it: the same model, the same name in the manifest.
    def start(out):
        return probe_corpus(
            speech, out, model=str(model_folder), dtype="float64", device="cpu", max_new_tokens=4, **OPTIONS
        )

    whole, resumed = start(tmp_path / "whole"), tmp_path / "resumed"
    command = [sys.executable, "-c", KILLED, str(speech), str(model_folder), str(resumed), PATTERN]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "ready\n"  # one part is done, the next has been begun
        process.send_signal(signal.SIGKILL)
    assert len(list((resumed / "failures").glob("*.parquet"))) == 1
    start(resumed)
    assert digests(resumed) == digests(whole)


@pytest.mark.parametrize(("vectors", "top_k"), [("none", 7), ("greedy", 0), ("both", 10_000)])
def test_what_is_kept_is_an_option(probe, speech, tmp_path, vectors, top_k):
    options = {**OPTIONS, "vectors": vectors, "top_k": top_k}
    run = load_probes(probe_corpus(speech, tmp_path / "run", model=probe, **options))
    if vectors == "none":
        assert run.tokens["vector_row"].isna().all()
        with pytest.raises(InputError, match="kept no vectors"):
            _ = run.hidden
    else:
        rows = run.tokens["vector_row"].dropna()
        assert run.hidden.shape == (len(rows), 24)
        assert (
            run.top_k.ids.shape == run.top_k.log_probabilities.shape == (len(rows), min(top_k, len(probe.vocabulary)))
        )
    assert len(run.clips) == 12


def test_columns_of_the_source_do_not_hide_those_of_the_probe():
    assert schemas.source_columns(["id", "text", "audio", "speaker", "correct", "source_correct"]) == {
        "speaker": "speaker", "correct": "source_correct", "source_correct": "source_source_correct",
    }  # fmt: skip


def test_a_probe_needs_known_options(probe, speech, tmp_path):
    wrong = {"vectors": "some", "decodings": ["beam"], "batch_size": 0, "top_k": -1, "rows_per_part": 0}
    for name, value in [*wrong.items(), ("decodings", []), ("batch_size", 2.5)]:
        with pytest.raises(InputError, match=name.removesuffix("s")):
            probe_corpus(speech, tmp_path / "run", model=probe, text_pattern=PATTERN, splits=None, **{name: value})
    assert not (tmp_path / "run").exists()


def test_parted_arrays_index_like_one_array():
    rng = np.random.default_rng(0)
    whole = rng.standard_normal((9, 3))
    parted = PartedArray([whole[:4], whole[4:4], whole[4:]])
    assert parted.shape == (9, 3)
    assert np.array_equal(np.asarray(parted), whole)
    for key in (3, -1, slice(2, 7, 2), [8, 0, 4], whole[:, 0] > 0, np.array([[1, 2], [8, 0]]), (slice(None), 1)):
        assert np.array_equal(parted[key], whole[key])
    assert parted[[]].shape == (0, 3)
    with pytest.raises(IndexError, match="out of range"):
        parted[9]
    with pytest.raises(IndexError, match="rows without vectors"):
        parted[[0.0, np.nan]]


def test_batches_never_reach_over_a_part(probe, speech, tmp_path, monkeypatch):
    sizes = []
    real = probing_corpus._Work._write
    monkeypatch.setattr(
        probing_corpus._Work,
        "_write",
        lambda self, ready, *rest: (sizes.append(len(ready)), real(self, ready, *rest))[1],
    )
    probe_corpus(speech, tmp_path / "run", model=probe, **OPTIONS)
    assert sizes == [4, 1, 4, 1, 2]
