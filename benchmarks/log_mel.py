"""Log-mel: speed and deviation of `whisperprobe.log_mel` against `transformers.WhisperFeatureExtractor`.

python benchmarks/log_mel.py [--seconds 5] [--clips 16] [--threads 1]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from transformers import WhisperFeatureExtractor

from whisperprobe.features import WindowSpec, log_mel


def best(call: Callable[[], torch.Tensor], repeats: int = 7) -> tuple[float, torch.Tensor]:
    """Shortest of several runs in seconds, and the result."""
    times, result = [], call()
    for _ in range(repeats):
        start = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each clip")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    samples = round(options.seconds * 16_000)
    clips = [(0.1 * rng.standard_normal(samples)).astype(np.float32) for _ in range(options.clips)]
    print(f"{options.clips} clips of {options.seconds:g} s in 30 s windows, {options.threads} thread(s), ms per clip")
    for bands in (80, 128):
        extractor, window = WhisperFeatureExtractor(feature_size=bands), WindowSpec(bands, 3000)
        ours, a = best(lambda window=window: log_mel(clips, window))
        theirs, b = best(
            lambda extractor=extractor: extractor(clips, sampling_rate=16_000, return_tensors="pt").input_features
        )
        per_clip = 1000 / options.clips
        print(
            f"{bands:4} bands: {ours * per_clip:7.2f}   WhisperFeatureExtractor {theirs * per_clip:7.2f}   "
            f"{theirs / ours:5.1f} times as fast   largest deviation {float((a - b).abs().max()):.1e}"
        )


if __name__ == "__main__":
    main()
