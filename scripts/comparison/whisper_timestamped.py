"""Claims about whisper-timestamped, on openai-whisper's model of random weights."""

from __future__ import annotations

import contextlib
import importlib.metadata
import io
import sys
from functools import cache
from typing import Any

import whisper_timestamped
from whisper_timestamped.transcribe import transcribe_timestamped

from comparison.claims import Claims
from comparison.listeners import murmur, openai_model
from comparison.rows_listeners import WHISPER, rows_of

claim = Claims(
    "whisper-timestamped",
    ["whisper_timestamped"],
    ["whisper_timestamped", "whisper_timestamped.transcribe", "whisper_timestamped.make_subtitles"],
)

NEVER = {"no_speech_threshold": None, "logprob_threshold": None, "compression_ratio_threshold": None}


@cache
def written(seconds: float = 2.0, **options: Any) -> Any:
    given = {"language": "en", "sample_len": 6, **NEVER, **options}
    vad = given.pop("vad", False)
    with contextlib.redirect_stdout(io.StringIO()):
        return transcribe_timestamped(
            openai_model(), murmur(seconds), vad=list(vad) if isinstance(vad, tuple) else vad, **given
        )


def words(**options: Any) -> list[dict[str, Any]]:
    return [word for one in written(**options)["segments"] for word in one["words"]]


@claim("tokens", "partly", "transcribe_timestamped(compute_word_confidence)")
def _() -> str:
    assert {"avg_logprob", "tokens", "confidence"} <= set(written()["segments"][0])
    return "of segments and words"


@claim("rank", "no", "transcribe_timestamped")
def _() -> str:
    assert not {"rank", "entropy"} & claim.vocabulary()
    return "confidences of words and segments alone"


@claim("top_k", "no", "load_model")
def _() -> str:
    return "`top_k` is for drawing, with a model of transformers"


@claim("confidence", "yes", "transcribe_timestamped(compute_word_confidence, include_punctuation_in_confidence)")
def _() -> str:
    assert all(0 <= word["confidence"] <= 1 for word in words())
    return "the geometric mean of its tokens' probabilities, to three digits (`tests/peers/test_confidence.py`)"


@claim("times", "yes", "transcribe_timestamped", "perform_word_alignment")
def _() -> str:
    assert all(word["start"] <= word["end"] for word in words())
    return "by cross-attention, while it decodes"


@claim("attention", "partly", "transcribe_timestamped(plot_word_alignment)")
def _() -> str:
    return "drawn, as what the times of words follow from"


@claim("long", "yes", "transcribe_timestamped(condition_on_previous_text)")
def _() -> str:
    assert written(31.0, sample_len=3)["segments"]
    return "as openai-whisper"


@claim("vad", "yes", "transcribe_timestamped(vad)", "get_vad_segments", "remove_non_speech")
def _() -> str:
    assert written(vad=((0.5, 1.5),))["speech_activity"] == [{"start": 0.5, "end": 1.5}]
    return "by silero or auditok, which are installed beside it, or in given stretches, as tried here"


@claim("disfluencies", "yes", "transcribe_timestamped(detect_disfluencies)")
def _() -> None:
    assert written(detect_disfluencies=True)["segments"]


@claim("subtitles", "yes", "write_srt", "write_vtt", "split_long_segments")
def _() -> None:
    stream = io.StringIO()
    whisper_timestamped.make_subtitles.write_srt(written()["segments"], stream)
    assert "-->" in stream.getvalue()


@claim("language", "yes", "transcribe_timestamped(language, task)")
def _() -> None:
    assert written(language=None)["language"]


@claim("batch", "no", "transcribe_timestamped(audio)")
def _() -> str:
    return "a clip at a time"


@claim("alone", "yes", "transcribe_timestamped(seed)")
def _() -> str:
    assert written(seed=1) == written(seed=2)
    return "there are no batches; above temperature 0 the draws follow from a seed"


@claim("tables", "partly", "write_csv")
def _() -> str:
    return "words and segments of a clip, as CSV or JSON"


@claim("families", "no", "load_model(backend)")
def _() -> str:
    return "Whisper alone, of openai-whisper and of transformers"


@claim("command", "yes", "cli")
def _() -> str:
    assert importlib.metadata.entry_points(group="console_scripts", name="whisper_timestamped")
    return "`whisper_timestamped`, `whisper_timestamped_make_subtitles`"


@claim("device", "fact", "load_model(device)")
def _() -> str:
    return "one of torch's devices"


@claim("requires", "fact")
def _() -> str:
    needed = [one for one in importlib.metadata.requires("whisper-timestamped") or [] if "extra" not in one]
    return f"{len(needed)} distributions, openai-whisper among them"


@claim("licence", "fact")
def _() -> str:
    return importlib.metadata.metadata("whisper-timestamped")["License"]


@claim("python", "fact")
def _() -> str:
    found = importlib.metadata.metadata("whisper-timestamped")
    return f"{found['Version']}, Python {found['Requires-Python'].removeprefix('>=')} or newer"


claim.idle("loss", "adapters", "again", "large")

if __name__ == "__main__":
    sys.stdout.write(claim.report(rows_of(WHISPER)))
