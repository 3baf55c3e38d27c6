"""Claims about openai-whisper, on a model of random weights; `python -m comparison.openai_whisper`."""

from __future__ import annotations

import importlib.metadata
import inspect
import io
import math
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import whisper
from whisper.timing import find_alignment
from whisper.tokenizer import get_tokenizer

from comparison.claims import Claims
from comparison.listeners import murmur, openai_model
from comparison.rows_listeners import WHISPER, rows_of

claim = Claims(
    "openai-whisper",
    ["whisper"],
    ["whisper", "whisper.decoding", "whisper.model", "whisper.timing", "whisper.transcribe", "whisper.utils"],
    ["whisper", "whisper.decoding", "whisper.timing", "whisper.transcribe", "whisper.utils", "whisper.tokenizer"],
)

NEVER = {"no_speech_threshold": None, "logprob_threshold": None, "compression_ratio_threshold": None}


def mel(seed: int = 0) -> torch.Tensor:
    return whisper.log_mel_spectrogram(whisper.pad_or_trim(murmur(seed=seed)))


def decode(sound: torch.Tensor, **options: Any) -> Any:
    given = {"language": "en", "fp16": False, "sample_len": 4, "without_timestamps": True, **options}
    return whisper.decode(openai_model(), sound, whisper.DecodingOptions(**given))


@cache
def written() -> Any:
    return whisper.transcribe(
        openai_model(),
        murmur(),
        language="en",
        temperature=0.0,
        sample_len=6,
        word_timestamps=True,
        fp16=False,
        **NEVER,
    )


def tokenizer() -> Any:
    return get_tokenizer(True, language="en", task="transcribe")


@claim("tokens", "partly", "DecodingResult(avg_logprob)", "Whisper.logits")
def _() -> str:
    assert not [name for name in whisper.DecodingResult.__dataclass_fields__ if "logprobs" in name]
    assert isinstance(decode(mel()).avg_logprob, float)
    return "the mean of an answer or segment; of tokens after a second pass, by one's own arithmetic"


@claim("rank", "partly", "Whisper.logits", "MaximumLikelihoodRanker.rank")
def _() -> str:
    logits = openai_model().logits(torch.tensor([[tokenizer().sot]]), torch.zeros(1, 1500, 32))
    assert logits.shape[-1] == openai_model().dims.n_vocab
    return "by one's own arithmetic from the logits; the ranker is one of whole answers"


@claim("forced", "partly", "find_alignment", "Whisper.logits")
def _() -> str:
    ids = tokenizer().encode(" thought about it")
    words = find_alignment(openai_model(), tokenizer(), ids, mel(), 200)
    assert all(0 <= word.probability <= 1 for word in words)
    return "a mean probability per word, among text tokens only"


@claim("word_end", "no", "WordTiming(end)")
def _() -> str:
    return "its `word_end` is a time"


@claim("n_best", "no", "DecodingOptions(best_of, beam_size)")
def _() -> str:
    assert isinstance(decode(mel(), beam_size=3).text, str)
    return "the best alone is returned"


@claim("hidden", "partly", "TextDecoder.forward")
def _() -> str:
    assert list(inspect.signature(whisper.model.TextDecoder.forward).parameters) == ["self", "x", "xa", "kv_cache"]
    return "by hooks of one's own"


@claim("attention", "partly", "MultiHeadAttention.forward", "model.disable_sdpa")
def _() -> str:
    with torch.no_grad(), whisper.model.disable_sdpa():
        _, scores = openai_model().decoder.blocks[0].attn(torch.zeros(1, 3, 32))
    assert scores.shape == (1, 2, 3, 3)
    return "by hooks: a layer returns its scores before the softmax"


@claim("confidence", "yes", "transcribe(word_timestamps)", "WordTiming(probability)")
def _() -> str:
    assert all(0 <= word["probability"] <= 1 for one in written()["segments"] for word in one["words"])
    return "the arithmetic mean of its tokens' probabilities among text tokens (`tests/peers/test_confidence.py`)"


@claim("times", "yes", "transcribe(word_timestamps)")
def _() -> str:
    words = [word for one in written()["segments"] for word in one["words"]]
    assert words
    assert all(word["start"] <= word["end"] for word in words)
    return "by cross-attention"


