"""Probing with everything on against bare `generate`, and against probing clip by clip.

    python benchmarks/probe.py --tokenizer FOLDER                     # whisper-tiny shapes on the CPU, 1 and 2 threads
    python benchmarks/probe.py --tokenizer FOLDER --shape base --batch-size 4
    python benchmarks/probe.py --tokenizer FOLDER --shape large-v3 --device cuda --dtype bfloat16 --batch-size 64
    python benchmarks/probe.py ... --write                            # and puts the tables into RESULTS.md

FOLDER holds a Whisper tokenizer with the full vocabulary (51,866 entries). Weights are random, which costs what
trained ones cost; what a random model answers, and when it ends, is left to nobody: the end token is suppressed for
all, so every way decodes exactly `--new-tokens` tokens per clip.

Everything on is: greedy and forced rows, all spellings of the text, the 1,000 most probable tokens, hidden states. It
is compared twice, both times in one run, the ways taking turns; ratios are taken turn by turn and given as median and
range. Against `generate` of transformers on the same batch: both from the same features, to tables in memory. Against
`reference/per_clip_probe.py`: both from sound files to files on disk.

The compute bound is the time that the model's multiplications take at the rate of a large matrix product, measured
here, in the same precision. `generate would be` is how many times as fast as clip by clip bare `generate` would be:
with windows of 30 s the encoder takes so much of both that no batched probe on a CPU is 15 times as fast.
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as the command line has it: threads that spin idle slow all down

import argparse
import contextlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from audiogram import sound
from audiogram.corpus import writer
from whisperprobe.features import log_mel
from whisperprobe.probing import measuring, tables
from whisperprobe.probing.corpus import probe_corpus
from whisperprobe.probing.probe import Probe

sys.path.insert(0, str(Path(__file__).parent))
import results
from reference.per_clip_probe import PerClip

WORDS = ("three", "thought", "Transcendentalists", "spiel", "unhesitatingly", "cat", "weather", "Chicago")
TOP_K = 1000


@dataclass(frozen=True)
class Shape:
    """Dimensions of a Whisper."""

    d: int
    encoder_layers: int
    decoder_layers: int
    heads: int
    mels: int = 80
    positions: int = 1500  # of the encoder, 50 per second

    @property
    def seconds(self) -> int:
        """Length of the window."""
        return self.positions // 50

    def multiplications(self, fed: float, vocabulary: int) -> float:
        """Of one clip, of which the decoder reads `fed` tokens in all and gives a distribution for each."""
        d, n = self.d, self.positions
        block = 12 * d * d
        encoder = 6 * n * self.mels * d + 3 * n * d * d + self.encoder_layers * (n * block + 2 * n * n * d)
        decoder = self.decoder_layers * (2 * n * d * d + fed * (block + 2 * d * d + 2 * n * d))
        return encoder + decoder + fed * d * vocabulary


SHAPES = {
    "trial": Shape(64, 2, 2, 2, positions=100),
    "trial-wide": Shape(1280, 1, 1, 20, positions=100),
    "tiny": Shape(384, 4, 4, 6),
    "tiny-2s": Shape(384, 4, 4, 6, positions=100),
    "base": Shape(512, 6, 6, 8),
    "small": Shape(768, 12, 12, 12),
    "large-v3": Shape(1280, 32, 32, 20, mels=128),
    "large-v3-turbo": Shape(1280, 32, 4, 20, mels=128),
}


def make_probe(shape: Shape, tokenizer: Any, device: str, dtype: torch.dtype, new_tokens: int) -> Probe:
    """A Whisper of random weights that never ends by itself."""
    vocab = tokenizer.get_vocab()
    end, start = vocab["<|endoftext|>"], vocab["<|startoftranscript|>"]
    config = transformers.WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=shape.mels, d_model=shape.d, encoder_layers=shape.encoder_layers,
        decoder_layers=shape.decoder_layers, encoder_attention_heads=shape.heads, decoder_attention_heads=shape.heads,
        encoder_ffn_dim=4 * shape.d, decoder_ffn_dim=4 * shape.d, max_source_positions=shape.positions,
        pad_token_id=end, bos_token_id=end, eos_token_id=end, decoder_start_token_id=start,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.WhisperForConditionalGeneration(config).to(dtype).eval().requires_grad_(False)
    settings = model.generation_config
    settings.eos_token_id = settings.pad_token_id = end
    settings.decoder_start_token_id, settings.no_timestamps_token_id = start, vocab["<|notimestamps|>"]
    settings.is_multilingual = True
    settings.lang_to_id = {"<|en|>": vocab["<|en|>"]}
    settings.task_to_id = {name: vocab[f"<|{name}|>"] for name in ("transcribe", "translate")}
    settings.suppress_tokens, settings.begin_suppress_tokens = [end], None
    # a checkpoint from disk brings its hash along; that of weights in memory would be made anew for every run
    source = {"model": f"random, {shape}", "model_sha256": "", "tokenizer_sha256": ""}
    return Probe(model, tokenizer, max_new_tokens=new_tokens, source=source)


class Bench:
    """One probe, some clips as features and as files, and the ways to time."""

    def __init__(self, args: argparse.Namespace, tokenizer: Any, folder: Path) -> None:
        self.args, self.shape, self.folder = args, SHAPES[args.shape], folder
        dtype = getattr(torch, args.dtype)
        self.probe = make_probe(self.shape, tokenizer, args.device, dtype, args.new_tokens)
        rng = np.random.default_rng(0)
        samples = round(min(args.clip_seconds, self.shape.seconds) * 16_000)
        self.clips = [(0.1 * rng.standard_normal(samples)).astype(np.float32) for _ in range(args.clips)]
        self.texts = [WORDS[i % len(WORDS)] for i in range(args.clips)]
        self.ids = [f"{i:04}" for i in range(args.clips)]
        self.features = log_mel(self.clips, self.probe.window, device=args.device)
        self.files = folder / "speech"
        self.files.mkdir()
        for name, clip, text in zip(self.ids, self.clips, self.texts, strict=True):
            sound.write(self.files / f"{text}_{name}.wav", clip, 16_000, "wav")
        extractor = transformers.WhisperFeatureExtractor(feature_size=self.shape.mels, chunk_length=self.shape.seconds)
        self.per_clip = PerClip(self.probe.model, tokenizer, extractor, args.new_tokens)

    def batches(self) -> Iterator[slice]:
        """The clips, batch by batch."""
        for start in range(0, len(self.clips), self.args.batch_size):
            yield slice(start, start + self.args.batch_size)

    def everything(self) -> None:
        """Probe the clips from features that are there, to tables in memory."""
        for own in self.batches():
            with replaced(measuring, "log_mel", lambda *a, own=own, **k: self.features[own]):
                self.probe.batch(self.ids[own], self.clips[own], self.texts[own], top_k=TOP_K)

    def generate(self) -> None:
        """Bare `generate` of the same clips."""
        options = {"max_new_tokens": self.args.new_tokens, "do_sample": False, "language": "en", "task": "transcribe"}
        for own in self.batches():
            with torch.inference_mode():
                ids = self.probe.model.generate(self.features[own].to(self.probe.model.dtype), **options)
        assert ids.shape[1] >= self.args.new_tokens

    def from_files(self) -> Path:
        """Probe a corpus of the clips, from files to files."""
        out = self.folder / "run"
        shutil.rmtree(out, ignore_errors=True)
        return probe_corpus(
            self.files, out, model=self.probe, splits=None, top_k=TOP_K, batch_size=self.args.batch_size,
            text_pattern=r"(?P<text>[^_]+)_\d+",
        )  # fmt: skip

    def clip_by_clip(self) -> None:
        """The per-clip script over the first clips, from files to files."""
        for text, name in list(zip(self.texts, self.ids, strict=True))[: self.args.reference_clips]:
            x, _ = sound.read(self.files / f"{text}_{name}.wav")
            self.per_clip(x, text, self.folder / f"{name}.json")


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[Any]:
    """Put another value in the place of an attribute."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield before
    finally:
        setattr(owner, name, before)


