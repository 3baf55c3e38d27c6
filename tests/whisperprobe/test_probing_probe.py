"""`Probe`: the same numbers however clips are batched, ordered and padded; clear errors for what cannot be used."""

from __future__ import annotations

import copy
import json
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperFeatureExtractor

from audiogram.errors import AudiogramWarning, InputError
from whisperprobe.features import log_mel
from whisperprobe.probing import schemas
from whisperprobe.probing.decode import Suppression
from whisperprobe.probing.probe import Probe

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

WORDS = ["sick", "thick", "fish", "ship", "chip", "naïve", "Straße", "'twas"]
TEXTS = ["sick", "Fish ship", "", "straße!", "q", None, "naïve chip ship"]


def sounds(seed=0, lengths=(16_000, 8_000, 12_345, 3_000, 400, 7_777, 15_999)):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in lengths]


@pytest.fixture(scope="module")
def whisper():
    """A random model whose outputs have 1 to 5 tokens; the last two clips run to the limit."""
    model, tokenizer = naive_probe.tiny_whisper(WORDS, suppress=[5, 70, 80])
    naive_probe.end_after(model, tokenizer, sounds()[:5], [1, 3, 5, 2, 4])
    return model, tokenizer


@pytest.fixture(scope="module")
def probe(whisper):
    return Probe(*whisper, max_new_tokens=6)


