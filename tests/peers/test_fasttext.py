"""fastText models against Facebook's own reader and gensim's, on small models trained here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from whisperprobe.ldl import open_semantics

SENTENCES = [
    "the ship sails over the sea to the café on the shore",
    "the chip fell on the sheep that slept by the shore",
    "der Schüler hört über das große Meer",
    "наш корабль плывёт по морю",
    "日本語 の 言葉 を 聞く",
    "a thick fish swims past the old ship 🚢 and an élève listens",
] * 40
UNKNOWN = ["shipping", "cafés", "unheard", "Schülerin", "кораблик", "言葉を", "🚢🚢", "x", "sh", "a-b_c'd", "</t>"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    return path


def facebook(corpus: Path, out: Path, **options: Any) -> Any:
    import fasttext

    # fastText 0.9.3 fills a tenth of a matrix per thread and leaves the rest as the memory was: ten threads, and
    # dimensions that ten divides.
    settings = {"dim": 10, "minCount": 1, "epoch": 2, "thread": 10, "verbose": 0, "bucket": 500, **options}
    model = fasttext.train_unsupervised(str(corpus), **settings)
    model.save_model(str(out))
    return model


@pytest.mark.parametrize(
    "options",
    [
        {"model": "skipgram"},
        {"model": "cbow", "minn": 1, "maxn": 2},
        {"minn": 3, "maxn": 3, "bucket": 7},
        {"minn": 0, "maxn": 0},  # no subwords at all
        {"wordNgrams": 2, "minn": 2, "maxn": 5},
    ],
)
def test_vectors_are_facebooks_own(corpus: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    theirs = facebook(corpus, tmp_path / "model.bin", **options)
    ours = open_semantics(tmp_path / "model.bin")
    words = theirs.get_words()
    assert "</s>" in words
    found = ours.look_up(words)
    assert found.counts == {"exact": len(words)}
    expected = np.stack([theirs.get_word_vector(word) for word in words])
    assert np.abs(found.vectors - expected).max() <= 1e-6
    unknown = ours.look_up(UNKNOWN)
    assert not set(UNKNOWN) & set(words)
    expected = np.stack([theirs.get_word_vector(word) for word in UNKNOWN])
    assert np.abs(unknown.vectors - expected).max() <= 1e-6
    if options.get("maxn", 6):
        assert np.abs(expected).max() > 1e-3
        assert unknown.counts["subword"] >= 9
    else:
        assert unknown.counts == {"missing": len(UNKNOWN)}


def test_a_model_that_gensim_saves_reads_as_gensim_reads_it(tmp_path: Path) -> None:
    from gensim.models.fasttext import FastText, load_facebook_vectors, save_facebook_model

    path = tmp_path / "model.bin"
    model = FastText([line.split() for line in SENTENCES], vector_size=20, min_count=1, epochs=2, bucket=1000, seed=3)
    save_facebook_model(model, str(path))
    theirs = load_facebook_vectors(str(path))
    ours = open_semantics(path)
    assert ours.dimensions == 20
    words = list(theirs.key_to_index)
    found = ours.look_up(words)
    assert found.counts == {"exact": len(words)}
    assert np.abs(found.vectors - np.stack([theirs[word] for word in words])).max() <= 1e-6
    unknown = [word for word in UNKNOWN if len(word) > 2]
    assert np.abs(ours.look_up(unknown).vectors - np.stack([theirs[word] for word in unknown])).max() <= 1e-6


def test_the_text_of_a_model_reads_as_gensim_reads_it(tmp_path: Path) -> None:
    from gensim.models import FastText, KeyedVectors

    path = tmp_path / "model.vec"
    model = FastText([line.split() for line in SENTENCES], vector_size=8, min_count=1, epochs=1, bucket=100, seed=1)
    model.wv.save_word2vec_format(str(path))
    theirs = KeyedVectors.load_word2vec_format(str(path))
    words = list(theirs.key_to_index)
    found = open_semantics(path).look_up([*words, "unheard"])
    assert np.abs(found.vectors[:-1] - np.stack([theirs[word] for word in words])).max() <= 1e-6
    assert found.missing == ["unheard"]


def test_classifiers_have_words_beside_labels_and_a_quantised_one_is_refused(tmp_path: Path) -> None:
    import fasttext

    from audiogram.errors import InputError

    text = tmp_path / "labels.txt"
    text.write_text("\n".join(f"__label__{i % 3} {line}" for i, line in enumerate(SENTENCES)), encoding="utf-8")
    model = fasttext.train_supervised(
        str(text), dim=10, epoch=1, thread=10, verbose=0, minn=2, maxn=4, bucket=300, minCount=1
    )
    model.save_model(str(tmp_path / "model.bin"))
    words = model.get_words()
    expected = np.stack([model.get_word_vector(word) for word in [*words, *UNKNOWN]])
    found = open_semantics(tmp_path / "model.bin").look_up([*words, *UNKNOWN])
    assert np.abs(found.vectors - expected).max() <= 1e-6
    model.quantize(input=str(text), retrain=False, qnorm=True)
    model.save_model(str(tmp_path / "model.ftz"))
    with pytest.raises(InputError, match=r"quantised .* Give the model that it was made from, the \.bin"):
        open_semantics(tmp_path / "model.ftz")
