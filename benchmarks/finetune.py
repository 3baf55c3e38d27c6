"""Fine-tuning: clips per second against the usual recipe, losses beside it; where a step's time goes.

python benchmarks/finetune.py                    # on this machine's CPU: a small model, whisper-tiny's shape
python benchmarks/finetune.py --gpu              # on a GPU: large-v3's shape, random weights, bf16
python benchmarks/finetune.py --write            # and into RESULTS.md

The usual recipe is benchmarks/reference/usual_finetune.py. Both start from the same weights, hear the same clips in the
same order and log as often; rates are medians over logged intervals, behind the first. Making features is in neither.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import results
import soundfile
import torch
from reference import usual_finetune
from transformers import WhisperProcessor

from whisperprobe.features import WindowSpec
from whisperprobe.probing.windowing import Windowing
from whisperprobe.training import finetune, train_tokenizer
from whisperprobe.training.data import EpochSampler, Labels, Speech, SpeechDataset
from whisperprobe.training.hearing import heard_by
from whisperprobe.training.model_folder import new_listener

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
SMALL = {"d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "attention_heads": 2, "window_seconds": 2}
MIDDLE = {"d_model": 128, "encoder_layers": 3, "decoder_layers": 2, "attention_heads": 4, "window_seconds": 2}
TINY = {"d_model": 384, "encoder_layers": 4, "decoder_layers": 4, "attention_heads": 6, "window_seconds": 30}
LARGE = {
    "d_model": 1280, "encoder_layers": 32, "decoder_layers": 32, "attention_heads": 20, "window_seconds": 30,
    "n_mels": 128,
}  # fmt: skip
CPU_CASES = (  # name, shape, clips per step, seconds of speech, steps
    ("d = 64, 2 s", SMALL, 32, (0.4, 1.4), 60),
    ("d = 128, 2 s", MIDDLE, 16, (0.4, 1.4), 60),
    ("whisper-tiny, 30 s", TINY, 4, (1.0, 10.0), 12),
)
RATE = 16_000


def speech(clips: int, seconds: tuple[float, float], words: int) -> tuple[list[np.ndarray], list[str]]:
    """Noise with the length of utterances, and words that mean nothing: what is learnt does not matter here."""
    rng = np.random.default_rng(0)
    lengths = rng.uniform(*seconds, clips)
    waveforms = [(0.1 * rng.standard_normal(int(RATE * s))).astype(np.float32) for s in lengths]
    return waveforms, [" ".join(rng.choice(WORDS, words)) for _ in range(clips)]


def against_the_usual(case: tuple[Any, ...], options: argparse.Namespace) -> list[str]:
    """One row of the table."""
    name, shape, batch, seconds, steps = case
    steps = max(8, round(steps * options.share))
    every = max(1, steps // 12)
    waveforms, texts = speech(256 if batch > 4 else 32, seconds, 1 if seconds[1] < 2 else 8)
    with tempfile.TemporaryDirectory() as where:
        root = Path(where)
        (root / "speech" / "train").mkdir(parents=True)
        for i, x in enumerate(waveforms):
            soundfile.write(root / "speech" / "train" / f"{i:04d}.wav", x, RATE, subtype="FLOAT")
        (root / "speech" / "train" / "metadata.csv").write_text(
            "file_name,text\n" + "".join(f"{i:04d}.wav,{text}\n" for i, text in enumerate(texts))
        )
        listener = new_listener(shape, train_tokenizer(WORDS * 2, 300), language="en", task="transcribe", seed=0)
        listener.save(root / "model")
        processor: Any = WhisperProcessor.from_pretrained(root / "model")
        usual_finetune.save_features(waveforms, texts, processor, root / "features")
        order = EpochSampler(len(texts), 0)
        stream: list[int] = []
        while len(stream) < steps * batch:
            stream += [i for _, i in order]
            order.epoch += 1
        usual, ours, short = [], [], []
        for turn in range(options.turns):
            rate, expected = usual_finetune.train(
                root / "model", root / "features", stream[: steps * batch], steps=steps, batch_size=batch,
                learning_rate=1e-4, log_every=every, device="cpu",
            )  # fmt: skip
            usual.append(rate)
            for rates, padding in ((ours, "window"), (short, "trimmed")):
                out = root / f"{padding}-{turn}"
                finetune(
                    root / "speech", out, model=root / "model", max_steps=steps, learning_rate=1e-4, batch_size=batch,
                    log_every=every, evaluate=False, threads=options.threads, device="cpu", tensorboard=False,
                    padding=padding, margin=0.25, save_every=10**6,
                )  # fmt: skip
                with (out / "training.csv").open() as stream_of_rows:
                    rows = list(csv.DictReader(stream_of_rows))
                rates.append(statistics.median(float(r["clips_per_second"]) for r in rows[2:]))
                if padding == "window":
                    found = [float(row["loss"]) for row in rows]
    # the usual trainer's first interval has no row of its own for step 1
    both = zip(found[1 - len(expected) :], expected[1:], strict=True)
    deviation = max(abs(a - b) for a, b in both)
    best = [max(one) for one in (usual, ours, short)]
    return [
        name, str(batch), *(f"{rate:.1f}" for rate in best[:2]), f"{best[1] / best[0]:.2f}", f"{deviation:.1e}",
        f"{best[2]:.1f}", f"{best[2] / best[0]:.2f}",
    ]  # fmt: skip


def split_step(
    shape: dict[str, Any], batch: int, seconds: tuple[float, float], steps: int, device: str, windowing: Windowing,
    peak: float | None,
) -> list[str]:  # fmt: skip
    """Time of a training step in its parts, medians in ms, clips per second, and the share of peak FLOP/s."""
    tokenizer = train_tokenizer(WORDS * 2, 300)
    listener = new_listener(shape, tokenizer, language="en", task="transcribe", seed=0)
    model: Any = listener.model
    model.to(device).train()
    waveforms, texts = speech(4 * batch, seconds, 8)
    ids = tokenizer.convert_tokens_to_ids
    prompt = tuple(ids(["<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>"]))
    labels = Labels(tokenizer, prompt, model.config.max_target_positions)
    heard = Speech(
        ids=[str(i) for i in range(len(texts))], texts=texts, labels=[labels(text) for text in texts],
        lengths=[len(x) for x in waveforms], rows=list(range(len(texts))), waveforms=waveforms,
    )  # fmt: skip
    dataset = SpeechDataset(heard, listener.window, windowing=windowing, cache_bytes=0)
    order = [pair for epoch in range(1 + steps) for pair in ((epoch, i) for i in range(len(texts)))]
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    spent: dict[str, list[float]] = {name: [] for name in ("data", "forward", "backward", "optimiser")}
    flops = []

    def timed(name: str, call: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        result = call()
        if device != "cpu":
            torch.cuda.synchronize()
        spent[name].append(time.perf_counter() - begun)
        return result

    half = torch.autocast(device, dtype=torch.bfloat16, enabled=device != "cpu")
    with heard_by(model, windowing):
        for step in range(steps + 2):
            pairs = order[step * batch : (step + 1) * batch]
            inputs = timed("data", lambda pairs=pairs: dataset.prepare(dataset.__getitems__(pairs), device))
            with half:
                loss = timed("forward", lambda inputs=inputs: model(**inputs, use_cache=False).loss)
            timed("backward", loss.backward)
            timed("optimiser", lambda: (torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0), optimiser.step()))
            optimiser.zero_grad(set_to_none=True)
            positions = inputs.get("positions", [listener.window.n_frames // 2] * batch)
            flops.append(step_flops(model.config, listener.window, positions, inputs["labels"].shape[1]))
    parts = {name: statistics.median(times[2:]) for name, times in spent.items()}
    whole = sum(parts.values())
    used = "" if peak is None else f"{statistics.median(flops[2:]) / whole / peak / 1e12:.0%}"
    return [str(batch), *(f"{1000 * t:.0f}" for t in parts.values()), f"{batch / whole:.1f}", used]


def step_flops(config: Any, window: WindowSpec, positions: list[int], tokens: int) -> float:
    """Floating-point operations of forward and backward over a batch: two per weight and place, twice that back.

    Attention is counted with the places that it sees; embeddings, norms and the convolutions' edges are not counted.
    """
    d, f = config.d_model, config.encoder_ffn_dim
    clips, longest = len(positions), max(positions)
    heard = clips * longest
    encoder = heard * (3 * window.n_mels * d * 2 + 3 * d * d)  # the first convolution at twice the rate
    encoder += config.encoder_layers * heard * (4 * d * d + 2 * d * f + 2 * longest * d)
    written = clips * tokens
    own = 4 * d * d + 2 * d * d + 2 * d * config.decoder_ffn_dim + 2 * d * (tokens + longest)
    decoder = config.decoder_layers * (written * own + heard * 2 * d * d) + written * d * config.vocab_size
    return 6.0 * (encoder + decoder)


def on_cpu(options: argparse.Namespace) -> list[str]:
    """The comparison."""
    chosen = [case for case in CPU_CASES if not options.case or options.case in case[0]]
    header = ["model", "clips per step", "usual, clips/s", "here, clips/s", "ratio (≥ 1.3)",
              "largest deviation of the loss", "trimmed windows, clips/s", "ratio"]  # fmt: skip
    return results.table(header, [against_the_usual(case, options) for case in chosen])


def on_gpu(options: argparse.Namespace) -> list[str]:
    """Where a step's time goes."""
    if not torch.cuda.is_available() and not options.rehearse:
        return ["There is no CUDA device here: the part with large-v3's shape was not run."]
    device = "cpu" if options.rehearse else "cuda"
    shape, steps = (SMALL, 2) if options.rehearse else (LARGE, 20)
    batches = [4] if options.rehearse else options.batches
    rows = []
    for windowing in (Windowing(), Windowing("trimmed", margin=0.5)):
        for batch in batches:
            seconds = (0.4, 1.2) if options.rehearse else (2.0, 8.0)
            row = split_step(
                shape, batch, seconds, steps, device, windowing, None if options.rehearse else options.peak
            )
            rows.append([windowing.padding, *row])
    name = "rehearsal on the CPU" if options.rehearse else torch.cuda.get_device_name()
    header = ["windows", "clips per step", "data, ms", "forward", "backward", "optimiser", "clips/s", "of peak FLOP/s"]
    return [f"{name}; large-v3's shape, random weights, bf16 over float32; peak {options.peak:g} TFLOP/s", "",
            *results.table(header, rows)]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gpu", action="store_true", help="the part with large-v3's shape")
    parser.add_argument(
        "--rehearse", action="store_true", help="that part with a small model on the CPU, to try it out"
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 16], help="clips per step on the GPU")
    parser.add_argument("--peak", type=float, default=989.0, help="TFLOP/s of the GPU in bf16; an H100's by default")
    parser.add_argument("--case", default="", help="only models whose name holds this")
    parser.add_argument("--share", type=float, default=1.0, help="of the steps")
    parser.add_argument("--turns", type=int, default=2, help="how often each is run; the fastest counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/RESULTS.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    gpu = options.gpu or options.rehearse
    what = (
        "where a step's time goes, large-v3" if gpu else f"against the usual recipe, CPU, {options.threads} thread(s)"
    )
    lines = on_gpu(options) if gpu else on_cpu(options)
    machine = results.machine("torch", "transformers", "datasets", "accelerate")
    results.show("\n".join([f"## finetune.py: {what}", "", machine, "", *lines]), write=options.write)


if __name__ == "__main__":
    main()
