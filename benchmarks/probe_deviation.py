"""Largest deviation of every probe scalar from a naive float64 recomputation.

    python benchmarks/probe_deviation.py SOURCE --model MODEL [--n 200] [--dtype float32] [--condition NAME]
    python benchmarks/probe_deviation.py SOURCE --random TOKENIZER [--n 200]

The recomputation (`tests/whisperprobe/naive_probe.py`) reads every prefix on its own, without a cache, packing or
batches, turns the logits to float64 and loops over the vocabulary. `--random` makes a tiny Whisper with random weights
(init_std 0.3) over the vocabulary of a tokenizer folder and runs it in float64: random models are too sensitive for a
comparison in float32. Ranks are counts; a deviation there is two tokens whose logits differ by less than rounding.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import torch

from audiogram.corpus import open_corpus
from audiogram.errors import InputError
from whisperprobe.features import log_mel
from whisperprobe.probing.probe import Probe

_HELPER = Path(__file__).parents[1] / "tests" / "whisperprobe" / "naive_probe.py"


def load_naive() -> Any:
    """The naive recomputation, which lives with the tests."""
    spec = spec_from_file_location("naive_probe", _HELPER)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_probe(naive: Any, tokenizer_folder: str, seconds: int, max_new_tokens: int) -> Probe:
    """A tiny random Whisper over someone else's vocabulary, in float64."""
    from transformers import WhisperTokenizer

    tokenizer = WhisperTokenizer.from_pretrained(tokenizer_folder)
    model, tokenizer = naive.tiny_whisper([], tokenizer=tokenizer, seconds=seconds, init_std=0.3)
    return Probe(model, tokenizer, max_new_tokens=max_new_tokens)


def sample(probe: Probe, args: argparse.Namespace) -> tuple[list[str], list[np.ndarray], list[str | None]]:
    """A seeded sample of clips that fit the window, as the model hears them."""
    text_map = dict(pair.split("=", 1) for pair in args.text_map)
    corpus = open_corpus(args.source, text_pattern=args.text_pattern, text_map=text_map or None)
    split = args.split or corpus.splits[-1]
    condition = None
    if args.condition:
        from audiogram import condition as built_in

        condition = built_in(args.condition)
    ids, clips, texts = [], [], []
    for clip in corpus.sample(args.n, seed=0).read(split):
        try:
            x, rate = clip.audio()
            x, text = probe.prepare(x, rate, clip.text)
        except InputError as error:
            print(f"left out: {clip.id}: {error}", file=sys.stderr)
            continue
        ids.append(clip.id)
        clips.append(x if condition is None else condition(x, 16_000, keys=clip.id))
        texts.append(text)
    return ids, clips, texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="a corpus: folder of audio or Parquet")
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--model", help="folder or hub name")
    who.add_argument("--random", metavar="TOKENIZER", help="a tiny random model over this tokenizer's vocabulary")
    parser.add_argument("--n", type=int, default=200, help="clips")
    parser.add_argument("--split")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=225)
    parser.add_argument("--seconds", type=int, default=3, help="window of the random model")
    parser.add_argument("--condition")
    parser.add_argument("--text-pattern")
    parser.add_argument("--text-map", nargs="*", default=[], metavar="FROM=TO")
    args = parser.parse_args()

    naive = load_naive()
    if args.model:
        probe = Probe.from_pretrained(
            args.model, dtype=args.dtype, device=args.device, max_new_tokens=args.max_new_tokens
        )
    else:
        probe = random_probe(naive, args.random, args.seconds, args.max_new_tokens)
    ids, clips, texts = sample(probe, args)
    began = time.perf_counter()
    result = probe(clips, texts, ids=ids, batch_size=args.batch_size)
    ours = time.perf_counter() - began
    began = time.perf_counter()
    plain = naive.Naive(probe.model, probe.tokenizer, probe.prompt)
    worst = naive.deviations(result, plain, log_mel(clips, probe.model))
    theirs = time.perf_counter() - began

    print(probe)
    print(
        f"{len(ids)} clips, {len(result.tokens)} tokens, {len(result.ground_truth)} ground-truth pairs; "
        f"{ours:.1f} s here, {theirs:.1f} s naively"
    )
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {args.device}, {platform.platform()}"
    print(f"{dt.date.today()}, {machine}, torch {torch.__version__}")
    print(f"\n| {'column':<36} | largest deviation |\n| {'-' * 36} | ----------------- |")
    for name, value in worst.items():
        print(f"| {name:<36} | {value:>17.2g} |")


if __name__ == "__main__":
    main()
