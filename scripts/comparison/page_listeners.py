"""docs/comparison-listeners.md: whisperprobe beside tools for Whisper, and beside other discriminative lexicons."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from comparison import judiling
from comparison.pages import Comparison, ask
from comparison.rows_listeners import LEXICON, WHISPER

WHISPER_PACKAGES = {
    "this library": "ours_whisper",
    "transformers": "transformers_whisper",
    "openai-whisper": "openai_whisper",
    "whisper-timestamped": "whisper_timestamped",
    "minicons": "minicons_scorers",
}
LEXICON_PACKAGES = {
    "this library": "ours_ldl",
    "pyndl": "pyndl_learning",
    "discriminative_lexicon_model": "discriminative_lexicon",
    "JudiLing.jl (read, not run)": "judiling",
}

INTRODUCTION = """\
# Listeners beside others

Written by `scripts/make_comparison_page.py`; do not edit. Audiograms and filters have
[a page of their own](comparison.md). `whisperprobe` {ours} is compared twice: as a way to read a Whisper, and as a
[discriminative lexicon](#discriminative-lexicons).

Every answer about a Python package was checked against the installed one when the page was written, and is checked
again by the tests: names by introspection; behaviour, where that needs neither data nor a GPU, by running it on small
models. A **no** without more words means that none of the package's names matches the pattern under
[What was searched for](#what-was-searched-for). Names are those of all its source; of transformers, those of Whisper,
generation, the speech pipeline and the trainers. **Partly** is also what is left to one's own arithmetic. A dash means
that the question does not arise. Everything ran on a CPU; nothing here was tried on a GPU, and nothing was timed.

## Whisper as a listener

- **this library**, `whisperprobe` {ours};
- **[transformers](https://github.com/huggingface/transformers) {transformers}**, whose Whisper and trainer
  `whisperprobe` builds on;
- **[openai-whisper](https://github.com/openai/whisper) {openai}**, the model's own implementation;
- **[whisper-timestamped](https://github.com/linto-ai/whisper-timestamped) {timestamped}**, times and confidences of
  words on top of it;
- **[minicons](https://github.com/kanishkamisra/minicons) {minicons}**, surprisal and its kin for models of text: its
  answers are about texts.

### Which to choose

To transcribe recordings of any length as OpenAI does: openai-whisper. For times and confidences of words in recordings
with pauses and hesitations: whisper-timestamped. For surprisal from models of text, masked or not: minicons. For other
models, larger ones, other ways to train, or a Whisper inside a program: transformers. For what a Whisper made of every
clip of an experiment, what else it might have said, and how a hearing loss changes that: this library.

Where the others do more than this library:

"""

SECOND = """
## Discriminative lexicons

- **this library**, `whisperprobe.ldl` {ours}: spoken words;
- **[pyndl](https://github.com/quantling/pyndl) {pyndl}**: naive discriminative learning from large texts;
- **[discriminative_lexicon_model](https://github.com/quantling/discriminative_lexicon_model) {dlm}**: comprehension
  and production of words over labelled matrices;
- **[JudiLing.jl](https://github.com/quantling/JudiLing.jl) {judiling}**: the same in Julia, and more. Its answers were
  **read, not run**: `python -m comparison.judiling` held them to the source of commit {commit}, functions and their
  arguments by name, and each plain **no** to all words of it.

The three that run here learn the same weights from the same events as the rule of Widrow and Hoff does as it is
written.

### Which lexicon to choose

For cues and outcomes that are symbols, from more text than memory holds: pyndl. For comprehension, production and
measures of written words in Python: discriminative_lexicon_model. For whole paths in production, sparse matrices or
deep mappings: JudiLing. For spoken words, many of them, through a hearing loss, beside a Whisper: this library.

Where the others do more than this library:

"""

UNNAMED = """
## Named by no answer

Public functions and classes of the others' modules; of transformers those of its Whisper, the speech pipeline and the
trainer of sequences. Methods are left out.

"""

SEARCHED = """
## What was searched for

Regular expressions, found anywhere in a name, in any case. Questions that are not here have an answer that was probed
in every package. First those about Whisper, then those about lexicons.

| question | pattern |
| --- | --- |
"""


def compared() -> tuple[Comparison, Comparison]:
    """Both comparisons; two packages are asked at a time."""
    modules = [*WHISPER_PACKAGES.values(), *LEXICON_PACKAGES.values()]
    with ThreadPoolExecutor(2) as pool:
        reports = dict(zip(modules, pool.map(ask, modules), strict=True))
    whisper, lexicon = (
        Comparison(topics, tuple(packages), [reports[module] for module in packages.values()])
        for topics, packages in ((WHISPER, WHISPER_PACKAGES), (LEXICON, LEXICON_PACKAGES))
    )
    return whisper, lexicon


def page() -> str:
    """The page in Markdown."""
    whisper, lexicon = compared()
    ours, transformers, openai, timestamped, minicons = (one.version for one in whisper.reports)
    _, pyndl, dlm, julia = (one.version for one in lexicon.reports)
    return "".join(
        [
            INTRODUCTION.format(
                ours=ours, transformers=transformers, openai=openai, timestamped=timestamped, minicons=minicons
            ),
            whisper.better(),
            whisper.tables("###"),
            SECOND.format(ours=ours, pyndl=pyndl, dlm=dlm, judiling=julia, commit=judiling.COMMIT),
            lexicon.better(),
            lexicon.tables("###"),
            UNNAMED,
            whisper.unmentioned(methods=False),
            lexicon.unmentioned(methods=False),
            SEARCHED,
            whisper.patterns(),
            lexicon.patterns(),
        ]
    )
