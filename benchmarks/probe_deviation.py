"""Largest deviation of every probe scalar from a naive float64 recomputation, and of the loss from transformers'.

    python benchmarks/probe_deviation.py                                  # the demo's model and speech, float32
    python benchmarks/probe_deviation.py --speech fsdd --text-pattern '(?P<text>\\d)_(?P<speaker>[a-z]+)_(?P<take>\\d+)'
    python benchmarks/probe_deviation.py --tokenizer FOLDER               # and a random Whisper over its vocabulary
    python benchmarks/probe_deviation.py --write                          # and puts the tables into RESULTS.md

The recomputation (`tests/whisperprobe/naive_probe.py`) reads every prefix on its own, without a cache, packing or
batches, turns the logits to float64 and loops over the vocabulary. A random model (init_std 0.3) runs in float64:
random models are too sensitive for a comparison in float32. Ranks are counts; a deviation there is two tokens whose
logits differ by less than rounding. `loss` is the mean of -ln p over the forced text as given, against the loss that
transformers returns for the same `labels`.
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import results
import torch

from audiogram import condition as built_in
from audiogram.corpus import open_corpus
from audiogram.errors import InputError
from whisperprobe import demo
from whisperprobe.features import log_mel
from whisperprobe.probing.probe import Probe

HERE = Path(__file__).parent
DEMO = Path(demo.__file__).parent


def load_naive() -> Any:
    """The naive recomputation, which lives with the tests."""
    spec = spec_from_file_location("naive_probe", HERE.parent / "tests" / "whisperprobe" / "naive_probe.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_probe(naive: Any, tokenizer_folder: str, max_new_tokens: int) -> Probe:
    """A tiny random Whisper over someone else's vocabulary, in float64."""
    from transformers import WhisperTokenizer

    tokenizer = WhisperTokenizer.from_pretrained(tokenizer_folder)
    model, tokenizer = naive.tiny_whisper([], tokenizer=tokenizer, seconds=3, init_std=0.3)
    return Probe(model, tokenizer, max_new_tokens=max_new_tokens)


def sample(probe: Probe, args: argparse.Namespace) -> tuple[list[str], list[np.ndarray], list[str | None]]:
    """A seeded sample of clips that fit the window, as the model hears them."""
    text_map = dict(pair.split("=", 1) for pair in args.text_map)
    corpus = open_corpus(args.speech, text_pattern=args.text_pattern, text_map=text_map or None)
    condition = built_in(args.condition) if args.condition else None
    ids, clips, texts = [], [], []
    for clip in corpus.sample(args.n, seed=0).read(args.split or corpus.splits[-1]):
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


def loss_deviation(probe: Probe, tokens: Any, ids: list[str], features: torch.Tensor) -> float:
    """Largest deviation of the mean of -ln p from the loss of transformers, over the clips that have a text."""
    model, prompt, worst = probe.model, probe.prompt, 0.0
    forced = tokens[tokens["variant"] == "as_given"].groupby("clip_id")
    for number, clip in enumerate(ids):
        if clip not in forced.groups:
            continue
        rows = forced.get_group(clip)
        said = rows["token_id"].tolist()
        with torch.no_grad():
            loss = model(
                input_features=features[number : number + 1].to(model.device, model.dtype),
                decoder_input_ids=torch.tensor([[*prompt, *said[:-1]]], device=model.device),
                labels=torch.tensor([[-100] * (len(prompt) - 1) + said], device=model.device),
            ).loss
        worst = max(worst, abs(float(loss) + float(rows["log_probability"].mean())))
    return worst


def compare(naive: Any, probe: Probe, args: argparse.Namespace, title: str) -> str:
    """One table."""
    ids, clips, texts = sample(probe, args)
    began = time.perf_counter()
    result = probe(clips, texts, ids=ids, batch_size=args.batch_size)
    ours = time.perf_counter() - began
    features = log_mel(clips, probe.model)
    began = time.perf_counter()
    worst = naive.deviations(result, naive.Naive(probe.model, probe.tokenizer, probe.prompt), features)
    theirs = time.perf_counter() - began
    worst["loss"] = loss_deviation(probe, result.tokens, ids, features)
    largest = result.tokens["log_probability"].abs().max()
    lines = [
        f"## probe_deviation.py: {title}",
        "",
        f"{len(ids)} clips, {len(result.tokens)} tokens (largest surprisal {largest / np.log(2):.0f} bits, ranks to "
        f"{result.tokens['rank'].max()}), {len(result.ground_truth)} ground-truth pairs; {ours:.1f} s here, "
        f"{theirs:.1f} s naively",
        "",
        f"{results.machine('torch', 'transformers')}; on {args.device}",
        "",
        f"| {'column':<36} | largest deviation |",
        f"| {'-' * 36} | ----------------- |",
        *(f"| {name:<36} | {value:>17.2g} |" for name, value in worst.items()),
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", default=str(DEMO / "speech"), help="a corpus: folder of audio or Parquet")
    parser.add_argument("--model", default=str(DEMO / "model"), help="folder or hub name; default the demo's")
    parser.add_argument("--tokenizer", metavar="DIR", help="then a random Whisper over this tokenizer's vocabulary too")
    parser.add_argument("--n", type=int, default=200, help="clips")
    parser.add_argument("--split", help="default the last")
    parser.add_argument("--dtype", default="float32", help="of --model; the random one runs in float64")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-new-tokens", type=int, default=225)
    parser.add_argument("--random-new-tokens", type=int, default=3, help="longest greedy output of the random model")
    parser.add_argument("--condition")
    parser.add_argument("--text-pattern")
    parser.add_argument("--text-map", nargs="*", default=[], metavar="FROM=TO")
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    args = parser.parse_args()

    naive = load_naive()
    speech = "the demo's speech" if args.speech == parser.get_default("speech") else Path(args.speech).name
    model = "the demo's model" if args.model == parser.get_default("model") else Path(args.model).name
    listener = Probe.from_pretrained(
        args.model, dtype=args.dtype, device=args.device, max_new_tokens=args.max_new_tokens
    )
    texts = [compare(naive, listener, args, f"{speech}, {model}, {args.dtype}")]
    results.show(texts[0], write=args.write)
    if args.tokenizer:
        listener = random_probe(naive, args.tokenizer, args.random_new_tokens)
        size = len(listener.vocabulary)
        texts.append(compare(naive, listener, args, f"{speech}, a random Whisper over {size} tokens, float64"))
        results.show(texts[1], write=args.write)


if __name__ == "__main__":
    main()
