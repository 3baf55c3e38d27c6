"""Claims about this library's listener, `whisperprobe.Probe`: what is read of a Whisper, words and their times.

The demo's model and speech, which ship with the package, are probed. `ours_whisper` prints the findings.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import whisperprobe as wp
from audiogram.errors import InputError
from comparison.claims import Claims
from comparison.listeners import DEMO, RATE, speech

claim = Claims("whisperprobe", ["whisperprobe"], ["whisperprobe"])


@cache
def probe(**options: Any) -> wp.Probe:
    return wp.Probe.from_pretrained(DEMO / "model", device="cpu", **options)


@cache
def heard() -> wp.ProbeResult:
    """Four clips with all that can be asked for."""
    clips, texts = speech()
    return probe()(
        clips,
        texts,
        vectors="both",
        top_k=5,
        layers="all",
        layer_vectors=True,
        n_best=3,
        lexicon=[*texts, "Cat", "Dog"],
    )


@claim("tokens", "yes", "Probe", "ProbeResult")
def _() -> str:
    rows = heard().tokens
    assert np.allclose(np.exp(rows["log_probability"]), rows["probability"])
    assert set(rows["decoding"]) == {"greedy", "forced"}
    return "before and after suppression"


@claim("rank", "yes", "measures.rank", "measures.entropy")
def _() -> str:
    rows = heard().tokens
    assert rows["rank"].min() == 1
    assert rows["entropy"].between(0, np.log(len(probe().vocabulary))).all()
    return "of tokens, and of tokens that differ in case or space only taken together"


@claim("surprisal", "yes", "measures.surprisal")
def _() -> str:
    rows = heard().tokens
    assert np.allclose(rows["surprisal"], -rows["log_probability"] / np.log(2))
    return "of tokens and words; bits"


@claim("forced", "yes", "Probe", "probe_corpus(decodings)")
def _() -> None:
    assert heard().clips["word_log_probability"].notna().all()


@claim("variants", "yes", "labels.text_variants")
def _() -> str:
    forced = heard().tokens.query("decoding == 'forced' and clip_id == '0'")
    assert forced["variant"].nunique() > 2
    return "as given, in lower case, capitalised; with and without a space before"


@claim("word_end", "yes", "Probe")
def _() -> str:
    clips = heard().clips
    assert (clips["word_log_probability"] <= clips["prefix_log_probability"] + 1e-9).all()
    return "with its end and without"


@claim("top_k", "yes", "probe_corpus(top_k)")
def _() -> str:
    assert heard().top_k.ids.shape == (len(heard().hidden), 5)
    return "1000 by default; the whole distribution again, from the states, by `ProbeResult.distribution`"


@claim("n_best", "yes", "probe_corpus(n_best)")
def _() -> None:
    found = heard().alternatives.query("clip_id == '0'")
    assert found["score"].is_monotonic_decreasing
    assert len(found) == 3


@claim("lexicon", "yes", "probe_corpus(lexicon, candidates, competitors)")
def _() -> None:
    clips = heard().clips
    assert clips["lexicon_probability"].between(0, 1).all()
    assert clips["lexicon_rank"].notna().all()


@claim("hidden", "yes", "ProbeResult", "probe_corpus(vectors)")
def _() -> None:
    assert heard().hidden.shape == (len(heard().tokens), probe().model.config.d_model)


@claim("lens", "yes", "probe_corpus(layers, layer_vectors)")
def _() -> None:
    layers = heard().layers
    last = layers[layers["layer"] == layers["layer"].max()]["log_probability"].to_numpy()
    assert np.allclose(last, heard().tokens["log_probability"], atol=1e-5)


@claim("attention", "no", "WhisperAligner.read")
def _() -> str:
    return "read for the times of words; no run holds them"


@claim("confidence", "yes", "word_confidence")
def _() -> str:
    words = wp.word_confidence(heard().tokens)
    assert {"log_probability", "mean_probability", "geometric_mean_probability"} < set(words)
    return "joint probability, arithmetic and geometric mean, by name"


@claim("times", "yes", "WhisperAligner", "Probe.from_pretrained(timestamps)")
def _() -> str:
    with pytest.raises(InputError, match="timestamp"):
        probe(timestamps=True)  # the demo's vocabulary has none
    return "of any text, what was written among them; a Whisper's own timestamps are rows of a run"


@claim("align", "yes", "WhisperAligner", "CTCAligner", "align_corpus")
def _() -> str:
    clips, texts = speech()
    align = wp.WhisperAligner.from_pretrained(DEMO / "model", device="cpu", leading_space=False)
    for clip, (word,) in zip(clips, align(clips, texts), strict=True):
        assert 0 <= word.start <= word.end <= len(clip) / RATE + 0.02
    return "by cross-attention, by a CTC model, or from TextGrids"


@claim("long", "partly", "probe_corpus(long_audio)")
def _() -> str:
    clip = np.concatenate([*speech()[0]] * 2)
    assert len(clip) > probe().window.n_samples
    with pytest.raises(InputError):
        probe()([clip])
    found = probe()([clip], ["what was said"], long_audio="windows").clips.iloc[0]
    assert found["n_windows"] > 1
    assert np.isnan(found["word_log_probability"])
    return "cut where a window ends, each by itself; of a given text nothing is scored"


@claim("language", "partly", "Probe.from_pretrained(language, task)")
def _() -> str:
    tokenizer = probe().tokenizer
    assert tokenizer.convert_tokens_to_ids("<|translate|>") in probe(task="translate").prompt
    return "the language has to be given; translation into English can be asked for"


@claim("batch", "yes", "Probe")
def _() -> None:
    assert len({len(clip) for clip in speech()[0]}) > 1
    assert len(heard().clips) == len(speech()[0])


@claim("alone", "yes", "Probe")
def _() -> str:
    clips, texts = speech()
    number = [str(i) for i in range(len(clips))]
    alone = probe()(clips, texts, ids=number, batch_size=1).clips
    turned = probe()(clips[::-1], texts[::-1], ids=number[::-1], batch_size=3).clips
    for column in ("log_probability", "word_log_probability"):
        one, other = (table.set_index("clip_id")[column][number].to_numpy() for table in (alone, turned))
        np.testing.assert_allclose(one, other, atol=1e-4)
    return "but for rounding"


def probed(folder: Path, **options: Any) -> wp.ProbeResult:
    wp.probe_corpus(
        DEMO / "speech", folder, model=probe(), condition="hfloss", max_samples=4, rows_per_part=2, num_workers=0,
        vectors="none", **options,
    )  # fmt: skip
    return wp.load_probes(folder)


@claim("resume", "yes", "probe_corpus(shard, max_failures)", "align_corpus", "cut_words", "extract_corpus")
def _() -> str:
    plain, calls = wp.Probe.batch, []

    def once(self: wp.Probe, *given: Any, **options: Any) -> Any:
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return plain(self, *given, **options)

    with tempfile.TemporaryDirectory() as folder:
        whole = probed(Path(folder) / "whole")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(wp.Probe, "batch", once)
            with pytest.raises(KeyboardInterrupt):
                probed(Path(folder) / "cut")
        cut = probed(Path(folder) / "cut")
        assert cut.clips.equals(whole.clips)
        assert len(cut.clips) + len(cut.failures) == 4
    return "and in shards, on several machines"


@claim("tables", "yes", "load_probes", "probing.export.export_run")
def _() -> str:
    with tempfile.TemporaryDirectory() as folder:
        probed(Path(folder) / "run")
        assert list((Path(folder) / "run" / "tokens").rglob("*.parquet"))
    return "Parquet, pandas, CSV; a page as a report"


@claim("hearing", "yes", "probe_corpus(condition)", "finetune(condition)")
def _() -> str:
    with tempfile.TemporaryDirectory() as folder:
        found = probed(Path(folder) / "run")
        assert found.manifest["options"]["condition"]["name"] == "hfloss"
    return "with the filters and noises of [`audiogram`](comparison.md)"


@claim("compare", "yes", "compare(human)", "Comparison", "write_report")
def _() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("normal", "lfloss"):
            wp.probe_corpus(
                DEMO / "speech", Path(folder) / name, model=probe(), condition=name, max_samples=4, num_workers=0,
                vectors="none",
            )  # fmt: skip
        found = wp.compare([Path(folder) / "normal", Path(folder) / "lfloss"])
        assert {"low", "high"} <= set(pd.read_csv(found.save(Path(folder) / "comparison") / "effects.csv"))
