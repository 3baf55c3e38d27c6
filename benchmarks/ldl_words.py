"""Both listeners side by side: what LDL, and Whisper where its study is given, understand of held-out speech.

python benchmarks/ldl_words.py demo --whisper results/demo           # 136 words, four held-out voices
python benchmarks/ldl_words.py takes RECORDINGS --whisper results/fsdd-takes     # digits, held-out takes 20 to 24
python benchmarks/ldl_words.py speaker RECORDINGS --whisper results/fsdd-speaker # digits, held-out speaker nicolas

RECORDINGS is the Free Spoken Digit Dataset. --whisper names the output of `whisperprobe run` or `whisperprobe demo` for
the same split (benchmarks/fsdd/*.toml). LDL is trained under each condition and listens under each; cues of all
conditions are laid out as those of `normal` are. What was fixed before: NLMS with rate 0.1, LMS with 0.1/max‖c‖², both
20 passes in an order drawn by seed 1; endstate with the default ridge.
"""

from __future__ import annotations

import argparse
import tempfile
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import results

from audiogram.corpus import Corpus, SplitRule, open_corpus
from whisperprobe import ldl, load_comparison
from whisperprobe.comparison.intervals import bootstrap_words
from whisperprobe.labels import word_of
from whisperprobe.ldl.learning import squared_norms

CONDITIONS = ("normal", "lfloss", "hfloss")
DEMO = Path(str(files("whisperprobe.demo")))
PASSES, RATE, SEED = 20, 0.1, 1
TITLES = {
    "demo": "136 words in espeak-ng voices, four voices held out",
    "takes": "spoken digits (FSDD), takes 20 to 24 of every speaker held out",
    "speaker": "spoken digits (FSDD), the speaker nicolas held out",
}
Matrix = np.ndarray[Any, Any]


def speech(name: str, source: Path | None) -> tuple[Corpus, dict[str, Any]]:
    """The corpus, and the options that its recordings need of C-FBSF cues."""
    if name == "demo":
        return open_corpus(DEMO / "speech"), {}
    if source is None:
        raise SystemExit("give the folder of the recordings")
    study = tomllib.loads((Path(__file__).parent / "fsdd" / f"{name}.toml").read_text(encoding="utf-8"))["corpus"]
    split = study["split"]
    rule = SplitRule(split["column"], tuple(split["test"]), split["validation"])
    corpus = open_corpus(source, text_pattern=study["text_pattern"], text_map=study["text_map"], split=rule)
    return corpus, {"top_hz": 4000.0}  # recordings of 8 kHz


def spaces(words: list[str]) -> dict[str, ldl.Lexicon]:
    """Semantic spaces by name: the demo model's token embeddings, and vectors drawn at random, 300 dimensions."""
    embedded = ldl.open_semantics(f"whisper:{DEMO / 'model'}").look_up(words)
    drawn = np.random.default_rng(SEED).standard_normal((len(words), 300))
    return {"Whisper's tokens": ldl.Lexicon(words, embedded.vectors), "random": ldl.Lexicon(words, drawn)}


def weights(rule: str, C: Matrix, S: Matrix) -> Matrix:
    """Comprehension weights, float32."""
    if rule == "endstate":
        return np.asarray(ldl.endstate(C, S))
    rate = RATE / float(squared_norms(C).max()) if rule == "lms" else RATE
    return np.asarray(ldl.learn(C, S, rule=rule, rate=rate, epochs=PASSES, seed=SEED))


def interval(correct: Mapping[str, Matrix], words: Matrix) -> dict[str, str]:
    """Share of correct answers in percent with its 95 % interval over words, by condition."""
    kinds, which = np.unique(words, return_inverse=True)
    sums = np.stack([np.bincount(which, weights=right, minlength=len(kinds)) for right in correct.values()], axis=1)
    counts = np.repeat(np.bincount(which, minlength=len(kinds))[:, None], len(correct), axis=1).astype(np.float64)
    drawn = bootstrap_words(sums, counts, np.arange(len(correct)), n_groups=len(correct))
    bounds = [drawn.interval(i) for i in range(len(correct))]
    return {
        name: f"{100 * drawn.estimates[i]:.1f} [{100 * bounds[i][0]:.1f}, {100 * bounds[i][1]:.1f}]"
        for i, name in enumerate(correct)
    }


