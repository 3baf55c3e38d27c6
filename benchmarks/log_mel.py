"""Log-mel: speed, deviation and stored size against `transformers.WhisperFeatureExtractor` and its padded float32.

python benchmarks/log_mel.py [--seconds 5] [--clips 16] [--threads 1]
python benchmarks/log_mel.py --write             # and puts the tables into RESULTS.md
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import results
import torch
from transformers import WhisperFeatureExtractor

from audiogram import sound
from audiogram.corpus import open_corpus
from whisperprobe import open_log_mel, write_log_mel
from whisperprobe.features import WindowSpec, log_mel

MODELS = {80: "openai/whisper-small", 128: "openai/whisper-large-v3"}


def best(call: Callable[[], torch.Tensor], repeats: int = 7) -> tuple[float, torch.Tensor]:
    """Shortest of several runs in seconds, and the result."""
    times, result = [], call()
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def computing(clips: list[np.ndarray]) -> list[str]:
    """Milliseconds per clip and largest deviation, for both numbers of bands."""
    lines = ["| bands | log_mel, ms | WhisperFeatureExtractor, ms | ratio | largest deviation |", "| --- " * 5 + "|"]
    for bands in MODELS:
        extractor, window = WhisperFeatureExtractor(feature_size=bands), WindowSpec(bands, 3000)
        ours, a = best(lambda window=window: log_mel(clips, window))
        theirs, b = best(
            lambda extractor=extractor: extractor(clips, sampling_rate=16_000, return_tensors="pt").input_features
        )
        each = 1000 / len(clips)
        deviation = float((a - b).abs().max())
        lines.append(f"| {bands} | {ours * each:.2f} | {theirs * each:.2f} | {theirs / ours:.1f} | {deviation:.1e} |")
    return lines


def storing(clips: list[np.ndarray]) -> list[str]:
    """Size of what `logmel` writes, all files together, and the deviation of what is read back."""
    lines = [
        "| bands | stored as | kB per clip | padded float32, kB | ratio | largest deviation | clips/s, one process |",
        "| --- " * 7 + "|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        for number, x in enumerate(clips):
            (Path(folder) / "speech").mkdir(exist_ok=True)
            sound.write(Path(folder) / "speech" / f"{number:04d}.flac", x, 16_000)
        heard = [clip.audio()[0] for clip in open_corpus(Path(folder) / "speech").read("train")]
        for bands, model in MODELS.items():
            theirs = WhisperFeatureExtractor(feature_size=bands)(heard, sampling_rate=16_000, return_tensors="pt")
            for dtype in ("float16", "float32"):
                begun = time.perf_counter()
                (out,) = write_log_mel(
                    Path(folder) / "speech", Path(folder) / f"{bands}-{dtype}", model=model, labels=False, dtype=dtype,
                    device="cpu",
                )  # fmt: skip
                rate = len(clips) / (time.perf_counter() - begun)
                size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / len(clips)
                read = open_log_mel(out).features("train", range(len(clips)))
                deviation = float((read - theirs.input_features).abs().max())
                padded = 4 * bands * 3000
                lines.append(
                    f"| {bands} | {dtype} | {size / 1000:.1f} | {padded / 1000:.0f} | 1/{padded / size:.1f} "
                    f"| {deviation:.1e} | {rate:.0f} |"
                )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each clip")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    samples = round(options.seconds * 16_000)
    clips = [(0.1 * rng.standard_normal(samples)).astype(np.float32) for _ in range(options.clips)]
    text = "\n".join(
        [
            f"## log_mel.py: {options.clips} clips of {options.seconds:g} s in 30 s windows, "
            f"{options.threads} thread(s)",
            "",
            results.machine("torch", "transformers"),
            "",
            *computing(clips),
            "",
            *storing(clips),
        ]
    )
    results.show(text, write=options.write)


if __name__ == "__main__":
    main()