def seconds_of(way: Callable[[], Any], device: str) -> float:
    """Time of one call, the device's work included."""
    synchronise(device)
    start = time.perf_counter()
    way()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: str) -> None:
    """Wait for a GPU."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def turns(one: Callable[[], Any], other: Callable[[], Any], device: str, n: int) -> tuple[list[float], list[float]]:
    """Times of two ways that take turns, the order changing from turn to turn."""
    times: dict[Callable[[], Any], list[float]] = {one: [], other: []}
    for way in times:
        way()
    for turn in range(n):
        for way in (one, other) if turn % 2 == 0 else (other, one):
            times[way].append(seconds_of(way, device))
    return times[one], times[other]


def spread(values: list[float], digits: int = 2) -> str:
    """Median and range."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


STEPS = {
    "features": [(measuring, "log_mel")],
    "encode": [(measuring, "encode")],
    "decode": [(measuring, "greedy_decode")],
    "packed pass": [(measuring, "pack"), (measuring, "hidden_states")],
    "score": [(measuring, "score"), (measuring, "pool_greedy"), (measuring, "pool_words")],
    "tables": [(tables, "tokens_table"), (tables, "clips_table"), (tables, "ground_truth_table")],
    "write": [(writer.PartWriter, "add"), (writer.PartWriter, "add_vectors"), (writer.PartWriter, "commit")],
}


