"""Whispers with the same weights in two implementations, and OpenAI's vocabulary; nothing here uses a network."""

from __future__ import annotations

import copy
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

DEMO = Path(__file__).parents[2] / "src" / "whisperprobe" / "whisperprobe" / "demo"


@pytest.fixture(autouse=True, scope="session")
def _no_network() -> Iterator[None]:
    """Whatever a package would fetch, it fails to."""

    def refuse(self: socket.socket, address: Any) -> None:
        raise OSError(f"a test of this folder wants to connect to {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        yield


@pytest.fixture(scope="session")
def demo_model() -> Path:
    """The small trained Whisper that ships with the demo."""
    return DEMO / "model"


@pytest.fixture(scope="session")
def demo_speech() -> list[tuple[np.ndarray, str]]:
    """Forty clips of the demo's speech at 16 kHz, with what is said."""
    from audiogram import sound
    from audiogram.corpus import open_corpus

    clips = open_corpus(DEMO / "speech").sample(40, seed=1).read("test")
    return [(sound.resample(*clip.audio(), 16_000), str(clip.text)) for clip in clips]


@pytest.fixture(scope="session")
def openai_tokenizer() -> Any:
    """OpenAI's multilingual vocabulary (large-v3's, 51,866 entries), as their package ships it, for transformers."""
    from transformers import AddedToken, WhisperTokenizer
    from transformers.convert_slow_tokenizer import TikTokenConverter
    from whisper.tokenizer import get_encoding

    encoding = get_encoding("multilingual", num_languages=100)

    class Converter(TikTokenConverter):  # type: ignore[misc]
        @staticmethod
        def load_tiktoken_bpe(name: str) -> dict[bytes, int]:
            return dict(encoding._mergeable_ranks)

    vocab, merges = Converter().extract_vocab_merges_from_model("multilingual")
    # in transformers' layout <|endoftext|> is part of the vocabulary and what follows it is added
    vocab["<|endoftext|>"] = encoding.eot_token
    added = sorted(encoding._special_tokens, key=encoding._special_tokens.__getitem__)[1:]
    first_timestamp = added.index("<|0.00|>")
    tokenizer = WhisperTokenizer(vocab=vocab, merges=merges, extra_special_tokens=added[:first_timestamp])
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in added[first_timestamp:]])
    assert tokenizer.get_vocab()["<|30.00|>"] == encoding.n_vocab - 1 == 51_865
    return tokenizer


@pytest.fixture(scope="session")
def random_whisper(openai_tokenizer: Any) -> Callable[..., Any]:
    """`random_whisper(seconds=2, seed=0, sharpness=8)`: a small Whisper over OpenAI's vocabulary.

    The last layer norm is scaled by `sharpness`, so that some probabilities are large; the positions are, so that it
    does not answer with one token over and over. What OpenAI's `decode` suppresses by default is suppressed here too.
    """
    from transformers import WhisperConfig, WhisperForConditionalGeneration
    from whisper.tokenizer import get_tokenizer

    def make(*, seconds: int = 2, seed: int = 0, sharpness: float = 8.0) -> Any:
        theirs = get_tokenizer(True, num_languages=100, language="en", task="transcribe")
        vocab = openai_tokenizer.get_vocab()
        end, start = theirs.eot, theirs.sot
        config = WhisperConfig(
            vocab_size=len(vocab), num_mel_bins=128, d_model=48, encoder_layers=2, decoder_layers=2,
            encoder_attention_heads=3, decoder_attention_heads=3, encoder_ffn_dim=192, decoder_ffn_dim=192,
            max_source_positions=50 * seconds, max_target_positions=64, init_std=0.08, pad_token_id=end,
            bos_token_id=end, eos_token_id=end, decoder_start_token_id=start,
        )  # fmt: skip
        state = torch.random.get_rng_state()
        torch.manual_seed(seed)
        model = WhisperForConditionalGeneration(config).eval()
        torch.random.set_rng_state(state)
        with torch.no_grad():
            model.model.decoder.layer_norm.weight.mul_(sharpness)
            model.model.decoder.embed_positions.weight.mul_(10.0)
        settings = model.generation_config
        settings.eos_token_id = settings.pad_token_id = end
        settings.decoder_start_token_id, settings.no_timestamps_token_id = start, theirs.no_timestamps
        settings.is_multilingual = True
        settings.lang_to_id = {"<|en|>": vocab["<|en|>"]}
        settings.task_to_id = {"transcribe": theirs.transcribe, "translate": theirs.translate}
        banned = {theirs.transcribe, theirs.translate, theirs.sot, theirs.sot_prev, theirs.sot_lm, theirs.no_speech}
        settings.suppress_tokens = sorted(banned | set(theirs.non_speech_tokens))
        settings.begin_suppress_tokens = [*theirs.encode(" "), end]
        return model

    return make


@pytest.fixture(scope="session")
def in_openai() -> Callable[..., Any]:
    """`in_openai(model)`: openai-whisper's model with the weights of a transformers Whisper.

    The names are mapped by whisper-timestamped, so that neither side of a comparison is ours. OpenAI's feed-forward
    layers have four times the model's width; narrower ones are filled up with units that add nothing.
    """
    import whisper
    from whisper_timestamped.transcribe import hf_to_whisper_states

    def translate(model: Any) -> Any:
        config, states = model.config, {}
        for name, tensor in model.state_dict().items():
            if name != "proj_out.weight":  # tied to the token embedding in both
                states[hf_to_whisper_states(name)] = tensor.detach().clone()
        for name, tensor in states.items():
            missing = 4 * config.d_model - config.encoder_ffn_dim
            if ".mlp.0." in name:
                states[name] = torch.cat([tensor, tensor.new_zeros(missing, *tensor.shape[1:])])
            elif name.endswith(".mlp.2.weight"):
                states[name] = torch.cat([tensor, tensor.new_zeros(len(tensor), missing)], 1)
        out = whisper.model.Whisper(
            whisper.model.ModelDimensions(
                n_mels=config.num_mel_bins, n_audio_ctx=config.max_source_positions, n_audio_state=config.d_model,
                n_audio_head=config.encoder_attention_heads, n_audio_layer=config.encoder_layers,
                n_vocab=config.vocab_size, n_text_ctx=config.max_target_positions, n_text_state=config.d_model,
                n_text_head=config.decoder_attention_heads, n_text_layer=config.decoder_layers,
            )
        )  # fmt: skip
        out.load_state_dict(states, strict=True)
        return out.eval()

    return translate


@pytest.fixture(scope="session")
def in_float64() -> Callable[[Any], Any]:
    """`in_float64(model)`: a copy of an openai-whisper model that computes in float64.

    OpenAI's layer norm always computes in float32 and its decoder rounds the logits to it: the norm is replaced by
    torch's own, and logits are to be taken from the state before the output embedding.
    """
    import whisper

    def widen(model: Any) -> Any:
        wide = copy.deepcopy(model).double()
        for module in wide.modules():
            if isinstance(module, whisper.model.LayerNorm):
                module.__class__ = torch.nn.LayerNorm
        return wide

    return widen