@pytest.fixture(scope="module")
def folder(whisper, tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    model, tokenizer = whisper
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    WhisperFeatureExtractor(feature_size=80, chunk_length=1).save_pretrained(path)
    return path


def same(a, b, atol):
    """Assert that two results agree, clip by clip, whatever their order."""
    for name, keys in (
        ("tokens", ["clip_id", "decoding", "variant", "position"]),
        ("clips", ["clip_id"]),
        ("ground_truth", ["clip_id", "position", "target_index"]),
    ):
        left = getattr(a, name).sort_values(keys, kind="stable", ignore_index=True)
        right = getattr(b, name).sort_values(keys, kind="stable", ignore_index=True)
        assert len(left) == len(right)
        for column in left:
            if column == "vector_row":
                rows = left[column].notna()
                assert rows.equals(right[column].notna())
                assert np.allclose(a.hidden[left[column][rows]], b.hidden[right[column][rows]], atol=atol)
            elif left[column].dtype.kind == "f":
                assert np.allclose(left[column], right[column], atol=atol, rtol=0, equal_nan=True), (name, column)
            else:
                assert left[column].equals(right[column]), (name, column)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_batch_size_does_not_matter(probe, batch_size):
    same(probe(sounds(), TEXTS, batch_size=7), probe(sounds(), TEXTS, batch_size=batch_size), 1e-10)


def test_order_and_neighbours_do_not_matter(probe):
    whole = probe(sounds(), TEXTS)
    order = [4, 0, 6, 2, 5, 1, 3]
    mixed = probe(
        [sounds()[i] for i in order],
        [TEXTS[i] for i in order],
        ids=[str(i) for i in order],
        batch_size=4,
        vectors="both",
    )
    assert mixed.clips["clip_id"].tolist() == [str(i) for i in order]
    same(whole, probe([sounds()[i] for i in order], [TEXTS[i] for i in order], ids=[str(i) for i in order]), 1e-10)


def test_silence_at_the_end_does_not_matter(probe):
    padded = [np.concatenate([x[:12_000], np.zeros(16_000 - len(x[:12_000]), dtype=np.float32)]) for x in sounds()]
    same(probe([x[:12_000] for x in sounds()], TEXTS), probe(padded, TEXTS), 1e-5)


def test_batches_agree_within_1e5_in_float32():
    # weights as small as a trained model's; a random model's arg max hangs on rounding, so nothing is decoded
    model, tokenizer = naive_probe.tiny_whisper(WORDS, init_std=0.1)
    probe = Probe(model.float(), tokenizer)
    options = {"decodings": ["forced"], "vectors": "both"}
    whole = probe(sounds(), TEXTS, batch_size=7, **options)
    same(whole, probe(sounds(), TEXTS, batch_size=1, **options), 1e-5)
    same(whole, probe(sounds()[::-1], TEXTS[::-1], ids=list("6543210"), batch_size=3, **options), 1e-5)


def test_columns_are_those_of_the_design(probe):
    result = probe(sounds(), TEXTS)
    for name, schema in (("tokens", schemas.TOKENS), ("clips", schemas.CLIPS), ("ground_truth", schemas.GROUND_TRUTH)):
        assert list(getattr(result, name).columns) == schema.names
    assert schemas.TOKENS.names == [
        "clip_id", "decoding", "variant", "position", "token_id", "token", "kind", "log_probability",
        "processed_log_probability", "probability", "surprisal", "rank", "ties", "entropy", "semantic_density",
        "normalised_text", "normalised_probability", "normalised_rank", "normalised_entropy", "word_end_mass",
        "vector_row",
    ]  # fmt: skip


def test_clips_without_text_get_greedy_rows_only(probe):
    result = probe(sounds(), TEXTS)
    decodings = result.tokens.groupby("clip_id")["decoding"].agg(set)
    assert [decodings[str(i)] == {"greedy"} for i in range(7)] == [t in ("", None) for t in TEXTS]
    silent = result.clips[result.clips["text"].isna()]
    assert silent["clip_id"].tolist() == ["2", "5"]
    assert silent["correct"].isna().all()
    assert silent["word_surprisal"].isna().all()
    assert not set(result.ground_truth["clip_id"]) & {"2", "5"}


def test_a_text_of_one_token_is_pooled_like_any_other(probe):
    result = probe(sounds(), ["q"] * 7)
    one = result.clips
    assert one[["word_surprisal", "word_mean_rank", "word_mean_entropy"]].notna().all(axis=None)
    rows = result.tokens[result.tokens["variant"] == "as_given"]
    assert rows.groupby("clip_id").size().tolist() == [1] * 7


def test_one_decoding_only(probe):
    both = probe(sounds(), TEXTS)
    forced = probe(sounds(), TEXTS, decodings=["forced"])
    assert set(forced.tokens["decoding"]) == {"forced"}
    assert forced.clips["prediction"].isna().all()
    assert np.allclose(forced.clips["word_surprisal"], both.clips["word_surprisal"], atol=1e-10, equal_nan=True)
    greedy = probe(sounds(), TEXTS, decodings=["greedy"])
    assert set(greedy.tokens["decoding"]) == {"greedy"}
    assert greedy.clips["prediction"].tolist() == both.clips["prediction"].tolist()


def test_correct_is_decided_under_the_normaliser(probe, monkeypatch):
    monkeypatch.setattr(probe, "text_of", lambda ids: "Colour, TWENTY-one!")
    clips = probe(sounds()[:3], ["colour 21", "color 21", None]).clips
    assert clips["correct"].tolist()[:2] == [True, False]
    assert clips["correct"].isna().tolist() == [False, False, True]


def test_vectors_of_all_rows_of_greedy_rows_or_none(probe):
    both, greedy, none = (probe(sounds(), TEXTS, vectors=v, top_k=7) for v in ("both", "greedy", "none"))
    assert both.tokens["vector_row"].tolist() == list(range(len(both.tokens)))
    assert both.hidden.shape == (len(both.tokens), 24)
    rows = greedy.tokens["vector_row"]
    assert rows.notna().equals(greedy.tokens["decoding"] == "greedy")
    assert np.allclose(greedy.hidden[rows.dropna()], both.hidden[(both.tokens["decoding"] == "greedy").to_numpy()])
    assert none.tokens["vector_row"].isna().all()
    with pytest.raises(InputError, match="kept no vectors"):
        _ = none.hidden


def test_the_distribution_can_be_recomputed_from_the_hidden_state(whisper, probe):
    result = probe(sounds(), TEXTS, vectors="both", top_k=9)
    E = whisper[0].get_output_embeddings().weight.detach().numpy()
    z = np.asarray(result.hidden, dtype=np.float64) @ E.T
    log_p = z - z.max(1, keepdims=True) - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True))
    at = np.arange(len(z)), result.tokens["token_id"].to_numpy()
    assert np.abs(log_p[at] - result.tokens["log_probability"]).max() < 1e-4  # states are stored in float32
    ids, stored = result.top_k
    assert ids.dtype == np.uint16
    assert stored.dtype == np.float16
    assert np.allclose(np.take_along_axis(log_p, ids.astype(int), 1), stored, rtol=1e-3, atol=1e-4)  # to 3 digits
    assert (np.diff(stored.astype(float), axis=1) <= 0).all()
    first = result.tokens["rank"] == 1
    assert (ids[first, 0] == result.tokens["token_id"][first]).all()