@claim("align", "yes", "find_alignment")
def _() -> str:
    words = find_alignment(openai_model(), tokenizer(), tokenizer().encode(" thought about it"), mel(), 200)
    assert [word.word.strip() for word in words][:3] == ["thought", "about", "it"]
    return "of one window"


@claim("long", "yes", "transcribe(condition_on_previous_text, temperature, clip_timestamps)")
def _() -> str:
    found = whisper.transcribe(
        openai_model(), murmur(31), language="en", temperature=0.0, sample_len=3, fp16=False, **NEVER
    )
    assert found["segments"][-1]["seek"] >= 0
    return "window after window, each from where the last one ended; tried again at other temperatures where it fails"


@claim("vad", "no", "DecodingResult(no_speech_prob)", "transcribe(no_speech_threshold)")
def _() -> str:
    assert 0 <= decode(mel()).no_speech_prob <= 1
    return "a probability that a window has none; such windows can be skipped"


@claim("subtitles", "yes", "get_writer", "WriteSRT", "WriteVTT")
def _() -> None:
    with tempfile.TemporaryDirectory() as folder:
        whisper.utils.get_writer("srt", folder)(written(), "clip.wav")
        assert "-->" in (Path(folder) / "clip.srt").read_text()


@claim("language", "yes", "detect_language", "DecodingOptions(task)")
def _() -> str:
    _, found = whisper.detect_language(openai_model(), mel())
    assert math.isclose(sum(found.values()), 1, rel_tol=1e-3)
    return "with the probability of every language"


@claim("batch", "partly", "decode", "transcribe(audio)")
def _() -> str:
    assert len(decode(torch.stack([mel(), mel(1)]))) == 2
    with pytest.raises(RuntimeError):
        decode(torch.stack([mel(), mel(1)]), beam_size=2)
    return "windows in `decode`, without beam search, which fails for two; files one at a time"


@claim("alone", "yes", "decode")
def _() -> str:
    both = decode(torch.stack([mel(), mel(1)]))
    for i in range(2):
        assert decode(mel(i)).tokens == both[i].tokens
        assert decode(mel(i)).avg_logprob == pytest.approx(both[i].avg_logprob, abs=1e-4)
    return "but for rounding, at temperature 0; above it tokens are drawn"


@claim("tables", "partly", "WriteTSV", "WriteJSON")
def _() -> str:
    with io.StringIO() as stream, tempfile.TemporaryDirectory() as folder:
        whisper.utils.WriteTSV(folder).write_result(written(), file=stream)
        assert stream.getvalue().splitlines()[0].split("\t") == ["start", "end", "text"]
    return "segments of a clip as TSV; words in JSON"


@claim("trimmed", "no", "AudioEncoder.forward")
def _() -> str:
    with pytest.raises(AssertionError, match="incorrect audio shape"):
        openai_model().embed_audio(torch.zeros(1, 80, 1000))
    return "the encoder refuses any other length"


@claim("families", "no", "available_models")
def _() -> str:
    return f"{len(whisper.available_models())} names of OpenAI's checkpoints"


@claim("command", "yes", "cli")
def _() -> str:
    assert importlib.metadata.entry_points(group="console_scripts", name="whisper")
    return "`whisper`"


@claim("device", "fact", "load_model(device)")
def _() -> str:
    return "one of torch's devices; float16 unless it is told not to"


@claim("requires", "fact")
def _() -> str:
    needed = [one for one in importlib.metadata.requires("openai-whisper") or [] if "extra" not in one]
    assert "ffmpeg" in inspect.getsource(whisper.audio.load_audio)
    return f"{len(needed)} distributions, torch and numba among them; the program ffmpeg to read files"


@claim("licence", "fact")
def _() -> str:
    return importlib.metadata.metadata("openai-whisper")["License"]


@claim("python", "fact")
def _() -> str:
    found = importlib.metadata.metadata("openai-whisper")
    return f"{found['Version']}, Python {found['Requires-Python'].removeprefix('>=')} or newer"


claim.idle("loss", "adapters", "again", "large")

if __name__ == "__main__":
    sys.stdout.write(claim.report(rows_of(WHISPER)))