def breakdown(bench: Bench) -> dict[str, float]:
    """Seconds of each step of a run from files to files; a GPU is waited for around each."""
    device, spent = bench.args.device, dict.fromkeys(STEPS, 0.0)

    def timed(step: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            synchronise(device)
            start = time.perf_counter()
            try:
                return work(*args, **kwargs)
            finally:
                synchronise(device)
                spent[step] += time.perf_counter() - start

        return call

    with contextlib.ExitStack() as stack:
        for step, places in STEPS.items():
            for owner, name in places:
                stack.enter_context(replaced(owner, name, timed(step, getattr(owner, name))))
        whole = seconds_of(bench.from_files, device)
    return {**spent, "rest": whole - sum(spent.values())}


def matrix_rate(device: str, dtype: torch.dtype) -> float:
    """Multiplications per second of a large matrix product, the best of some."""
    n = 8192 if device.startswith("cuda") else 1024
    a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
    best = min(seconds_of(lambda: a @ b, device) for _ in range(10))
    return n**3 / best


def measure(bench: Bench, threads: int) -> tuple[list[str], list[str]]:
    """One row of each table."""
    args = bench.args
    torch.set_num_threads(threads)
    ours, bare = turns(bench.everything, bench.generate, args.device, args.turns)
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    whole, clipwise = turns(bench.from_files, bench.clip_by_clip, args.device, args.reference_turns)
    n, m = len(bench.clips), min(len(bench.clips), args.reference_clips)
    gains = [(b / m) / (a / n) for a, b in zip(whole, clipwise, strict=True)]
    steps = breakdown(bench)

    run = bench.folder / "run"
    rows = read_rows(run)
    stored = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
    theirs = sum(file.stat().st_size for file in bench.folder.glob("*.json")) / (m * args.new_tokens)
    fed = (rows["all"] + n * (len(bench.probe.prompt) - 1)) / n + args.new_tokens  # decoded, then read again
    bound = bench.shape.multiplications(fed, len(bench.probe.vocabulary)) * n
    bound /= matrix_rate(args.device, bench.probe.model.dtype)
    head = [args.shape, str(threads), str(args.batch_size), str(args.new_tokens)]
    return (
        [
            *head,
            f"{n / statistics.median(ours):.2f}",
            f"{n / statistics.median(bare):.2f}",
            spread(ratios),
            f"{n / statistics.median(whole):.2f}",
            f"{m / statistics.median(clipwise):.3f}",
            spread(gains, 1),
            f"{statistics.median(clipwise) / m / (statistics.median(bare) / n):.1f}",
            f"{stored / rows['greedy'] / 1000:.1f}",
            f"{theirs / 1000:.0f}",
        ],
        [
            *head,
            *(f"{1000 * value / n:.1f}" for value in steps.values()),
            f"{1000 * bound / n:.1f}",
            f"{bound / sum(steps.values()):.0%}",
        ],
    )


def read_rows(run: Path) -> dict[str, int]:
    """How many token rows a run holds: all, and greedy ones, which keep vectors."""
    import pyarrow.parquet as pq

    decodings = [d for f in (run / "tokens").glob("*.parquet") for d in pq.read_table(f)["decoding"].to_pylist()]
    return {"all": len(decodings), "greedy": decodings.count("greedy")}


def machine(args: argparse.Namespace) -> str:
    """Where this was measured."""
    device = f"{torch.cuda.get_device_name()}; " if args.device.startswith("cuda") else ""
    return f"{results.machine('torch', 'transformers')}; {device}{args.dtype}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, metavar="DIR", help="a Whisper tokenizer, full vocabulary")
    parser.add_argument("--shape", choices=list(SHAPES), default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--clip-seconds", type=float, default=1.0, help="sound in each clip; the window is padded")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--new-tokens", type=int, nargs="+", default=[4, 16], help="tokens of every greedy output")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=7, help="against generate")
    parser.add_argument("--reference-turns", type=int, default=3, help="against the per-clip script")
    parser.add_argument("--reference-clips", type=int, default=2, help="clips of one turn of the per-clip script")
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    args = parser.parse_args()
    transformers.logging.set_verbosity_error()
    tokenizer = transformers.WhisperTokenizer.from_pretrained(args.tokenizer)
    speeds, shares = [], []
    for new_tokens in args.new_tokens:
        with tempfile.TemporaryDirectory() as folder:
            bench = Bench(argparse.Namespace(**{**vars(args), "new_tokens": new_tokens}), tokenizer, Path(folder))
            for threads in args.threads:
                speed, share = measure(bench, threads)
                speeds.append(speed)
                shares.append(share)
    head = ["shape", "threads", "batch", "new tokens"]
    text = "\n".join(
        [
            f"## probe.py: everything on, shape {args.shape}, {SHAPES[args.shape].seconds} s windows, "
            f"{len(tokenizer)} tokens",
            "",
            machine(args),
            "",
            *results.table(
                [
                    *head, "clips/s from features", "generate, clips/s", "time / generate's (≤ 1.25)",
                    "clips/s from files", "clip by clip, clips/s", "times as fast (≥ 15)", "generate would be",
                    "kB per greedy token (≤ 10)",
                    "JSON, kB per token",
                ],
                speeds,
            ),
            "",
            "Milliseconds per clip, from files to files:",
            "",
            *results.table([*head, *STEPS, "rest", "compute bound", "share of it"], shares),
            "",
        ]
    )  # fmt: skip
    results.show(text, write=args.write)


if __name__ == "__main__":
    main()
