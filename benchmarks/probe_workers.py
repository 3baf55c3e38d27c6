"""What decoding ahead of the model gains: clips/s of a probe run by threads, for FLAC and MP3.

    python benchmarks/probe_workers.py                       # whisper-tiny shapes with 6 s windows, one thread for them
    python benchmarks/probe_workers.py --device cuda --shape large-v3 --dtype bfloat16
    python benchmarks/probe_workers.py --write               # and puts the tables into RESULTS.md

Noise of `--clip-seconds` at 48 kHz is read, decoded, resampled to 16 kHz, filtered (hfloss) and probed with random
weights over a small vocabulary, `--new-tokens` tokens for every clip. Numbers of threads take turns; medians and range.
`alone` is decoding, resampling and filtering without a model, in one thread.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
import transformers

import audiogram
from audiogram.corpus import open_corpus
from whisperprobe.probing.corpus import probe_corpus
from whisperprobe.probing.hearing import Hearing
from whisperprobe.training.tokenizer import train_tokenizer

sys.path.insert(0, str(Path(__file__).parent))
import results
from probe import SHAPES, Shape, machine, make_probe, seconds_of, spread

SHAPES["tiny-6s"] = Shape(384, 4, 4, 6, positions=300)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny-6s")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--clips", type=int, default=64)
    parser.add_argument("--clip-seconds", type=float, default=5.0)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, default=4)
    parser.add_argument("--num-threads", type=int, default=1, help="CPU threads of the model")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(args.num_threads)
    tokenizer = train_tokenizer(["thought spoke word " * 5], 400)
    probe = make_probe(SHAPES[args.shape], tokenizer, args.device, getattr(torch, args.dtype), args.new_tokens)
    condition, rows = audiogram.condition("hfloss"), []
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        for kind in ("flac", "mp3"):
            source, out = Path(name) / kind, Path(name) / "run"
            source.mkdir()
            for i in range(args.clips):
                noise = 0.1 * rng.standard_normal(round(args.clip_seconds * 48_000))
                soundfile.write(source / f"word_{i:03}.{kind}", noise, 48_000)

            def run(workers: int, source: Path = source, out: Path = out) -> None:
                shutil.rmtree(out, ignore_errors=True)
                probe_corpus(
                    source, out, model=probe, condition=condition, splits=None, batch_size=args.batch_size,
                    num_workers=workers, num_threads=args.num_threads, text_pattern=r"(?P<text>[^_]+)_\d+",
                )  # fmt: skip

            clips = list(open_corpus(source).read("train"))
            began = time.perf_counter()
            list(Hearing(probe, condition, workers=0, ahead=0)(clips))
            alone = time.perf_counter() - began
            times: dict[int, list[float]] = {n: [] for n in args.workers}
            run(0)
            for turn in range(args.turns):
                for n in args.workers if turn % 2 == 0 else args.workers[::-1]:
                    times[n].append(seconds_of(lambda n=n: run(n), args.device))
            for n, own in times.items():
                gain = [a / b for a, b in zip(times[args.workers[0]], own, strict=True)]
                rows.append(
                    [
                        kind, f"{1000 * alone / args.clips:.1f}", str(n),
                        f"{args.clips / statistics.median(own):.1f}", spread(gain),
                    ]
                )  # fmt: skip
    text = "\n".join(
        [
            f"## probe_workers.py: {args.clip_seconds:g} s at 48 kHz, {args.shape}, {args.num_threads} CPU threads for "
            "the model",
            "",
            machine(args),
            "",
            *results.table(
                ["format", "decoding alone, ms per clip", "workers", "clips/s", "gain over the first"], rows
            ),
            "",
        ]
    )
    results.show(text, write=args.write)


if __name__ == "__main__":
    main()
