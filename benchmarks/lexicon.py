"""Words of a lexicon in competition for a clip: over a trie, by candidates, and one word at a time.

    python benchmarks/lexicon.py              # the demo's speech and model, 1,000 words, one thread
    python benchmarks/lexicon.py --words 5000
    python benchmarks/lexicon.py --write      # and puts the tables into RESULTS.md

The words are the 136 of the demo and invented ones. The reference forces one word after the other, as for a ground
truth, batched over words: it scores the same spellings by the same model, but shares no prefixes. Beam search is
compared with transformers' on the same encoder states.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import results
import torch
from transformers import GenerationConfig
from transformers.generation import GenerationMixin
from transformers.modeling_outputs import BaseModelOutput

import whisperprobe
from audiogram.corpus import open_corpus
from whisperprobe.features import log_mel
from whisperprobe.probing.probe import Probe

DEMO = Path(whisperprobe.__file__).parent / "demo"
ONSETS = [*"bdfgklmnprstvwz", "st", "tr", "sh", "th", "ch"]
VOWELS, CODAS = ["a", "e", "i", "o", "u", "ee", "ea", "ou"], ["", "n", "t", "s", "ng", "ck"]
REFERENCE_CLIPS, REFERENCE_WORDS = 2, 200


def invented(known: list[str], count: int) -> list[str]:
    """Fill a list of words up with syllables, to `count`."""
    rng = np.random.default_rng(0)
    words = dict.fromkeys(known)
    while len(words) < count:
        syllables = (rng.choice(ONSETS) + rng.choice(VOWELS) for _ in range(rng.integers(1, 3)))
        words["".join(syllables) + rng.choice(CODAS)] = None
    return list(words)[:count]


def timed(work: Callable[[], Any], repeats: int = 2) -> tuple[float, Any]:
    """Run some times; return the seconds of the fastest, and what came out."""
    best, out = np.inf, None
    for _ in range(repeats):
        start = time.perf_counter()
        out = work()
        best = min(best, time.perf_counter() - start)
    return best, out


def generate(probe: Probe, states: torch.Tensor, n: int) -> Any:
    """Transformers' beam search, from encoder states."""
    settings = GenerationConfig(
        num_beams=n, num_return_sequences=n, do_sample=False, eos_token_id=probe.end_id, pad_token_id=probe.end_id,
        max_new_tokens=probe.model.config.max_target_positions - len(probe.prompt),
        decoder_start_token_id=probe.prompt[0],
    )  # fmt: skip
    with torch.inference_mode():
        return GenerationMixin.generate(
            probe.model,
            generation_config=settings,
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            decoder_input_ids=torch.tensor([probe.prompt] * len(states)),
        )


def table(n_words: int, n_clips: int) -> list[str]:
    """Measure; return the lines of a table."""
    probe = Probe.from_pretrained(DEMO / "model", device="cpu")
    heard = list(open_corpus(DEMO / "speech").reader("test", 0, n_clips))
    clips, texts = [clip.audio()[0] for clip in heard], [clip.text or "" for clip in heard]
    known = sorted({(clip.text or "").lower() for clip in open_corpus(DEMO / "speech").reader("test", 0, 400)})
    lexicon = probe.extras(lexicon=invented(known, n_words)).lexicon
    assert lexicon is not None

    def run(**options: Any) -> Any:
        return probe(clips, texts, vectors="none", top_k=0, **options)

    def row(name: str, seconds: float, deviation: str) -> str:
        return f"| {name} | {len(clips) / seconds:.2f} | {1000 * seconds / len(clips):.1f} | {deviation} |"

    plain, _ = timed(run)
    lines = [row("probe without a lexicon", plain, "")]
    start = time.perf_counter()
    some = lexicon.words[:: max(1, n_words // REFERENCE_WORDS)]
    reference = np.stack(
        [
            probe([clip] * len(some), some, decodings=["forced"], vectors="none", top_k=0).clips["word_log_probability"]
            for clip in clips[:REFERENCE_CLIPS]
        ]
    )
    one_by_one = (time.perf_counter() - start) / REFERENCE_CLIPS * n_words / len(some) * len(clips)
    lines.append(row("word by word", one_by_one, "reference"))
    seconds, full = timed(lambda: run(lexicon=lexicon, competitors=n_words), 1)
    found = full.competitors.pivot(index="clip_id", columns="word", values="log_probability")
    apart = max(np.abs(found.loc[str(i), list(some)] - own).max() for i, own in enumerate(reference))
    lines.append(row(f"trie, all words ({len(lexicon.tokens)} prefixes)", seconds, f"ln p within {apart:.1e}"))
    for n in (10, 100):
        seconds, part = timed(lambda n=n: run(lexicon=lexicon, candidates=n, competitors=n))  # type: ignore[misc]
        best = full.competitors[full.competitors["place"] <= n].groupby("clip_id")["word"].agg(set)
        kept = part.competitors.groupby("clip_id")["word"].agg(set)
        overlap = np.mean([len(best[i] & kept[i]) / n for i in best.index])
        covered = part.clips["lexicon_found"].astype(float).mean()
        lines.append(row(f"best {n} of a first pass", seconds, f"{overlap:.1%} of them, coverage {covered:.1%}"))
    with torch.inference_mode():
        states = probe.model.model.encoder(log_mel(clips, probe.window)).last_hidden_state
    seconds, _ = timed(lambda: run(n_best=5))
    lines.append(row("probe without a lexicon, 5 beams", seconds, ""))
    seconds, _ = timed(lambda: generate(probe, states, 5))
    lines.append(row("`generate` alone, 5 beams, from encoder states", seconds, ""))
    return lines


def main() -> None:
    """Print the table, and append it to RESULTS.md where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--words", type=int, default=1000)
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = "\n".join(
        [
            f"## lexicon.py: {arguments.words} words, {arguments.clips} clips of the demo, float32, one thread\n",
            results.machine("torch") + "\n",
            "| | clips/s | ms per clip | against the reference |",
            "| --- | --- | --- | --- |",
            *table(arguments.words, arguments.clips),
        ]
    )
    results.show(text, write=arguments.write)


if __name__ == "__main__":
    main()
