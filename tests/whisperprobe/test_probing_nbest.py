"""Beam search against transformers' own; all that can be asked for at once, in memory, on disk and from the command."""

from __future__ import annotations

import hashlib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from transformers import GenerationConfig
from transformers.generation import GenerationMixin
from transformers.generation.logits_process import (
    LogitsProcessorList,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
)
from transformers.modeling_outputs import BaseModelOutput
from typer.testing import CliRunner

import whisperprobe
from audiogram import sound
from audiogram.corpus import open_corpus
from audiogram.errors import InputError
from whisperprobe.cli import app
from whisperprobe.features import log_mel
from whisperprobe.probing.corpus import probe_corpus
from whisperprobe.probing.probe import Probe
from whisperprobe.probing.schemas import SCHEMAS
from whisperprobe.probing.store import load_probes

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

DEMO = Path(whisperprobe.__file__).parent / "demo"
WORDS = ["sick", "thick", "fish", "ship", "chip", "naïve"]
EVERYTHING = {
    "layers": [0, 2],
    "layer_vectors": True,
    "encoder": "mean",
    "lexicon": WORDS,
    "candidates": 4,
    "n_best": 3,
}


def sounds(seed=0, lengths=(16_000, 8_000, 12_345, 400)):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in lengths]


@pytest.fixture(scope="module")
def whisper():
    return naive_probe.tiny_whisper(WORDS, suppress=[5, 70, 80])


@pytest.fixture(scope="module")
def probe(whisper):
    return Probe(*whisper, max_new_tokens=5)


def generated(probe, clips, n):
    """Answers and scores of transformers' beam search, which is given what Whisper's own would give it."""
    model, prompt = probe.model, torch.tensor([probe.prompt] * len(clips))
    settings = GenerationConfig(
        num_beams=n, num_return_sequences=n, do_sample=False, eos_token_id=probe.end_id, pad_token_id=probe.end_id,
        max_new_tokens=min(probe.max_new_tokens, model.config.max_target_positions - len(probe.prompt)),
        decoder_start_token_id=probe.prompt[0],
    )  # fmt: skip
    suppressed = [SuppressTokensLogitsProcessor(list(probe.suppression.always))] if probe.suppression.always else []
    if probe.suppression.at_begin:
        begin = list(probe.suppression.at_begin)
        suppressed.append(SuppressTokensAtBeginLogitsProcessor(begin, len(probe.prompt)))
    with torch.no_grad():
        states = model.model.encoder(log_mel(clips, model).to(model.dtype)).last_hidden_state
        out = GenerationMixin.generate(
            model,
            generation_config=settings,
            logits_processor=LogitsProcessorList(suppressed),
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            decoder_input_ids=prompt,
            return_dict_in_generate=True,
            output_scores=True,
        )
    return out.sequences[:, len(probe.prompt) :].tolist(), out.sequences_scores.tolist()


def ids_of(alternatives):
    return [tuple(map(int, ids.split())) for ids in alternatives["token_ids"]]


def check_against_generate(probe, clips, n, batch_size):
    ours = probe(clips, n_best=n, vectors="none", batch_size=batch_size).alternatives
    theirs, scores = generated(probe, clips, n)
    assert ours["place"].tolist() == list(range(1, n + 1)) * len(clips)
    for own, row in zip(ids_of(ours), theirs, strict=True):
        assert own == tuple(row[: len(own)])
        assert set(row[len(own) :]) <= {probe.end_id}  # padding
    assert np.abs(ours["score"] - scores).max() < 1e-5  # transformers adds up in float32


@pytest.mark.parametrize(("n", "batch_size"), [(2, 16), (5, 3)])
def test_beams_of_the_trained_model_are_those_of_generate(n, batch_size):
    clips = [clip.audio()[0] for clip in open_corpus(DEMO / "speech").reader("test", 0, 12)]
    check_against_generate(Probe.from_pretrained(DEMO / "model", device="cpu"), clips, n, batch_size)


