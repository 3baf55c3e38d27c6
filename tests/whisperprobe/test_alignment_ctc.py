"""CTC forced alignment: hand-made emissions whose best path is known, all paths there are, and models from folders."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram.errors import InputError
from whisperprobe import CTCAligner
from whisperprobe.alignment import torchaudio_here
from whisperprobe.alignment.ctc import STAR, align_emission, spell, spell_all
from whisperprobe.alignment.ctc_model import CTCModel, emissions, load_ctc_model

FORCED = torchaudio.functional.forced_align
ALPHABET = {"a": 1, "b": 2, "c": 3}


def model(**options: Any) -> CTCModel:
    given = {"characters": ALPHABET, "blank": 0, "delimiter": None, "stride": 10, "reach": 10, "sample_rate": 1000}
    return CTCModel(lambda sound, lengths: sound, **(given | options))


def emission(path: str, symbols: str = "-abc|", sure: float = 0.9) -> torch.Tensor:
    """Frames in which the symbols of `path` have probability `sure` and the others share the rest."""
    p = torch.full((len(path), len(symbols)), (1 - sure) / (len(symbols) - 1))
    p[torch.arange(len(path)), torch.tensor([symbols.index(c) for c in path])] = sure
    return p.log()


def aligned(path: str, text: str, **options: Any) -> list[tuple[str, float, float]]:
    known = model(**options)
    words = align_emission(emission(path), spell_all(text, known, "star"), known, FORCED)
    return [(w.word, round(w.start, 6), round(w.end, 6)) for w in words]


def test_the_best_path_is_found_and_times_are_exact() -> None:
    assert aligned("--aab--bc-", "ab bc") == [("ab", 0.02, 0.05), ("bc", 0.07, 0.09)]


def test_a_frame_stands_for_the_middle_of_what_it_sees() -> None:
    assert aligned("-a-b-", "a b", reach=30) == [("a", 0.02, 0.03), ("b", 0.04, 0.05)]


def test_letters_twice_in_a_row_need_a_blank_between() -> None:
    assert aligned("aa-aab", "a ab") == [("a", 0.0, 0.02), ("ab", 0.03, 0.06)]


def test_a_delimiter_belongs_to_no_word() -> None:
    assert aligned("-a||bb", "a b", delimiter=4) == [("a", 0.01, 0.02), ("b", 0.04, 0.06)]


def test_a_star_takes_what_is_left() -> None:
    assert aligned("aab-|cc-b", "ab 4 b") == [("ab", 0.0, 0.03), ("4", 0.03, 0.08), ("b", 0.08, 0.09)]


def test_the_score_is_the_mean_probability_of_a_words_frames() -> None:
    known = model()
    frames = emission("-aab-c")
    frames[1] = torch.tensor([0.1, 0.5, 0.2, 0.1, 0.1]).log()
    words = align_emission(frames, spell_all("ab c", known, "fail"), known, FORCED)
    assert [w.score for w in words] == pytest.approx([(0.5 + 0.9 + 0.9) / 3, 0.9])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "ab", "ba", "aa"]), min_size=1, max_size=2), st.integers(0, 2**32 - 1))
def test_no_way_through_the_frames_is_more_probable(words: list[str], seed: int) -> None:
    known, text = model(), " ".join(words)
    frames = torch.log_softmax(torch.from_numpy(np.random.default_rng(seed).normal(size=(6, 3))), -1).float()
    labels = [ALPHABET[c] for word in words for c in word]
    if len(labels) + sum(a == b for a, b in itertools.pairwise(labels)) > 6:
        return
    ways = []
    for way in itertools.product(range(3), repeat=6):
        steps = [(t, k) for t, k in enumerate(way) if k and (t == 0 or way[t - 1] != k)]
        if [k for _, k in steps] == labels:
            ways.append((sum(float(frames[t, k]) for t, k in enumerate(way)), way))
    best = max(ways)[1]
    begins = [t for t, k in enumerate(best) if k and (t == 0 or best[t - 1] != k)]
    found = align_emission(frames, spell_all(text, known, "fail"), known, FORCED)
    firsts = np.cumsum([0, *map(len, words[:-1])])
    assert [round(w.start * 100) for w in found] == [begins[i] for i in firsts]


def test_what_cannot_be_aligned_says_why() -> None:
    known = model()
    with pytest.raises(InputError, match=r"needs 3 frames, the sound has 2 \(0\.02 s\)"):
        align_emission(emission("ab"), spell_all("aa", known, "fail"), known, FORCED)
    with pytest.raises(InputError, match="NaN or infinite"):
        align_emission(torch.full((4, 5), float("nan")), spell_all("a", known, "fail"), known, FORCED)
    with pytest.raises(InputError, match=r"no character 4 x of the word 'x4a'.*--unknown star"):
        spell_all("a x4a", known, "fail")
    with pytest.raises(InputError, match="no word is said"):
        spell_all(" … ", known, "fail")


@pytest.mark.parametrize(
    ("word", "characters", "labels"),
    [
        ("Ab", "ab", [0, 1]),
        ("ab", "AB", [0, 1]),
        ("é", "e", [0]),
        ("é", "eé", [1]),
        ("it’s", "it's", [0, 1, 2, 3]),
        ("it's", "its", [0, 1, 2]),
        ("well-known", "welkno", [0, 1, 2, 2, 3, 4, 5, 0, 4]),
        ("a42b", "ab", [0, STAR, 1]),
        ("ß", "s", [STAR]),
        ("ﬁ", "fi", [0, 1]),
    ],
)
def test_spelling(word: str, characters: str, labels: list[int]) -> None:
    assert list(spell(word, {c: i for i, c in enumerate(characters)})) == labels


def local(sound: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    """Log-probabilities that follow from the 30 samples of each frame alone."""
    seen = sound.unfold(1, 30, 10)
    return torch.log_softmax(torch.stack([seen.mean(-1), seen.std(-1), seen[..., 0]], -1), -1)


@pytest.mark.parametrize("samples", [30, 31, 299, 300, 301, 1000, 2000])
@pytest.mark.parametrize("context", [0.0, 0.05])
def test_long_clips_in_pieces_are_as_in_one(samples: int, context: float) -> None:
    known = model(reach=30, normalise=True)
    known = CTCModel(**{**vars(known), "forward": local})
    sounds = [np.random.default_rng(i).normal(size=samples + i).astype(np.float32) for i in range(3)]
    whole = emissions(known, sounds, chunk_seconds=10)
    pieces = emissions(known, sounds, chunk_seconds=0.2, context_seconds=context, batch_size=2)
    for x, a, b in zip(sounds, whole, pieces, strict=True):
        assert a.shape == b.shape == (known.frames(len(x)), 3)
        assert torch.allclose(a, b, atol=1e-5)


LETTERS = ["<pad>", "|", *"abcdefghijklmnopqrstuvwxyz'"]


def save_wav2vec2(folder: Path, norm: str = "layer", letters: list[str] = LETTERS, **options: Any) -> Path:
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "letters.json").write_text(json.dumps({c: i for i, c in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(
        str(folder / "letters.json"), pad_token="<pad>", unk_token="<pad>", bos_token=None, eos_token=None
    )
    config = Wav2Vec2Config(
        vocab_size=len(letters), pad_token_id=0, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, conv_dim=(8, 8), conv_stride=(20, 16), conv_kernel=(40, 20), num_feat_extract_layers=2,
        feat_extract_norm=norm, do_stable_layer_norm=norm == "layer", num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2, **options,
    )  # fmt: skip
    state = torch.random.get_rng_state()
    torch.manual_seed(0)
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    torch.random.set_rng_state(state)
    tokenizer.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=norm == "layer").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_wav2vec2(tmp_path_factory.mktemp("model"))


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).normal(size=round(seconds * 16_000))).astype(np.float32)


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_clips_do_not_change_each_other_in_a_batch(tmp_path: Path, norm: str) -> None:
    known = load_ctc_model(save_wav2vec2(tmp_path, norm), device="cpu")
    sounds = [noise(s, i) for i, s in enumerate((0.5, 0.31, 0.7, 0.5))]
    together = emissions(known, sounds, batch_size=4)
    for x, frames in zip(sounds, together, strict=True):
        alone = emissions(known, [x])[0]
        assert frames.shape == alone.shape == (known.frames(len(x)), len(LETTERS))
        assert torch.allclose(frames, alone, atol=1e-4)
        assert torch.allclose(frames.exp().sum(-1), torch.ones(len(frames)), atol=1e-5)


def test_a_folder_says_where_its_frames_lie(folder: Path) -> None:
    known = load_ctc_model(folder, device="cpu")
    assert (known.stride, known.reach, known.blank, known.delimiter) == (320, 420, 0, 1)  # 40 + 19 * 20 samples
    assert known.characters["'"] == LETTERS.index("'")
    assert "|" not in known.characters
    assert known.time(0) == pytest.approx(50 / 16_000)


def test_words_of_clips_come_in_order_and_bad_clips_stay_single(folder: Path) -> None:
    aligner = CTCAligner.from_pretrained(folder, device="cpu", batch_size=2)
    found = aligner([noise(1.0), noise(1.0, 1), noise(0.02), noise(0.2)], ["Yes, sir", "over 9", "no", "x" * 40])
    assert [w.word for w in found[0]] == ["Yes", "sir"]
    assert 0 <= found[0][0].start < found[0][0].end <= found[0][1].start < found[0][1].end <= 1.0
    assert all(0 < w.score < 1 for w in found[0])
    for error, said in zip(
        found[1:], ("no character 9", "less than one frame", "it cannot be what is said"), strict=True
    ):
        assert isinstance(error, InputError)
        assert said in str(error)
    starred = CTCAligner.from_pretrained(folder, device="cpu", unknown="star")([noise(1.0)], ["over 9"])
    assert [w.word for w in starred[0]] == ["over", "9"]


def test_what_does_not_sound_like_its_transcript_is_refused_by_score(folder: Path) -> None:
    (found,) = CTCAligner.from_pretrained(folder, device="cpu", min_score=0.9)([noise(1.0)], ["yes sir"])
    assert isinstance(found, InputError)
    assert "The transcript says 'yes sir', the model hears" in str(found)


def test_wrong_models_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no CTC model"):
        load_ctc_model(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"has no config\.json"):
        load_ctc_model(tmp_path)
    pieces = save_wav2vec2(tmp_path / "pieces", letters=["<pad>", "|", "the", "cat"])
    with pytest.raises(InputError, match="no single letters"):
        load_ctc_model(pieces)
    (tmp_path / "weights.pt").write_bytes(b"no weights")
    with pytest.raises(InputError, match=r"does not hold torchaudio's MMS_FA weights"):
        load_ctc_model(tmp_path / "weights.pt")
    damaged = save_wav2vec2(tmp_path / "damaged")
    os.truncate(damaged / "model.safetensors", 500)
    with pytest.raises(InputError, match="cannot be loaded"):
        load_ctc_model(damaged)
    with pytest.raises(InputError, match="unknown is 'skip'"):
        CTCAligner(model(), unknown="skip")


def test_a_whisper_is_no_ctc_model(tmp_path: Path) -> None:
    for name in ("preprocessor_config.json", "vocab.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "whisper"}))
    with pytest.raises(InputError, match=r"type 'whisper', which is no CTC model.*--method whisper"):
        load_ctc_model(tmp_path)


def test_the_weights_of_mms_are_read_from_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle's own classes, with a model that is small enough for a test."""
    from torchaudio.models import wav2vec2_model

    real = torchaudio.pipelines.MMS_FA
    small_layers = [(8, kernel, stride) for _, kernel, stride in real._params["extractor_conv_layer_config"]]
    shape = {
        **real._params, "extractor_conv_layer_config": small_layers, "encoder_embed_dim": 16,
        "encoder_pos_conv_kernel": 4, "encoder_pos_conv_groups": 2, "encoder_num_layers": 1, "encoder_num_heads": 2,
        "encoder_ff_interm_features": 16,
    }  # fmt: skip
    small = wav2vec2_model(**shape).state_dict()
    for name in ("aux.weight", "aux.bias"):  # the file has four labels more, of which the bundle drops three
        small[name] = torch.cat([small[name][:1], small[name].new_zeros(3, *small[name].shape[1:]), small[name][1:]])
    torch.save(small, tmp_path / "mms.pt")
    monkeypatch.setattr(torchaudio.pipelines, "MMS_FA", dataclasses.replace(real, _params=shape))
    aligner = CTCAligner.from_pretrained(tmp_path / "mms.pt", device="cpu")
    assert aligner.model.blank == 0
    assert aligner.model.characters["a"] == 1
    (words,) = aligner([noise(1.0)], ["Yes, it’s"])
    assert [w.word for w in words] == ["Yes", "it’s"]
    assert words[-1].end <= 1.0


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        ({"torch": "2.11.0+cpu", "torchaudio": "2.8.0"}, "does not belong to torch 2.11.0"),
        ({"torch": "2.11.0"}, "not installed.*whisperprobe\\[align\\]"),
    ],
)
def test_a_torchaudio_that_does_not_fit_is_named(
    monkeypatch: pytest.MonkeyPatch, versions: dict[str, str], said: str
) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise torchaudio_here.importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(torchaudio_here.importlib.metadata, "version", version)
    with pytest.raises(InputError, match=said):
        torchaudio_here.torchaudio_module("functional")


def test_a_torchaudio_that_breaks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise OSError("undefined symbol: _ZN5torch\nmore")

    monkeypatch.setattr(torchaudio_here.importlib, "import_module", broken)
    with pytest.raises(InputError, match=r"cannot be imported beside torch .*undefined symbol: _ZN5torch\)"):
        torchaudio_here.torchaudio_module("functional")
