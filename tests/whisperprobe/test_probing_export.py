"""A run in other formats: the older scripts' JSON against the run's own tables and a distribution made by hand; CSV."""

from __future__ import annotations

import json
import math
import re
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from audiogram import sound
from audiogram.errors import InputError, StoppedError
from whisperprobe import labels
from whisperprobe.cli import app
from whisperprobe.probing import export as exporting
from whisperprobe.probing.corpus import probe_corpus
from whisperprobe.probing.export import audio_ids, export_run
from whisperprobe.probing.probe import Probe
from whisperprobe.probing.store import load_probes

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

WORDS = ["sick", "thick", "fish", "ship", "naïve"]
OPTIONS = {"text_pattern": r"(?P<text>[^_]+)_\d", "splits": None, "batch_size": 3, "rows_per_part": 4}
K = 7


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    whisper, tokenizer = naive_probe.tiny_whisper(WORDS)
    folder = tmp_path_factory.mktemp("model")
    whisper.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Two folders with the same stems, and one file that is no sound."""
    root = tmp_path_factory.mktemp("speech")
    for voice in ("a", "b"):
        (root / voice).mkdir()
        for i, word in enumerate(WORDS):
            wave = 0.3 * np.sin((0.05 + 0.02 * i + 0.3 * (voice == "b")) * np.arange(4000 + 900 * i))
            sound.write(root / voice / f"{word}_1.flac", wave, 16_000)
    (root / "a" / "broken_1.flac").write_bytes(b"fLaC but not for long")
    return root


@pytest.fixture(scope="module")
def run(model, speech, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "base"
    probe = Probe.from_pretrained(model, device="cpu", max_new_tokens=6)
    return load_probes(probe_corpus(speech, out, model=probe, top_k=K, max_failures=0.5, **OPTIONS))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    out = export_run(run, tmp_path_factory.mktemp("out") / "json", format="legacy-json")
    return json.loads((out / "results.json").read_text(encoding="utf-8")), out


def test_every_field_that_analyses_read_is_there(exported, model):
    whole, _ = exported
    assert set(whole) == {"model_path", "num_samples", "results"}
    assert (whole["model_path"], whole["num_samples"]) == (str(model), 11)
    documented = (Path(__file__).parents[2] / "docs" / "legacy-json.md").read_text(encoding="utf-8")

    def names(value):
        if isinstance(value, dict):
            for key, inner in value.items():
                yield re.sub(r"\d+$", "", key)
                yield from names(inner)
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            yield from names(value[0])

    found = set(names(whole)) - {"ground_truth_", "ground_truth_metrics"}
    assert {"top_k_ranks", "probability_weighted", "semantic_density", "is_in_vocab", "average_entropy"} <= found
    assert [name for name in sorted(found) if not re.search(rf"\b{name}(\[\])?[`.]", documented)] == []


def test_clips_are_the_runs_and_failures_are_told(exported, run):
    whole, out = exported
    results = whole["results"]
    assert [r["clip_id"] for r in results] == [*run.clips["clip_id"], *run.failures["id"]]
    assert [r["error"] is None for r in results] == [True] * 10 + [False]
    assert "broken_1" in results[-1]["audio_id"]
    ids = [r["audio_id"] for r in results]
    assert len({i.casefold() for i in ids}) == len(ids)
    assert sorted(p.stem for p in (out / "clips").iterdir()) == sorted(ids)
    for entry in results:
        assert json.loads((out / "clips" / f"{entry['audio_id']}.json").read_text(encoding="utf-8")) == entry


def test_predictions_are_the_greedy_tokens_without_end_and_final_punctuation(exported, run):
    greedy = run.tokens[run.tokens["decoding"] == "greedy"]
    for entry in exported[0]["results"][:10]:
        rows = greedy[(greedy["clip_id"] == entry["clip_id"]) & greedy["kind"].isin(["text", "punctuation"])]
        kinds = list(rows["kind"])
        n = max((i + 1 for i, kind in enumerate(kinds) if kind == "text"), default=0)
        assert [p["token_id"] for p in entry["predictions"]] == list(rows["token_id"])[:n]
        assert [p["token_text"] for p in entry["predictions"]] == list(rows["token"])[:n]


def test_final_punctuation_is_left_out():
    from whisperprobe.probing.legacy import _without_final_punctuation

    rows = [{"kind": kind} for kind in ("text", "punctuation", "text", "punctuation", "punctuation", "end")]
    assert _without_final_punctuation(rows) == rows[:3]
    assert _without_final_punctuation(rows[3:]) == []


def test_numbers_follow_from_the_stored_states_and_the_embedding(exported, run, model):
    """Everything of a prediction once more from h and E, in float64 and by hand."""
    whisper, _ = naive_probe.tiny_whisper(WORDS)
    E = whisper.get_output_embeddings().weight.detach().double().numpy()
    vocabulary = run.output_side().head.vocabulary
    appended = 0
    for entry in exported[0]["results"][:10]:
        for p in entry["predictions"]:
            h, metrics = np.array(p["hidden_state"]), p["original_metrics"]
            z = E @ h
            q = np.exp(z - z.max())
            q /= q.sum()
            order = np.argsort(-z)
            spoken = [t["token_id"] for t in metrics["ground_truth_metrics"].values()]
            extra = [i for i in dict.fromkeys(spoken) if i not in order[:K]]
            appended += len(extra)
            assert metrics["top_k_tokens"] == [*order[:K].tolist(), *extra]
            ranks = [1 + int((z > z[i]).sum()) for i in metrics["top_k_tokens"]]
            assert metrics["top_k_ranks"] == ranks
            np.testing.assert_allclose(metrics["top_k_probabilities"], q[metrics["top_k_tokens"]], rtol=1e-4)
            assert metrics["predicted_probability"] == pytest.approx(q[p["token_id"]], rel=1e-4)
            assert metrics["predicted_rank"] == 1 + int((z > z[p["token_id"]]).sum())
            assert metrics["entropy"] == pytest.approx(-(q * np.log(q)).sum(), rel=1e-4)
            assert metrics["top_k_texts"] == [vocabulary.tokens[i] for i in metrics["top_k_tokens"]]
            for target in metrics["ground_truth_metrics"].values():
                row = E[target["token_id"]]
                assert target["probability"] == pytest.approx(q[target["token_id"]], rel=1e-4)
                cosine = h @ row / np.linalg.norm(h) / np.linalg.norm(row)
                assert target["cosine_similarity"] == pytest.approx(cosine, abs=1e-5)
                assert target["correlation"] == pytest.approx(np.corrcoef(h, row)[0, 1], abs=1e-5)
            masses = np.bincount(vocabulary.groups, weights=q)
            normal = p["normalized_metrics"]
            best = np.argsort(-masses)[:K]
            np.testing.assert_allclose(normal["top_k_normalized_probabilities"], masses[best], rtol=1e-4)
            assert normal["top_k_normalized_texts"] == [vocabulary.group_texts[i] for i in best]
            assert normal["top_normalized_probability"] == pytest.approx(masses.max(), rel=1e-4)
            assert normal["normalized_entropy"] == pytest.approx(-(masses * np.log(masses)).sum(), rel=1e-4)
            own = np.flatnonzero(vocabulary.groups == vocabulary.groups[p["token_id"]])
            embeddings = normal["normalized_embeddings"]
            np.testing.assert_allclose(embeddings["simple_average"], E[own].mean(0), atol=1e-5)
            np.testing.assert_allclose(embeddings["most_probable"], E[own[q[own].argmax()]], atol=1e-5)
            weights = q[own] / q[own].sum()
            np.testing.assert_allclose(embeddings["probability_weighted"], weights @ E[own], atol=1e-5)
    assert appended > 0, "no ground truth lay outside the top k, so the case was not tried"


def test_ground_truth_and_pooled_values(exported, run):
    whisper, tokenizer = naive_probe.tiny_whisper(WORDS)
    E = whisper.get_output_embeddings().weight.detach().numpy()
    clips = run.clips.set_index("clip_id")
    pooled_clips = 0
    for entry in exported[0]["results"][:10]:
        truth, clip = entry["ground_truth_embeddings"], clips.loc[entry["clip_id"]]
        ids = labels.ground_truth_ids(entry["ground_truth"], tokenizer)
        assert (truth["token_ids"], truth["is_multi_token"], truth["is_in_vocab"]) == (ids, len(ids) > 1, len(ids) == 1)
        assert truth["text"][0].isupper()
        np.testing.assert_allclose(truth["embeddings"], E[ids], atol=1e-6)
        pooled = entry["pooled_predictions"]
        assert (pooled is None) == (clip["n_tokens"] < 2)
        if pooled is None:
            continue
        pooled_clips += 1
        text = [p for p in entry["predictions"] if any(c.isalnum() for c in p["token_text"])]
        states = np.array([p["hidden_state"] for p in entry["predictions"]])
        if len(text) == len(states):
            np.testing.assert_allclose(pooled["pooled_hidden_state"], states.mean(0), atol=1e-5)
            ranks = [p["original_metrics"]["predicted_rank"] for p in entry["predictions"]]
            assert pooled["average_rank"] == pytest.approx(np.mean(ranks))
        assert pooled["num_tokens_pooled"] == clip["n_tokens"]
        assert pooled["pooled_ground_truth_metrics"]["correlation"] == pytest.approx(clip["correlation"])
    assert pooled_clips > 0


def test_distribution_is_what_was_scored(run):
    greedy = run.tokens[run.tokens["decoding"] == "greedy"]
    log_p = run.distribution(greedy)
    assert log_p.shape == (len(greedy), len(run.output_side().head.vocabulary))
    np.testing.assert_allclose(np.exp(log_p.astype(float)).sum(-1), 1, atol=1e-5)
    found = log_p[np.arange(len(greedy)), greedy["token_id"]]
    np.testing.assert_allclose(found, greedy["log_probability"], atol=1e-5)
    assert run.distribution([]).shape == (0, log_p.shape[1])
    np.testing.assert_allclose(run.distribution(3), log_p[greedy["vector_row"].to_numpy() == 3], atol=1e-5)


def test_distribution_of_a_run_in_memory(model):
    probe = Probe.from_pretrained(model, device="cpu", max_new_tokens=3)
    result = probe([0.1 * np.sin(np.arange(4000.0))], ["fish"])
    row = result.tokens.iloc[0]
    assert result.distribution(int(row["vector_row"]))[0, row["token_id"]] == pytest.approx(
        row["log_probability"], abs=1e-5
    )
    with pytest.raises(InputError, match="in memory"):
        export_run(result, format="csv")


@pytest.mark.parametrize("rows", [[0.5], [[0, 1]], ["a"]])
def test_rows_that_are_none_are_refused(run, rows):
    with pytest.raises(InputError, match="vector_row"):
        run.distribution(rows)


def test_forced_rows_without_states_say_what_to_do(run):
    with pytest.raises(InputError, match="vectors='both'"):
        run.distribution(run.tokens[run.tokens["decoding"] == "forced"])


def test_a_run_without_states_exits_2_and_names_the_option(model, speech, tmp_path):
    probe_corpus(
        speech, tmp_path / "bare", model=str(model), device="cpu", max_new_tokens=3, vectors="none",
        max_failures=0.5, **OPTIONS,
    )  # fmt: skip
    done = CliRunner().invoke(app, ["export", str(tmp_path / "bare"), "--format", "legacy-json"])
    assert isinstance(done.exception, InputError)
    assert "vectors" in str(done.exception)
    assert not (tmp_path / "bare-legacy-json").exists()
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_moved_model_is_asked_for_and_another_refused(run, model, tmp_path):
    moved = shutil.copytree(run.path, tmp_path / "run")
    manifest = json.loads((moved / "manifest.json").read_text())
    manifest["options"]["model"] = str(tmp_path / "gone")
    (moved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="--model"):
        export_run(moved, format="legacy-json")
    assert export_run(moved, format="legacy-json", model=model).is_dir()
    other = shutil.copytree(model, tmp_path / "other")
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model.safetensors").write_bytes(bytes(weights))
    with pytest.raises(InputError, match="SHA-256"):
        load_probes(moved).distribution(0, model=other)


def test_csv_has_every_table(run, tmp_path):
    out = export_run(run, tmp_path / "csv", format="csv")
    assert {p.stem for p in out.iterdir()} == {*run.table_names, "failures"}
    clips = pd.read_csv(out / "clips.csv")
    np.testing.assert_allclose(clips["word_surprisal"], run.clips["word_surprisal"])
    assert list(clips["text"]) == list(run.clips["text"])


def test_nothing_is_overwritten_and_nothing_half_written_stays(run, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(InputError, match="not empty"):
        export_run(run, tmp_path / "mine", format="csv")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"

    def stop():
        raise StoppedError("stopped on request.")

    monkeypatch.setattr(exporting, "check_stop", stop)
    with pytest.raises(StoppedError):
        export_run(run, tmp_path / "half", format="legacy-json")
    assert {p.name for p in tmp_path.iterdir()} == {"mine"}


@pytest.mark.parametrize(
    ("options", "said"),
    [({"format": "json"}, "legacy-json"), ({"format": "legacy-json", "top_k": 0}, "top_k is a whole number")],
)
def test_wrong_options(run, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        export_run(run, tmp_path / "out", **options)


def test_names_that_a_file_system_would_mix_up():
    assert audio_ids(["a/Yes", "a/yes", "b/no"]) == ["a_Yes", "a_yes-2", "no"]
    names = audio_ids(["a/Yes", "b/yes", "c/no", "x:y", "x?y", "", "." * 9, "é" * 400])
    assert len({n.casefold() for n in names}) == 8
    assert all(n and len(n.encode()) <= 210 and not set(n) & set('\\/:*?"<>|') for n in names)


def test_embedding_under_its_own_name_wins(model, tmp_path):
    """A head that is not tied to the input embedding is the one that made the logits."""
    from safetensors.torch import load_file, save_file

    from whisperprobe.probing.output_side import output_embedding

    weights = load_file(model / "model.safetensors")
    own = torch.full_like(weights["model.decoder.embed_tokens.weight"], math.pi)
    save_file(weights, tmp_path / "a.safetensors")
    save_file({"proj_out.weight": own}, tmp_path / "b.safetensors")
    assert torch.equal(output_embedding(tmp_path), own)