@pytest.mark.parametrize("seed", [0, 1])
def test_beams_of_a_random_model_with_suppression_are_those_of_generate(seed):
    model, tokenizer = naive_probe.tiny_whisper(WORDS, seed=seed, suppress=[5, 70, 80])
    model.generation_config.begin_suppress_tokens = [220 % len(tokenizer), 90]
    check_against_generate(Probe(model, tokenizer, max_new_tokens=6), sounds(seed), 4, 4)


def test_answers_that_end_at_different_lengths_are_those_of_generate(whisper):
    model, tokenizer = naive_probe.tiny_whisper(WORDS)
    naive_probe.end_after(model, tokenizer, sounds(), [1, 3, 5, 2])
    probe = Probe(model, tokenizer, max_new_tokens=7)
    check_against_generate(probe, sounds(), 3, 2)
    best = probe(sounds(), n_best=3).alternatives
    assert len(set(best["n_tokens"])) > 1


def test_one_beam_is_the_greedy_answer(probe):
    result = probe(sounds(), n_best=1)
    greedy = result.tokens.groupby("clip_id", sort=False)["token_id"].agg(tuple)
    assert ids_of(result.alternatives) == greedy.tolist()
    assert result.alternatives["text"].tolist() == result.clips["prediction"].tolist()
    whole = result.tokens.groupby("clip_id", sort=False)["log_probability"].sum()
    assert np.allclose(result.alternatives["log_probability"], whole, atol=1e-9)


def test_an_answer_has_the_probability_of_its_tokens(whisper, probe):
    alternatives = probe(sounds()[:2], n_best=4).alternatives
    naive = naive_probe.Naive(*whisper, probe.prompt)
    features = log_mel(sounds()[:2], whisper[0])
    for row, ids in zip(alternatives.to_dict("records"), ids_of(alternatives), strict=True):
        naive.hear(features[int(row["clip_id"])])
        plain = sum(naive.log_p(ids[:t])[ids[t]] for t in range(len(ids)))
        assert row["log_probability"] == pytest.approx(plain, abs=1e-9)
        assert row["score"] == pytest.approx(plain / len(ids), abs=1e-9)
        assert row["n_tokens"] == len(ids)
        assert not set(ids) & naive.suppress
        assert ids[0] not in naive.begin
    for _, own in alternatives.groupby("clip_id"):
        assert own["score"].is_monotonic_decreasing
        assert own["token_ids"].is_unique


def test_beams_do_not_depend_on_batch_and_order(probe):
    whole = probe(sounds(), n_best=3).alternatives
    mixed = probe(sounds()[::-1], ids=list("3210"), n_best=3, batch_size=1).alternatives
    mixed = mixed.sort_values(["clip_id", "place"], ignore_index=True)
    assert mixed["token_ids"].equals(whole["token_ids"])
    assert np.allclose(mixed["log_probability"], whole["log_probability"], atol=1e-10)


@pytest.mark.parametrize(("n", "said"), [(-1, "n_best is -1"), (1.5, "n_best is 1.5"), (10_000, "with a vocabulary")])
def test_beams_of_no_width(probe, n, said):
    with pytest.raises(InputError, match=said):
        probe(sounds(), n_best=n)


def test_no_beams_say_how_to_ask(probe):
    with pytest.raises(InputError, match="n_best="):
        _ = probe(sounds()[:1]).alternatives


# ---- everything at once, through the corpus stage and the command


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    root = tmp_path_factory.mktemp("speech")
    for i, word in enumerate(WORDS):
        sound.write(root / f"{word}.flac", sounds(i)[1], 16_000)
    sound.write(root / "silent.flac", np.zeros(4_000, dtype=np.float32), 16_000)
    return root


OPTIONS = {"splits": None, "batch_size": 2, "rows_per_part": 3, "top_k": 4, "max_failures": 0.5}


def digests(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.startswith(".")
    }