def test_repr_says_what_is_inside(probe):
    texts = ["sick", "<b>chip</b>", *TEXTS[2:]]
    result = probe(sounds(), texts, vectors="none", lexicon=["sick", "fish & chip", "ship"], encoder="mean")
    lines = dict(line.split(maxsplit=1) for line in repr(result).splitlines())
    assert lines["clips"].startswith("7, 0.0% of 5 correct, word surprisal ")
    assert lines["lexicon"].startswith("3 words, the spoken one best in ")
    assert lines["lexicon"].endswith(" of 1 clips")
    assert lines["tokens"] == f"{len(result.tokens)} rows"
    assert lines["competitors"] == "21 rows"
    assert lines["encoder"] == "7 × 24 float32"
    assert "hidden" not in lines
    page = result._repr_html_()
    assert ">encoder</th>" in page
    assert "&lt;b&gt;chip" in page  # what texts say is shown, not obeyed
    assert page.count("<tr") == len(lines) - 1 + 1 + 5  # names and values, then the first clips under their heading


def test_repr_of_a_probe_says_who_listens(probe):
    assert "window=1 s" in repr(probe)
    page = probe._repr_html_()
    assert "1 encoder, 2 decoder, d = 24" in page
    assert "&lt;|startoftranscript|&gt;&lt;|en|&gt;" in page
    assert "float64 on cpu" in page


def test_a_checkpoint_from_a_folder(folder, probe):
    loaded = Probe.from_pretrained(folder, dtype="float64", max_new_tokens=6)
    same(loaded(sounds(), TEXTS), probe(sounds(), TEXTS), 1e-12)
    about = loaded.describe()
    assert about["model"] == str(folder)
    assert len(about["model_sha256"]) == len(about["tokenizer_sha256"]) == 64
    assert about["prompt_ids"] == probe.prompt
    assert about["tokenizer_sha256"] == probe.describe()["tokenizer_sha256"]
    assert Probe.from_pretrained(folder).dtype == "float32"


def test_an_english_only_checkpoint(whisper):
    model, tokenizer = whisper
    kept = model.generation_config
    model.generation_config = copy.deepcopy(kept)
    model.generation_config.is_multilingual = False
    try:
        probe = Probe(model, tokenizer, max_new_tokens=3)
        assert probe.prompt == [kept.decoder_start_token_id, kept.no_timestamps_token_id]
        naive = naive_probe.Naive(model, tokenizer, probe.prompt)
        result = probe(sounds()[:2], TEXTS[:2])
        worst = naive_probe.deviations(result, naive, log_mel(sounds()[:2], model))
        assert max(worst.values()) < 1e-9
    finally:
        model.generation_config = kept


@pytest.mark.parametrize(
    ("clip", "said"),
    [
        (np.zeros(16_001, dtype=np.float32), "window of 1 s"),
        (np.zeros(0, dtype=np.float32), "empty"),
        (np.full(100, np.nan, dtype=np.float32), "NaN or infinite"),
        (np.full(100, np.inf, dtype=np.float32), "NaN or infinite"),
        (np.zeros((2, 100), dtype=np.float32), "mono"),
        (np.zeros(100, dtype=np.int16), "floating-point"),
        (np.full(16_000, 1e25, dtype=np.float32), "states are NaN or infinite: the sound is far louder"),
    ],
)
def test_sound_that_cannot_be_used_is_refused_by_name(probe, clip, said):
    with pytest.raises(InputError, match=said) as caught:
        probe([sounds()[0], clip], ids=["good", "bad"])
    assert str(caught.value).startswith("bad: ")