def discriminative(corpus: Corpus, options: dict[str, Any], work: Path) -> list[list[str]]:
    """A row for each semantic space, cue set, rule and condition of training."""
    rows = []
    for kind in ("cfbsf", "log_mel"):
        given = options if kind == "cfbsf" else {}
        stored = {
            name: ldl.open_cues(ldl.write_cues(corpus, work / f"{kind}-{name}", kind=kind, condition=name, **given))
            for name in CONDITIONS
        }
        shape = stored["normal"].fit("train")
        texts = {s: [str(word_of(t)) for t in stored["normal"].table(s)["text"].to_pylist()] for s in ("train", "test")}
        test = {name: np.asarray(cues.matrix("test", shape)) for name, cues in stored.items()}
        for space, lexicon in spaces(sorted(set(texts["train"]) | set(texts["test"]))).items():
            S = lexicon.vectors[[lexicon.index[word] for word in texts["train"]]].astype(np.float32)
            said = np.array([lexicon.index[word] for word in texts["test"]])
            for trained in CONDITIONS:
                C = np.asarray(stored[trained].matrix("train", shape))
                for rule in ("lms", "nlms", "endstate"):
                    F = weights(rule, C, S)
                    heard = {name: ldl.meaning_measures(c @ F, said, lexicon, k=1) for name, c in test.items()}
                    right = {name: (f.nearest[:, 0] == f.targets).astype(float) for name, f in heard.items()}
                    shown = interval(right, np.array(texts["test"]))
                    cells = [f"{shown[name]}; {heard[name].rank.mean():.1f}" for name in CONDITIONS]
                    rows.append(["LDL", f"{kind}, {shape.width}", space, rule, trained, *cells])
                    print(*rows[-1], sep=" | ", flush=True)
    order = {"cfbsf": 0, "log_mel": 1}
    return sorted(rows, key=lambda row: (order[row[1].split(",")[0]], row[2] == "random", row[3]))


def whisper(study: Path) -> list[list[str]]:
    """A row for each model of a study."""
    comparison = load_comparison(study / "comparison")
    found = {name: comparison.by_cell(name) for name in ("correct", "word_mean_rank")}
    rows = []
    for model in comparison.models:
        cells = []
        for name in CONDITIONS:
            cell, rank = found["correct"][model, name], found["word_mean_rank"][model, name]
            share = f"{100 * cell['mean']:.1f} [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"
            cells.append(f"{share}; ({rank['mean']:.1f})")
        rows.append(["Whisper", "log-mel", "", "fine-tuned" if model != "base" else "unadapted", model, *cells])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", choices=TITLES)
    parser.add_argument("source", nargs="?", type=Path, help="folder of the recordings, but for demo")
    parser.add_argument("--whisper", type=Path, metavar="STUDY", help="output of the study with the same split")
    parser.add_argument("--work", type=Path, help="keep cues here; default: a folder that is removed")
    parser.add_argument("--write", action="store_true", help="put into benchmarks/RESULTS.md")
    options = parser.parse_args()
    corpus, cue_options = speech(options.corpus, options.source)
    rows = [] if options.whisper is None else whisper(options.whisper)
    with tempfile.TemporaryDirectory() as folder:
        rows = discriminative(corpus, cue_options, options.work or Path(folder)) + rows
    header = ["listener", "cues", "semantic space", "rule", "trained under", *(f"hears {name}" for name in CONDITIONS)]
    lines = [
        f"## ldl_words.py: {TITLES[options.corpus]}",
        "",
        results.machine("numpy", "scipy", "torch"),
        "",
        "Words understood in percent with the 95 % interval over words; then the mean rank of the spoken word among "
        "word types (LDL), or, in brackets, of its tokens among all tokens (Whisper).",
        "",
        *results.table(header, rows),
    ]
    results.show("\n".join(lines), write=options.write)


if __name__ == "__main__":
    main()