def test_a_run_on_disk_holds_all_that_a_run_in_memory_holds(probe, speech, tmp_path):
    out = probe_corpus(speech, tmp_path / "run", model=probe, **OPTIONS, **EVERYTHING)
    stored = load_probes(out)
    clips = [sound.read(speech / f"{clip}.flac")[0] for clip in stored.clips["clip_id"]]
    said = stored.clips["text"].tolist()
    memory = probe(clips, said, ids=stored.clips["clip_id"].tolist(), top_k=4, **EVERYTHING)
    assert stored.table_names == memory.table_names == tuple(SCHEMAS)
    for name in stored.table_names:
        ours, other = stored.table(name), memory.table(name)
        assert stored.count(name) == len(ours) == len(other)
        for column in other:
            if other[column].dtype.kind == "f":
                assert np.allclose(ours[column], other[column], atol=1e-6, equal_nan=True), (name, column)
            else:
                assert ours[column].equals(other[column]), (name, column)
    assert sorted(stored.vectors) == sorted(memory.vectors)
    for name, array in memory.vectors.items():
        assert np.allclose(np.asarray(stored.vectors[name], dtype=float), array.astype(float), atol=1e-2), name
    assert stored.clips["encoder_row"].tolist() == list(range(6))  # in parts of 3, 2 and 1, one clip failing
    assert np.allclose(stored.encoder[stored.clips["encoder_row"]], memory.encoder, atol=1e-5)
    for name in stored.table_names:
        assert not any(pa.types.is_nested(f.type) for f in pq.read_schema(next((out / name).glob("*.parquet"))))
    asked = stored.manifest["options"]
    assert asked["layers"] == [0, 2]
    assert asked["candidates"] == 4
    assert asked["n_best"] == 3
    assert "6 words, 4 candidates" in repr(stored)


def test_shards_together_are_the_whole_and_other_words_are_refused(probe, speech, tmp_path):
    whole = probe_corpus(speech, tmp_path / "whole", model=probe, **OPTIONS, **EVERYTHING)
    for shard in ("1/2", "0/2"):
        probe_corpus(speech, tmp_path / "parts", model=probe, shard=shard, **OPTIONS, **EVERYTHING)
    assert digests(tmp_path / "parts") == digests(whole)
    with pytest.raises(InputError, match="lexicon"):
        probe_corpus(speech, whole, model=probe, **OPTIONS, **{**EVERYTHING, "lexicon": [*WORDS[1:], "moon"]})


def test_a_plain_run_says_nothing_of_what_was_not_asked(probe, speech, tmp_path):
    run = load_probes(probe_corpus(speech, tmp_path / "run", model=probe, **OPTIONS))
    assert not {"layers", "encoder", "lexicon", "candidates", "n_best"} & set(run.manifest["options"])
    assert run.table_names == ("clips", "tokens", "ground_truth")
    with pytest.raises(InputError, match=r"unknown table 'token'\. Did you mean 'tokens'"):
        run.table("token")


def test_the_command_takes_all_of_it(whisper, speech, tmp_path):
    for part in whisper:
        part.save_pretrained(tmp_path / "model")
    (tmp_path / "words.txt").write_text("\n".join(WORDS), encoding="utf-8")
    command = [
        "probe", str(speech), "--model", str(tmp_path / "model"), "--out", str(tmp_path / "run"), "--splits", "all",
        "--layers", "0,2", "--layer-vectors", "--encoder", "window", "--lexicon", str(tmp_path / "words.txt"),
        "--candidates", "4", "--competitors", "2", "--n-best", "2", "--task", "translate", "--device", "cpu",
        "--max-failures", "0.5", "--quiet",
    ]  # fmt: skip
    split = next(iter(open_corpus(speech).splits))
    command[command.index("all")] = split
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    run = load_probes(tmp_path / "run")
    assert run.table_names == tuple(SCHEMAS)
    assert set(run.layers["layer"]) == {0, 2}
    assert set(run.competitors["place"]) == {1, 2}
    assert run.manifest["options"]["task"] == "translate"
    assert run.manifest["options"]["encoder"] == "window"
