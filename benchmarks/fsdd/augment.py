"""What augmentation does to a speaker who was never heard in training: spoken digits, models from random weights.

    python benchmarks/fsdd/augment.py FOLDER_OF_RECORDINGS --out DIR [--arms plain speed] [--seeds 1 2]
    python benchmarks/fsdd/augment.py FOLDER_OF_RECORDINGS --out DIR --write     # and into RESULTS.md

Every arm is the same training but for its augmentation, under the condition `normal`; the model then hears the held-out
speaker through `normal`, and through the two losses, which it has never met. Killed and started again, it goes on.
Recordings: the Free Spoken Digit Dataset (CC BY-SA 4.0).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import audiogram
from audiogram.corpus import SplitRule, open_corpus
from whisperprobe.comparison.intervals import bootstrap_words
from whisperprobe.labels import Labels, prompt_ids, same_text, text_normaliser
from whisperprobe.training import finetune
from whisperprobe.training.data import SpeechDataset, read_speech
from whisperprobe.training.metrics import evaluate_listener
from whisperprobe.training.model_folder import load_listener

sys.path.insert(0, str(Path(__file__).parents[1]))
from results import machine, show, table

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
ARMS: dict[str, dict[str, Any] | None] = {
    "plain": None,
    "SpecAugment": {"time_masks": 2, "frequency_masks": 2},
    "random ears (Bisgaard)": {"ears": "bisgaard"},
    "random ears (ISO 7029)": {"ears": "iso7029"},
    "speed": {"speed": 0.25},
    "pitch": {"pitch_semitones": 4.0},
    "speed, pitch, SpecAugment": {"speed": 0.25, "pitch_semitones": 4.0, "time_masks": 2, "frequency_masks": 2},
}
SHAPE = {
    "d_model": 128, "encoder_layers": 3, "decoder_layers": 2, "attention_heads": 4, "ffn_dim": 512, "window_seconds": 2
}  # fmt: skip
TRAINING = {
    "vocabulary_size": 300, "batch_size": 16, "learning_rate": 1e-3, "scheduler": "cosine",
    "weight_decay": 0.01, "evaluate": False, "condition": "normal",
}  # fmt: skip
CONDITIONS = ("normal", "lfloss", "hfloss")


def opened(options: argparse.Namespace) -> dict[str, Any]:
    """How the recordings are named and divided."""
    return {
        "text_pattern": r"(?P<text>\d)_(?P<speaker>[a-z]+)_(?P<take>\d+)",
        "text_map": {str(i): word for i, word in enumerate(DIGITS)},
        "split": SplitRule("speaker", test=(options.held_out,), validation=0),
    }


def answers(model: Path, options: argparse.Namespace) -> dict[str, list[tuple[str, bool]]]:
    """What a model makes of each clip of the held-out speaker, through each condition: (word, whether right)."""
    listener = load_listener(model)
    settings: Any = listener.model.generation_config
    labels = Labels(listener.tokenizer, tuple(prompt_ids(listener.tokenizer, settings)), 448)
    corpus, normalise = open_corpus(options.source, **opened(options)), text_normaliser(listener.tokenizer)
    found = {}
    for name in CONDITIONS:
        speech = read_speech(corpus, "test", listener.window, labels)
        dataset = SpeechDataset(speech, listener.window, condition=audiogram.condition(name))
        _, said = evaluate_listener(listener, dataset, batch_size=50)
        found[name] = [(t, same_text(h, t, normalise)) for t, h in zip(speech.texts, said, strict=True)]
    return found


def trained(arm: str, seed: int, options: argparse.Namespace) -> Path:
    """Train one model, or find it trained; its answers lie beside it."""
    name = "".join(c if c.isalnum() else "-" for c in arm.lower())
    out = Path(options.out) / f"{name}-{seed}"
    file = out / "answers.json"
    if not file.is_file():
        begun = time.monotonic()
        finetune(
            options.source, out, from_config=SHAPE, max_steps=options.steps, warmup_steps=options.steps // 12,
            seed=seed, augment=ARMS[arm], threads=options.threads, **TRAINING, **opened(options),
        )  # fmt: skip
        file.write_text(json.dumps(answers(out, options)))
        print(f"{arm}, seed {seed}: {time.monotonic() - begun:.0f} s", flush=True)
    return file


def compared(files: dict[tuple[str, int], Path], condition: str) -> list[list[str]]:
    """Accuracy of each arm and its difference from the first, with intervals over words (and seeds)."""
    arms = list(dict.fromkeys(arm for arm, _ in files))
    seeds = list(dict.fromkeys(seed for _, seed in files))
    sums, counts = np.zeros((len(DIGITS), len(files))), np.zeros((len(DIGITS), len(files)))
    for column, file in enumerate(files.values()):
        for word, right in json.loads(file.read_text())[condition]:
            sums[DIGITS.index(word), column] += right
            counts[DIGITS.index(word), column] += 1
    found = bootstrap_words(
        sums, counts, np.array([arms.index(arm) for arm, _ in files]), n_groups=len(arms), resamples=5000,
        repeats=np.array([seeds.index(seed) for _, seed in files]) if len(seeds) > 1 else None,
    )  # fmt: skip
    rows = []
    for i in range(len(arms)):
        low, high = found.interval(i)
        row = [f"{100 * found.estimates[i]:.1f} [{100 * low:.0f}, {100 * high:.0f}]"]
        difference, low, high = found.difference(0, i)
        rows.append([*row, f"{100 * difference:+.1f} [{100 * low:+.0f}, {100 * high:+.0f}]" if i else ""])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", help="folder of recordings, 0_george_0.wav and so on")
    parser.add_argument("--out", required=True, help="folder for the models")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS), metavar="ARM")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--held-out", default="nicolas", metavar="SPEAKER")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/RESULTS.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    files = {(arm, seed): trained(arm, seed, options) for seed in options.seeds for arm in options.arms}
    columns = {condition: compared(files, condition) for condition in CONDITIONS}
    lines = [
        [arm, *columns["normal"][i], *(columns[name][i][0] for name in CONDITIONS[1:])]
        for i, arm in enumerate(options.arms)
    ]
    header = ["training", "normal", "difference from the first", *CONDITIONS[1:]]
    text = [
        "## fsdd/augment.py: word accuracy on a speaker who was not heard in training, %",
        "",
        machine("torch", "transformers"),
        "",
        f"Held out: {options.held_out}; {options.steps} steps of {TRAINING['batch_size']} clips, trained under normal; "
        f"{len(options.seeds)} seed(s); 95 % intervals over the ten words and the seeds, differences paired.",
        "",
        *table(header, lines),
    ]
    show("\n".join(text), write=options.write)


if __name__ == "__main__":
    main()