def test_sound_at_another_rate_is_resampled_first(probe):
    half = np.sin(np.arange(8_000) / 20).astype(np.float32)
    assert len(probe([half], sample_rate=8_000).clips) == 1
    with pytest.raises(InputError, match="window"):
        probe([np.zeros(8_001, dtype=np.float32)], sample_rate=8_000)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"texts": ["one"]}, "1 texts"),
        ({"texts": "sick and ship"}, "one text each"),
        ({"ids": ["a", "a", "b", "c", "d", "e", "f"]}, "once"),
        ({"decodings": ["beam"]}, "unknown decoding 'beam'"),
        ({"vectors": "all"}, "unknown vectors 'all'"),
        ({"texts": [7] + [None] * 6}, "0: the text is 7"),
        ({"texts": ["\ud800x"] + [None] * 6}, "0: the text .* surrogate"),
        ({"decodings": []}, "decodings is empty"),
        ({"top_k": -1}, "top_k"),
        ({"top_k": 5.0}, "top_k"),
        ({"batch_size": 0}, "batch_size"),
        ({"texts": ["word " * 60] + [None] * 6}, "room for 44"),
    ],
)
def test_options_that_cannot_be_used_are_refused(probe, options, said):
    with pytest.raises(InputError, match=said):
        probe(sounds(), **options)


def test_a_missing_value_of_a_column_is_no_text(probe):
    column = pd.Series(["sick", None, np.nan, pd.NA, "", "  ", np.str_("fish")], dtype=object)
    assert probe(sounds(), column).clips["text"].fillna("-").tolist() == ["sick", "-", "-", "-", "-", "-", "fish"]


def test_half_precision_that_overflows_is_refused_with_the_remedy(whisper):
    model = copy.deepcopy(whisper[0])
    with torch.no_grad():
        model.model.decoder.layers[1].fc2.weight.mul_(1e6)
    with pytest.raises(InputError, match=r"^0 and 1 more: .*float16 overflows here; run the model in bfloat16"):
        Probe(model.half(), whisper[1], max_new_tokens=2)(sounds()[:2])


def broken(folder, tmp_path, *, without=(), config=None):
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    for name in without:
        (copy / name).unlink()
    if config is not None:
        (copy / "config.json").write_text(config)
    return copy


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"without": ["config.json"]}, "no config.json"),
        ({"without": ["model.safetensors"]}, "no weights"),
        ({"without": ["tokenizer.json"]}, "no tokenizer"),
        ({"config": "{"}, "not JSON"),
        ({"config": json.dumps({"model_type": "bert"})}, "type 'bert', not a Whisper"),
    ],
)
def test_a_folder_that_is_no_whisper_says_why(folder, tmp_path, change, said):
    with pytest.raises(InputError, match=said):
        Probe.from_pretrained(broken(folder, tmp_path, **change))


def test_without_a_generation_config_it_warns_and_asks_the_tokenizer(folder, tmp_path, probe):
    copy = broken(folder, tmp_path, without=["generation_config.json"])
    with pytest.warns(AudiogramWarning, match="has no generation_config.json"):
        bare = Probe.from_pretrained(copy)
    assert bare.prompt == probe.prompt
    assert bare.suppression == Suppression(always=(), at_begin=(220,))  # WhisperConfig's own 220 and 50256


def test_damaged_weights_say_so(folder, tmp_path):
    copy = broken(folder, tmp_path)
    (copy / "model.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00nonsense")
    with pytest.raises(InputError, match="cannot be loaded"):
        Probe.from_pretrained(copy)
    kept = {k: v for k, v in load_file(folder / "model.safetensors").items() if "encoder.layers.0.fc1" not in k}
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match="lack 2 tensors"):
        Probe.from_pretrained(copy)


def test_the_tokenizer_of_another_model_is_refused(folder, tmp_path):
    copy = broken(folder, tmp_path)
    _, other = naive_probe.tiny_whisper([f"word{i} other{i}" for i in range(100)] * 3, vocabulary_size=600)
    other.save_pretrained(copy)
    with pytest.raises(InputError, match="different checkpoints"):
        Probe.from_pretrained(copy)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"device": "abacus"}, "not one that PyTorch knows"),
        ({"dtype": "float8"}, "unknown dtype"),
        ({"language": "klingon"}, "unknown language"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
    ],
)
def test_wrong_options_of_from_pretrained(folder, options, said):
    with pytest.raises(InputError, match=said):
        Probe.from_pretrained(folder, **options)


def test_a_path_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="there is no model folder"):
        Probe.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(InputError, match="there is no model folder 'whisper-smal'"):
        Probe.from_pretrained("whisper-smal")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        Probe.from_pretrained(tmp_path / "file")


def test_no_clips_give_empty_tables(probe):
    result = probe([])
    assert len(result.clips) == len(result.tokens) == 0
    assert isinstance(result.clips, pd.DataFrame)
