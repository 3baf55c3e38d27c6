"""Words of a lexicon in competition: the trie against one word at a time, candidates against all, bad lists."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import whisperprobe
from audiogram.corpus import open_corpus
from audiogram.errors import AudiogramWarning, InputError
from whisperprobe.probing import competition
from whisperprobe.probing.lexicon import Lexicon
from whisperprobe.probing.probe import Probe
from whisperprobe.probing.tree import TokenTree

_spec = spec_from_file_location("naive_probe", Path(__file__).with_name("naive_probe.py"))
naive_probe = module_from_spec(_spec)
_spec.loader.exec_module(naive_probe)

DEMO = Path(whisperprobe.__file__).parent / "demo"
WORDS = ["sick", "thick", "fish", "ship", "chip", "naïve", "Straße", "'twas"]
# words that begin other words, share spellings, have no case, have several tokens and several parts
LEXICON = ["sick", "thick", "fish", "ship", "chip", "naïve", "Straße", "shipping", "s", "fi", "ship shape", "日本", "x"]
TEXTS = ["sick", "Fish.", "moon", None]


def sounds(seed=0, lengths=(16_000, 8_000, 12_345, 400)):
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal(n) * 0.1).astype(np.float32) for n in lengths]


@pytest.fixture(scope="module")
def whisper():
    return naive_probe.tiny_whisper(WORDS)


@pytest.fixture(scope="module")
def probe(whisper):
    return Probe(*whisper, max_new_tokens=4)


@pytest.fixture(scope="module")
def result(probe):
    return probe(sounds(), TEXTS, lexicon=LEXICON, competitors=99, batch_size=3)


@pytest.fixture(scope="module")
def alone(probe):
    """Score of every word for every clip, each forced by itself."""
    scores = {
        word: probe(sounds(), [word] * 4, decodings=["forced"], vectors="none").clips["word_log_probability"]
        for word in LEXICON
    }
    return np.stack([scores[word] for word in LEXICON], axis=1)


def table(result):
    return result.competitors.pivot(index="clip_id", columns="word", values="log_probability")[LEXICON].to_numpy()


def test_the_trie_scores_words_as_they_are_scored_one_by_one(result, alone):
    assert np.abs(table(result) - alone).max() < 1e-9


@pytest.fixture(scope="module")
def demo():
    clips = list(open_corpus(DEMO / "speech").reader("test", 0, 8))
    heard = [(clip.audio()[0], clip.text) for clip in clips]
    return Probe.from_pretrained(DEMO / "model", device="cpu"), [x for x, _ in heard], [text for _, text in heard]


def test_within_1e5_in_float32_on_the_trained_model(demo):
    probe, clips, texts = demo
    words = sorted({text.lower() for text in texts})
    run = probe(clips, texts, lexicon=words, competitors=len(words), vectors="none", decodings=["forced"])
    found = run.competitors.pivot(index="clip_id", columns="word", values="log_probability")
    for word in words:
        one = probe(clips, [word] * len(clips), decodings=["forced"], vectors="none").clips
        assert np.abs(found.loc[one["clip_id"], word].to_numpy() - one["word_log_probability"]).max() < 1e-5, word
    own = found.to_numpy()[
        [found.index.get_loc(i) for i in run.clips["clip_id"]], [words.index(t.lower()) for t in texts]
    ]
    assert np.abs(own - run.clips["word_log_probability"]).max() < 1e-5
    assert (run.clips["lexicon_rank"] == 1).mean() > 0.8  # it was trained on these words
    assert set(run.clips["lexicon_found"]) == {True}


def test_batches_agree_within_1e5_in_float32_in_all_that_is_asked_for(demo):
    probe, clips, texts = demo
    words = sorted({text.lower() for text in texts})
    asked = {"layers": "all", "encoder": "mean", "lexicon": words, "candidates": 5, "n_best": 3, "vectors": "none"}
    padded = [np.concatenate([x, np.zeros(160, dtype=np.float32)]) for x in clips]
    names = [f"{i:02}" for i in range(len(clips))]
    whole = probe(clips, texts, ids=names, **asked)
    for other in (
        probe(clips, texts, ids=names, batch_size=1, **asked),
        probe(clips[::-1], texts[::-1], ids=names[::-1], batch_size=3, **asked),
        probe(padded, texts, ids=names, **asked),
    ):
        for name, keys in (
            ("clips", ["clip_id"]),
            ("layers", ["clip_id", "decoding", "variant", "position", "layer"]),
            ("competitors", ["clip_id", "place"]),
            ("alternatives", ["clip_id", "place"]),
        ):
            left, right = (x.table(name).sort_values(keys, ignore_index=True) for x in (whole, other))
            for column in left.columns.drop("encoder_row", errors="ignore"):
                if left[column].dtype.kind == "f":
                    assert np.allclose(left[column], right[column], atol=1e-5, rtol=1e-6, equal_nan=True), column
                elif name != "layers" or column != "rank":  # far down, ranks hang on rounding
                    assert left[column].equals(right[column]), (name, column)
    rows = probe(clips[::-1], ids=names[::-1], encoder="mean", batch_size=3).encoder
    assert np.abs(whole.encoder - rows[::-1]).max() < 1e-5


def test_columns_follow_from_the_scores(result, alone):
    clips, p = result.clips, np.exp(alone)
    share = p / p.sum(1, keepdims=True)
    assert np.allclose(clips["lexicon_mass"], p.sum(1), rtol=1e-9)
    assert np.allclose(clips["lexicon_entropy"], -(share * np.log(share)).sum(1), atol=1e-9)
    assert clips["lexicon_best"].tolist() == [LEXICON[i] for i in alone.argmax(1)]
    assert clips["lexicon_words"].tolist() == [len(LEXICON)] * 4
    assert clips["lexicon_found"].isna().tolist() == [False, False, False, True]
    assert clips["lexicon_found"].tolist()[:3] == [True, True, False]
    ranks = 1 + (alone > alone[range(2), [0, 2]].reshape(2, 1)[[0, 1, 0, 0]]).sum(1)
    assert clips["lexicon_rank"].tolist()[:2] == ranks.tolist()[:2]
    assert np.allclose(clips["lexicon_probability"][:2], share[[0, 1], [0, 2]], atol=1e-12)
    for column in ("lexicon_rank", "lexicon_probability"):
        assert clips[column].isna().tolist() == [False, False, True, True]


def test_competitors_are_the_words_in_order(result, alone):
    for clip in range(4):
        own = result.competitors[result.competitors["clip_id"] == str(clip)]
        order = np.argsort(-alone[clip], kind="stable")
        assert own["word"].tolist() == [LEXICON[i] for i in order]
        assert own["place"].tolist() == list(range(1, len(LEXICON) + 1))
        assert own["probability"].sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_short_passes_give_the_same(probe, result, monkeypatch, length):
    monkeypatch.setitem(competition._PASS, "cpu", length)
    again = probe(sounds(), TEXTS, lexicon=LEXICON, competitors=99)
    assert np.abs(table(again) - table(result)).max() < 1e-10


def test_little_memory_gives_the_same(probe, result, monkeypatch):
    monkeypatch.setitem(competition._CACHE_BYTES, "cpu", 1)  # one clip at a time
    again = probe(sounds(), TEXTS, lexicon=LEXICON, competitors=99)
    assert np.abs(table(again) - table(result)).max() < 1e-10
    some = probe(sounds(), TEXTS, lexicon=LEXICON, candidates=4)
    monkeypatch.undo()
    assert some.competitors["word"].equals(probe(sounds(), TEXTS, lexicon=LEXICON, candidates=4).competitors["word"])


def test_order_of_clips_and_words_does_not_matter(probe, result):
    order = [2, 0, 3, 1]
    mixed = probe([sounds()[i] for i in order], ids=list("2031"), lexicon=LEXICON[::-1], competitors=99, batch_size=2)
    assert np.abs(table(mixed) - table(result)).max() < 1e-10


@pytest.mark.parametrize("n", [1, 4, len(LEXICON)])
def test_candidates_are_the_best_words(probe, alone, n):
    run = probe(sounds(), [None] * 4, lexicon=LEXICON, candidates=n, competitors=99)
    assert run.clips["lexicon_words"].tolist() == [n] * 4
    for clip in range(4):
        own = run.competitors[run.competitors["clip_id"] == str(clip)]
        order = np.argsort(-alone[clip], kind="stable")[:n]
        assert own["word"].tolist() == [LEXICON[i] for i in order]
        assert np.abs(own["log_probability"] - alone[clip, order]).max() < 1e-9


def test_the_spoken_word_is_scored_also_where_it_is_no_candidate(probe, alone):
    worst = [LEXICON[i] for i in alone.argmin(1)]
    run = probe(sounds(), worst, lexicon=LEXICON, candidates=3, competitors=99)
    assert run.clips["lexicon_found"].tolist() == [False] * 4
    assert run.clips["lexicon_words"].tolist() == [4] * 4
    assert run.clips["lexicon_rank"].tolist() == [4] * 4
    last = run.competitors[run.competitors["place"] == 4]
    assert last["word"].tolist() == worst
    assert np.allclose(last["log_probability"], alone.min(1), atol=1e-9)


def test_a_first_pass_over_many_words_misses_next_to_nothing(demo):
    probe, clips, texts = demo
    rng = np.random.default_rng(1)
    parts = ["st", "b", "k", "m", "sh", "f", "l"], ["a", "ee", "o", "i"], ["", "n", "ck", "sh", "t"]
    invented = {"".join(rng.choice(p) for p in parts[: 2 + i % 2]) + rng.choice(parts[2]) for i in range(150)}
    words = sorted({text.lower() for text in texts} | invented)
    full = probe(clips, texts, lexicon=words, competitors=10, vectors="none", decodings=["forced"])
    some = probe(clips, texts, lexicon=words, candidates=10, competitors=10, vectors="none", decodings=["forced"])
    assert some.clips["lexicon_best"].equals(full.clips["lexicon_best"])
    assert (some.clips["lexicon_rank"] == full.clips["lexicon_rank"])[full.clips["lexicon_rank"] <= 10].all()
    shared = [
        len(set(a["word"]) & set(b["word"])) / 10
        for (_, a), (_, b) in zip(full.competitors.groupby("clip_id"), some.competitors.groupby("clip_id"), strict=True)
    ]
    assert np.mean(shared) > 0.99


def naive_trie(spellings):
    return sorted({ids[:n] for own in spellings for ids in own for n in range(1, len(ids) + 1)})


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4).map(tuple), min_size=1, max_size=3, unique=True),
        min_size=1,
        max_size=6,
    )
)
def test_the_trie_has_every_prefix_once_and_before_what_continues_it(spellings):
    trie = Lexicon._build(tuple(map(str, range(len(spellings)))), spellings, {})
    paths = []
    for node, (token, parent) in enumerate(zip(trie.tokens, trie.parents, strict=True)):
        assert parent < node
        paths.append((*(paths[parent] if parent >= 0 else ()), int(token)))
    assert paths == naive_trie(spellings)
    assert trie.depths.tolist() == [len(p) - 1 for p in paths]
    for word, own in enumerate(spellings):
        assert [paths[n] for n in trie.ends[word] if n >= 0] == own
    assert trie.is_end.tolist() == [p in {ids for own in spellings for ids in own} for p in paths]
    for node in range(-1, len(paths)):
        own = trie.children[trie.first_child[node + 1] : trie.first_child[node + 2]]
        assert sorted(own.tolist()) == np.flatnonzero(trie.parents == node).tolist()
    assert trie.above(np.array([len(paths) - 1, -1])).tolist() == [
        n for n, p in enumerate(paths) if paths[-1][: len(p)] == p
    ]


def test_a_tree_reads_every_branch_as_if_it_were_alone(whisper):
    model, tokenizer = whisper
    vocab = tokenizer.get_vocab()
    prompt = [vocab["<|startoftranscript|>"], vocab["<|notimestamps|>"]]
    generator = torch.Generator().manual_seed(0)
    states = torch.randn((2, 50, 24), generator=generator, dtype=torch.float64)
    from transformers.cache_utils import DynamicCache

    with torch.inference_mode():
        tree = TokenTree(model, states, DynamicCache(), prompt)
        first = tree.feed(np.array([[7, 8], [9, 10]]), np.array([[-1, 0], [-1, -1]]))  # 8 behind 7, in one call
        second = tree.feed(np.array([[11], [12]]), np.array([[1], [0]]))
        assert len(tree) == 3

        def plain(clip, ids):
            read = torch.tensor([[*prompt, *ids]])
            return model.model.decoder(input_ids=read, encoder_hidden_states=states[clip : clip + 1])[0][0, -1]

        for found, clip, ids in (
            (tree.root[1], 1, []), (first[0, 0], 0, [7]), (first[0, 1], 0, [7, 8]), (first[1, 1], 1, [10]),
            (second[0, 0], 0, [7, 8, 11]), (second[1, 0], 1, [9, 12]),
        ):  # fmt: skip
            assert torch.allclose(found, plain(clip, ids), atol=1e-12)
        tree.clear()
        shared = tree.feed(np.array([[7, 8]]), np.array([[-1, 0]]))  # one tree for both clips
        assert torch.allclose(shared[1, 1], plain(1, [7, 8]), atol=1e-12)


def test_a_file_of_words(probe, result, tmp_path):
    file = tmp_path / "words.tsv"
    lines = [f"{word}\t{12.5}\tnoun" for word in LEXICON]
    file.write_bytes(("\ufeff" + "\r\n".join([*lines[:3], "", "  ", *lines[3:]]) + "\r\n").encode())
    again = probe(sounds(), TEXTS, lexicon=file, competitors=99)
    assert again.competitors.equals(probe(sounds(), TEXTS, lexicon=str(file), competitors=99).competitors)
    assert np.abs(table(again) - table(result)).max() < 1e-10
    about = again.manifest["options"]["lexicon"]
    assert about["words"] == len(LEXICON)
    assert about == result.manifest["options"]["lexicon"]
    assert about != probe.extras(lexicon=LEXICON[1:]).describe()["lexicon"]


def test_words_that_are_named_twice_count_once(probe, result):
    with pytest.warns(AudiogramWarning, match="names 2 words twice.*first 'SICK'"):
        again = probe(sounds(), TEXTS, lexicon=[*LEXICON, "SICK", "ship."], competitors=99)
    assert np.abs(table(again) - table(result)).max() < 1e-10
    assert again.clips["lexicon_words"].tolist() == [len(LEXICON)] * 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lexicon": []}, "lexicon is empty"),
        ({"lexicon": ["sick", "thi\tck"]}, r"'thi\\tck'.*without tab"),
        ({"lexicon": ["sick", " "]}, "' '.*give words"),
        ({"lexicon": ["sick", 3]}, "holds 3"),
        ({"lexicon": ["sick", "..."]}, "punctuation only"),
        ({"lexicon": ["sick", "\ud800"]}, "cannot be written"),
        ({"lexicon": ["sick", "shipshape" * 9]}, "the decoder has room for 44"),
        ({"lexicon": "nowhere.txt"}, "nowhere.txt cannot be read"),
        ({"lexicon": LEXICON, "candidates": 99}, "candidates is 99, but the lexicon has 13 words"),
        ({"lexicon": LEXICON, "candidates": 0}, "candidates is 0"),
        ({"lexicon": LEXICON, "competitors": 0}, "competitors is 0"),
        ({"candidates": 3}, "give a lexicon too"),
    ],
)
def test_lists_that_cannot_be_used(probe, options, said):
    with pytest.raises(InputError, match=said):
        probe(sounds(), **options)


@pytest.mark.parametrize(("content", "said"), [(b"", "no words"), (b"\n\t1\n", "no words"), (b"na\xefve\n", "UTF-8")])
def test_files_that_cannot_be_used(probe, tmp_path, content, said):
    file = tmp_path / "words.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=said):
        probe(sounds(), lexicon=file)


def test_no_lexicon_says_how_to_ask(probe):
    with pytest.raises(InputError, match="lexicon="):
        _ = probe(sounds()[:1]).competitors


def test_where_no_word_was_scored_none_is_the_best():
    _, tokenizer = naive_probe.tiny_whisper(["fish", "ship"])
    lexicon = Lexicon.of(["fish", "ship"], tokenizer, room=40)
    scores, found = np.full((2, 2), -np.inf), np.zeros((2, 2), dtype=bool)
    scores[1, 1] = -3.0
    columns = competition.competition_columns(scores, found, [None, 1], lexicon)
    assert columns["lexicon_words"].tolist() == [0, 1]
    assert columns["lexicon_best"] == [None, "ship"]
    assert np.array_equal(columns["lexicon_entropy"], [np.nan, 0.0], equal_nan=True)
    assert np.array_equal(columns["lexicon_rank"], [np.nan, 1.0], equal_nan=True)
    assert np.allclose(columns["lexicon_mass"], [0.0, np.exp(-3.0)])
    assert competition.competitors(scores, lexicon, 5)["word"] == ["ship"]
    assert competition.competitors(scores, lexicon, 5)["probability"].tolist() == [1.0]
