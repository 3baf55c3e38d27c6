"""Word boundaries by CTC and by Whisper's cross-attention, against espeak-ng sentences whose boundaries are known.

python benchmarks/alignment.py --out FOLDER              # about 25 minutes on one free core; goes on where it stopped
python benchmarks/alignment.py --out FOLDER --write      # and appends the tables to RESULTS.md

Needs the program espeak-ng and `pip install 'whisperprobe[align]'`. Both models are trained here from random weights,
on sentences and voices that the test does not have; alignment heads and shift are taken from training sentences. Then
`align_corpus` aligns the test sentences. The error of a boundary is its distance, in time, from the middle of the
silence, or of the cross-fade, that the synthesis put between two words.
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

import numpy as np
import torch
from small_ctc import train_ctc
from small_whisper import train_whisper
from spoken_sentences import TEST_VOICES, TRAIN_VOICES, Sentence, Speaker, say_sentence, write_sentences
from spoken_sentences import WORDS as LEXICON

from whisperprobe import (
    CTCAligner,
    WhisperAligner,
    align_corpus,
    choose_alignment_heads,
    load_alignment,
    measure_shift,
    save_alignment_heads,
)

WINDOW_SECONDS = 4


def speak(count: int, voices: tuple, fewest: int, seed: int, name: str) -> list[Sentence]:
    """Sentences of `fewest` to 8 words that fit the window, the voices in turn."""
    speakers = [Speaker(voice) for voice in voices]
    made: list[Sentence] = []
    number = 0
    while len(made) < count:
        rng = np.random.default_rng([seed, number])
        words = rng.choice(LEXICON, size=rng.integers(fewest, 9), replace=False).tolist()
        one = say_sentence(speakers[number % len(speakers)], words, rng, f"{name}-{number:05d}")
        number += 1
        if len(one.x) <= WINDOW_SECONDS * 16_000:
            made.append(one)
    return made


def middle(one: Sentence) -> np.ndarray:
    """Where one word of a sentence ends and the next begins, in s."""
    return (one.ends[:-1] + one.starts[1:]) / 2


def scored(alignment: Path, spoken: list[Sentence]) -> dict[str, np.ndarray]:
    """Differences from the truth in ms: of the boundaries, of the first word's beginning, of the last one's end."""
    frame, late, first, last = load_alignment(alignment), [], [], []
    of_clip = dict(list(frame.groupby("clip_id")))
    for one in spoken:
        own = of_clip[f"test/{one.id}"]
        late.append(own["start"].to_numpy()[1:] - middle(one))
        first.append(own["spoken_start"].iloc[0] - one.starts[0])
        last.append(own["spoken_end"].iloc[-1] - one.ends[-1])
    return {"boundaries": 1000 * np.concatenate(late), "first": 1000 * np.array(first), "last": 1000 * np.array(last)}


def line(name: str, shift: float, found: dict[str, np.ndarray]) -> str:
    d = found["boundaries"]
    e = np.abs(d)
    return (
        f"| {name} | {1000 * shift:.0f} | {e.mean():.1f} | {np.median(e):.1f} | {np.quantile(e, 0.9):.1f} "
        f"| {100 * (e <= 20).mean():.1f} | {np.median(d):+.1f} | {np.abs(found['first']).mean():.1f} "
        f"| {np.abs(found['last']).mean():.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for speech, models and alignments")
    parser.add_argument("--sentences", type=int, default=4000, help="of 1 to 8 words, to train on")
    parser.add_argument("--test", type=int, default=120, help="of 3 to 8 words")
    parser.add_argument("--known", type=int, default=96, help="training sentences that heads and shift are taken from")
    parser.add_argument("--ctc-steps", type=int, default=1200)
    parser.add_argument("--whisper-steps", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="append to benchmarks/RESULTS.md")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    out: Path = options.out
    train = speak(options.sentences, TRAIN_VOICES, 1, 7, "train")
    test = speak(options.test, TEST_VOICES, 3, 1, "test")
    speech = out / "speech"
    if not speech.exists():
        write_sentences(speech, {"train": train, "test": test})
    ctc = out / "ctc"
    if not (ctc / "preprocessor_config.json").is_file():
        train_ctc(train, ctc, steps=options.ctc_steps)
    whisper = out / "whisper"
    if not (whisper / "preprocessor_config.json").is_file():
        train_whisper(train, whisper, steps=options.whisper_steps, window_seconds=WINDOW_SECONDS)
    some = [one for one in train if len(one.starts) > 2][: options.known]
    known = [one.x for one in some], [one.text for one in some], [middle(one) for one in some]
    heads = choose_alignment_heads(WhisperAligner.from_pretrained(whisper, device="cpu"), *known)
    save_alignment_heads(heads, whisper)
    print(f"heads {heads.heads}: {1000 * heads.error:.1f} ms on {heads.clips} training sentences")
    aligners = {
        "ctc": CTCAligner.from_pretrained(ctc, device="cpu"),
        "whisper": WhisperAligner.from_pretrained(whisper, device="cpu"),
    }
    rows = []
    for method, aligner in aligners.items():
        for shift in (0.0, round(measure_shift(aligner, *known), 3)):
            folder = align_corpus(
                speech, out / f"{method}-{1000 * shift:.0f}", method=method, model=aligner, splits=["test"], shift=shift
            )
            rows.append(line({"ctc": "CTC", "whisper": "Whisper"}[method], shift, scored(folder, test)))
    words = sum(len(one.starts) for one in test)
    text = "\n".join(
        [
            "",
            f"### Word boundaries: {len(test)} espeak-ng sentences of 3 to 8 words ({words} words), "
            f"{len(TEST_VOICES)} voices not trained on",
            "",
            f"Trained from random weights on {len(train)} sentences of {len(TRAIN_VOICES)} voices; heads "
            f"{[list(pair) for pair in heads.heads]}. {platform.processor() or platform.machine()}, "
            f"{options.threads} thread(s).",
            "",
            "| aligner | shift, ms | mean error, ms | median | 90 % | within 20 ms, % | median of signed error "
            "| first word's beginning | last word's end |",
            "| --- " * 9 + "|",
            *rows,
        ]
    )
    print(text)
    if options.write:
        with open(Path(__file__).with_name("RESULTS.md"), "a", encoding="utf-8") as file:
            file.write(text + "\n")


if __name__ == "__main__":
    main()
