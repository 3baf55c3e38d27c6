"""Word boundaries by CTC and by Whisper's cross-attention, against espeak-ng sentences whose boundaries are known.

python benchmarks/alignment.py --out FOLDER              # about an hour on one free core; trained models are kept
python benchmarks/alignment.py --out FOLDER --write      # and puts the table into RESULTS.md

Needs the program espeak-ng and `pip install 'whisperprobe[align]'`. Both models are trained here from random weights,
on sentences and voices that the test does not have; alignment heads and shift are taken from training sentences. Then
`align_corpus` aligns the test sentences. The error of a boundary is its distance, in time, from the middle of the
silence, or of the cross-fade, that the synthesis put between two words.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import results
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


def row(name: str, shift: float, found: dict[str, np.ndarray]) -> list[str]:
    d = found["boundaries"]
    e = np.abs(d)
    return [
        name, f"{1000 * shift:.0f}", f"{e.mean():.1f}", f"{np.median(e):.1f}", f"{np.quantile(e, 0.9):.1f}",
        f"{100 * (e <= 20).mean():.1f}", f"{np.median(d):+.1f}", f"{np.abs(found['first']).mean():.1f}",
        f"{np.abs(found['last']).mean():.1f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for speech, models and alignments")
    parser.add_argument(
        "--sentences", type=int, default=9000, help="of 1 to 8 words, to train on; Whisper: twice as many"
    )
    parser.add_argument("--test", type=int, default=120, help="of 3 to 8 words")
    parser.add_argument("--known", type=int, default=300, help="training sentences that heads and shift are taken from")
    parser.add_argument("--ctc-steps", type=int, default=1200)
    parser.add_argument("--whisper-steps", type=int, default=7000, help="and 4 for every 7 more, on other sentences")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put into benchmarks/RESULTS.md")
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
        train_ctc(train[:4000], ctc, steps=options.ctc_steps)
    whisper = out / "whisper"
    if not (whisper / "preprocessor_config.json").is_file():
        first = train_whisper(train, out / "whisper-1", steps=options.whisper_steps, window_seconds=WINDOW_SECONDS)
        train_whisper(
            speak(options.sentences, TRAIN_VOICES, 2, 8, "more"), whisper, steps=options.whisper_steps * 4 // 7,
            window_seconds=WINDOW_SECONDS, seed=1, start=first, peak=1e-3,
        )  # fmt: skip
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
            rows.append(row({"ctc": "CTC", "whisper": "Whisper"}[method], shift, scored(folder, test)))
    words = sum(len(one.starts) for one in test)
    text = "\n".join(
        [
            f"## alignment.py: word boundaries of {len(test)} espeak-ng sentences of 3 to 8 words ({words} words), "
            f"{len(TEST_VOICES)} voices not trained on",
            "",
            results.machine("torch", "torchaudio", "transformers"),
            "",
            f"Trained from random weights on sentences of {len(TRAIN_VOICES)} voices (CTC {len(train[:4000])}, Whisper "
            f"{2 * len(train)}); heads {[list(pair) for pair in heads.heads]}, {options.threads} thread(s).",
            "",
            *results.table(
                ["aligner", "shift, ms", "mean error, ms (≤ 20)", "median", "90 %", "within 20 ms, %",
                 "median of signed error", "first word's beginning", "last word's end"], rows,
            ),
        ]
    )  # fmt: skip
    results.show(text, write=options.write)


if __name__ == "__main__":
    main()
