"""What a report carries beside its text: packed columns, fairly chosen recordings, tokens, sounds heard on the fly."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from report_reading import Page, small, unpacked
from safetensors.numpy import save_file

from audiogram import Condition, condition
from audiogram.errors import InputError
from whisperprobe.comparison import Comparison, ProbeRun, compare, load_comparison
from whisperprobe.comparison.word_changes import word_changes
from whisperprobe.report import write_report
from whisperprobe.report.cells import number
from whisperprobe.report.choosing import fair_order, telling_clips, voices_of
from whisperprobe.report.limits import limits
from whisperprobe.report.methods import methods_text, training_options, training_table
from whisperprobe.report.packing import Dictionary, Numbers, Texts, pack, sort_key
from whisperprobe.report.recordings import recordings_of
from whisperprobe.report.sources import HeardThrough, SoundReader, sources_of
from whisperprobe.report.tables import word_table_of
from whisperprobe.report.tokens import collect_tokens
from whisperprobe.report.word_figures import draw_words

ROOT = Path(__file__).parents[2]


# Packed columns


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(st.none() | st.text(max_size=8), st.none() | st.floats(-1e4, 1e4)), max_size=40,
    ),
    st.integers(0, 3),
)  # fmt: skip
def test_packed_columns_come_back(rows: list[tuple[str | None, float | None]], decimals: int) -> None:
    texts = [text for text, _ in rows]
    values = np.array([np.nan if value is None else value for _, value in rows])
    packed = pack([Texts("text", texts, Dictionary.of("all", texts)), Numbers("value", values, decimals)])
    found = unpacked(packed)
    assert [row["text"] for row in found] == texts
    for row, value in zip(found, values, strict=True):
        if np.isnan(value):
            assert row["value"] is None
        else:
            assert row["value"] == pytest.approx(value, abs=0.5 * 10**-decimals + 1e-9)
    assert packed == pack([Texts("text", texts, Dictionary.of("all", texts)), Numbers("value", values, decimals)])


@pytest.mark.parametrize("most", [253, 254, 255, 256, 65_534, 65_535, 65_536, 4_294_967_294])
def test_largest_numbers_of_a_type_are_not_taken_for_missing(most: int) -> None:
    assert [row["n"] for row in unpacked(pack([Numbers("n", np.array([0, most, np.nan]))]))] == [0, most, None]


@pytest.mark.parametrize("most", [0, 252, 253, 254, 65_532, 65_533, 4_294_967_293])
def test_infinite_numbers_are_told_from_the_largest_and_from_missing_ones(most: int) -> None:
    values = [0, most, math.inf, None]
    packed = pack([Numbers("n", np.array(values, dtype=float)), Numbers("m", np.array([np.inf] * 4), 2)])
    assert [row["n"] for row in unpacked(packed)] == values
    assert [row["m"] for row in unpacked(packed)] == [math.inf] * 4
    assert [row["n"] for row in unpacked(pack([Numbers("n", np.array([0.0, most]))]))] == [0, most]


def test_dictionary_is_in_the_order_of_a_reader() -> None:
    dictionary = Dictionary.of("words", ["zoo", "Apfel", "äpfel", None, "apple", "apple"])
    assert dictionary.texts == ("Apfel", "äpfel", "apple", "zoo")
    assert sort_key("É") > sort_key("e")


def test_columns_that_cannot_be_packed_are_refused() -> None:
    two = np.array([1.0, 2.0])
    with pytest.raises(InputError, match=r"different lengths: \[1, 2\]"):
        pack([Numbers("a", two), Numbers("b", two[:1])])
    with pytest.raises(InputError, match="infinitely small"):
        pack([Numbers("a", np.array([-np.inf]))])
    with pytest.raises(InputError, match=r"from 0 to 4.*: too far"):
        pack([Numbers("a", np.array([0, 4_294_967_294, np.inf]))])
    with pytest.raises(InputError, match="too far"):
        pack([Numbers("a", np.array([0, 1e8]), 3)])
    with pytest.raises(InputError, match="'c' is not in its dictionary"):
        pack([Texts("a", ["c"], Dictionary.of("d", ["b"]))])
    with pytest.raises(InputError, match="two dictionaries are called 'd'"):
        pack([Texts("a", ["b"], Dictionary.of("d", ["b"])), Texts("c", ["b"], Dictionary.of("d", ["b"]))])


def test_cells_keep_what_sorting_and_files_need() -> None:
    assert number("50 %", 50.0, 40.0, 60.0).attributes == {"data-order": "50", "data-low": "40", "data-high": "60"}
    assert number("100 %", 100.0, 100.0, 100.0).attributes == {"data-order": "100"}
    assert number("–", np.nan, np.nan, np.nan).attributes == {}


# Choosing


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 12), st.integers(1, 5), st.integers(0, 3))
def test_words_and_voices_take_turns(n_words: int, n_voices: int, seed: int) -> None:
    words = [f"w{i}" for i in range(n_words) for _ in range(n_voices)]
    voices = [f"v{j}" for _ in range(n_words) for j in range(n_voices)]
    ids = [f"{v}/{w}" for v, w in zip(voices, words, strict=True)]
    found = list(fair_order(words, ids, voices, seed=seed))
    assert sorted(found) == sorted(ids)
    for size in range(1, len(found) + 1):
        times = Counter(i.split("/")[1] for i in found[:size])
        assert max(times.values()) - min(times.get(w, 0) for w in words) <= 1
    first_round = Counter(i.split("/")[0] for i in found[:n_words])
    assert max(first_round.values()) - min(first_round.get(f"v{j}", 0) for j in range(n_voices)) <= 1
    assert found == list(fair_order(words, ids, voices, seed=seed))


def test_what_is_asked_for_comes_first_and_once() -> None:
    found = list(fair_order(["a", None, "b"], ["1", "2", "3"], ["v"] * 3, first=["3", "none", "3"]))
    assert found[0] == "3"
    assert sorted(found) == ["1", "2", "3"]


def test_examples_are_not_all_of_one_voice() -> None:
    rows = []
    for word in ("one", "two", "three", "four"):
        for voice in ("ada", "ben", "cleo", "dan"):
            rows.append(("base", "normal", f"{voice}/{word}", word, 1.0))
            rows.append(("base", "hfloss", f"{voice}/{word}", word, 9.0))
    comparison = small(rows)
    chosen = telling_clips(comparison, ["normal", "hfloss"], "normal", 4, set(comparison.clips["clip_id"]))
    assert sorted(voices_of(comparison)[i] for i in chosen) == ["ada", "ben", "cleo", "dan"]
    assert len({i.split("/")[1] for i in chosen}) == 4


def test_voices_are_named_by_a_column_else_by_folders_else_by_nothing() -> None:
    comparison = small([("base", "normal", i, "w", 1.0) for i in ("a/1", "a/2", "b/1")])
    assert voices_of(comparison) == {"a/1": "a", "a/2": "a", "b/1": "b"}
    named = Comparison(comparison.clips.assign(speaker=["x", "y", None]), ("base",), ("normal",))
    assert voices_of(named) == {"a/1": "x", "a/2": "y", "b/1": ""}
    alone = small([("base", "normal", i, "w", 1.0) for i in ("1/a", "2/a")])
    assert set(voices_of(alone).values()) == {""}


# Changes of single words


def test_change_of_a_word_is_that_of_its_recordings_with_students_interval() -> None:
    before, after = [1.0, 2.0, 4.0], [5.0, 9.0, 6.0]
    rows = [("base", "normal", str(i), "sun", v) for i, v in enumerate(before)]
    rows += [("base", "hfloss", str(i), "sun", v) for i, v in enumerate(after)]
    rows += [("base", "normal", "x", "sea", 1.0), ("base", "hfloss", "x", "sea", 3.0)]
    rows += [("base", "normal", "alone", "sky", 1.0)]
    table = word_changes(small(rows), "word_surprisal", ("base", "normal"), ("base", "hfloss")).set_index("word")
    changes = np.subtract(after, before)
    half = 4.302652729911275 * changes.std(ddof=1) / np.sqrt(3)  # t of two degrees of freedom
    assert table.loc["sun", "change"] == pytest.approx(changes.mean())
    assert table.loc["sun", ["low", "high"]].tolist() == pytest.approx([changes.mean() - half, changes.mean() + half])
    assert table.loc["sea", "change"] == 2
    assert np.isnan(table.loc["sea", "low"])
    assert "sky" not in table.index
    with pytest.raises(InputError, match="unknown cell"):
        word_changes(small(rows), "word_surprisal", ("base", "normal"), ("base", "lfloss"))


# Tables


def test_every_model_is_shown_where_none_is_the_unadapted_one() -> None:
    comparison = small([(m, c, "1", "w", 2.0) for m in ("tiny", "small") for c in ("normal", "noise")])
    table = word_table_of(comparison, ["normal", "noise"], "normal")
    assert {c["key"] for c in table.columns} >= {"surprisal_tiny_noise", "surprisal_small_normal"}
    assert sum(width for _, width in table.groups) == len(table.columns)


def test_recordings_hold_every_cell_and_the_answers_of_all_seeds() -> None:
    comparison = small(
        [("base", c, i, w, b) for c in ("normal", "hf") for i, w, b in (("2", "b", 1.0), ("1", "c", 9.0))]
    )
    again = comparison.clips.assign(
        seed=pd.array([2] * 4, dtype="Int64"), prediction=["b", "d", "b", "d"], correct=False
    )
    both = Comparison(pd.concat([comparison.clips, again], ignore_index=True), ("base",), ("normal", "hf"))
    found = recordings_of(both, ["normal", "hf"])
    assert found.ids == ("2", "1")
    assert not found.several
    rows = unpacked(pack(found.columns))
    assert rows[1]["answer_0"] == "c / d"
    assert rows[0]["answer_1"] == "b"
    assert rows[0]["correct_0"] == 50
    assert [cell["condition"] for cell in found.cells] == ["normal", "hf"]


# Tokens


def write_tokens(folder: Path, write_probe_run: Callable[..., Path], bits: float, **options: Any) -> Path:
    """A run of two clips; the answer of each is two tokens, the word one in two spellings."""
    clips = pd.DataFrame(
        {
            "clip_id": ["v/sun", "v/sea"], "text": ["sun", "sea"], "prediction": ["sum", "sea"],
            "correct": [False, True], "word_surprisal": [bits, 0.1], "word_mean_rank": [9.0, 1.0],
        }
    )  # fmt: skip
    rows = []
    for clip_id, answer in (("v/sun", "m"), ("v/sea", "a")):
        for position, (token_id, token) in enumerate(((10, "su"), (11, answer))):
            rows.append((clip_id, "greedy", None, position, token_id, token, 0.5, 1, 0.3))
        rows.append((clip_id, "forced", "lower", 0, 20, clip_id[2:], 0.25, 3, 0.1))
        rows.append((clip_id, "forced", "capitalised", 0, 21, clip_id[2:].title(), 0.0, 400, 0.1))
    columns = ["clip_id", "decoding", "variant", "position", "token_id", "token", "probability", "rank", "entropy"]
    tokens = pd.DataFrame(rows, columns=columns)
    tokens["vector_row"] = pd.array([i if d == "greedy" else None for i, d in enumerate(tokens["decoding"])], "Int64")
    manifest = {"options": {"model": str(folder / "gone"), "vectors": "greedy", "top_k": 6, **options}}
    write_probe_run(folder, clips, manifest=manifest)
    part = "test-00000-of-00001"
    pq.write_table(pa.Table.from_pandas(tokens, preserve_index=False), folder / "tokens" / f"{part}.parquet")
    ids = np.tile(np.array([10, 11, 72, 73, 74, 75], dtype=np.uint16), (len(tokens), 1))
    log_p = np.tile(np.log([0.5, 0.25, 0.1, 0.05, 0.02, 0.01]).astype(np.float16), (len(tokens), 1))
    (folder / "vectors").mkdir()
    save_file({"top_k_ids": ids, "top_k_log_probabilities": log_p}, folder / "vectors" / f"{part}.safetensors")
    return folder


@pytest.fixture
def with_tokens(tmp_path: Path, write_probe_run: Callable[..., Path]) -> Comparison:
    runs = [
        ProbeRun(write_tokens(tmp_path / c, write_probe_run, bits), "base", c)
        for c, bits in (("normal", 2.0), ("hf", 8.0))
    ]
    return compare(runs, resamples=100, out=tmp_path / "comparison")


def test_tokens_are_those_of_the_runs_with_the_most_probable_spelling(with_tokens: Comparison) -> None:
    found = collect_tokens(with_tokens, ["v/sun", "v/sea"], {"v/sea": 0, "v/sun": 1})
    assert found.clips == 2
    rows = unpacked(found.packed)
    assert len(rows) == 2 * 2 * 3
    assert [row["clip"] for row in rows] == sorted(row["clip"] for row in rows)
    answer = [row for row in rows if row["clip"] == 1 and row["cell"] == 0 and row["spoken"] == 0]
    assert [(row["position"], row["token"], row["bits"]) for row in answer] == [(0, "su", 1.0), (1, "m", 1.0)]
    assert answer[0]["token_1"] == "su"
    assert answer[0]["bits_2"] == pytest.approx(2, abs=0.01)
    spoken = [row for row in rows if row["clip"] == 1 and row["cell"] == 0 and row["spoken"] == 1]
    assert [(row["token"], row["bits"], row["rank"], row["token_1"]) for row in spoken] == [("sun", 2.0, 3, None)]


def test_alternatives_without_a_tokenizer_go_by_number_and_that_is_said(with_tokens: Comparison) -> None:
    found = collect_tokens(with_tokens, ["v/sun"], {"v/sun": 0})
    row = unpacked(found.packed)[0]
    assert (row["token_2"], row["token_3"]) == ("m", "#72")
    assert any("shown by number" in note for note in found.notes)


def test_alternatives_are_named_by_the_models_own_tokenizer(
    tmp_path: Path, write_probe_run: Callable[..., Path]
) -> None:
    from transformers import WhisperTokenizer

    from whisperprobe.labels import tokenizer_hash

    model = str(files("whisperprobe.demo") / "model")
    tokenizer = WhisperTokenizer.from_pretrained(model)
    options = {"model": model, "tokenizer_sha256": tokenizer_hash(tokenizer)}
    run = write_tokens(tmp_path / "run", write_probe_run, 2.0, **options)
    found = collect_tokens(compare([ProbeRun(run, "base", "normal")], resamples=100), ["v/sun"], {"v/sun": 0})
    assert unpacked(found.packed)[0]["token_3"] == tokenizer.decode([72])
    assert not found.notes


def test_tokens_beyond_the_budget_are_left_out(with_tokens: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("whisperprobe.report.tokens.TOKEN_BUDGET", 10)
    found = collect_tokens(with_tokens, ["v/sea", "v/sun"], {"v/sea": 0, "v/sun": 1})
    assert found.clips == 1
    assert {row["clip"] for row in unpacked(found.packed)} == {0}


def test_runs_that_are_gone_or_hold_no_tokens_are_told_of(with_tokens: Comparison, tmp_path: Path) -> None:
    (tmp_path / "normal" / "manifest.json").unlink()
    found = collect_tokens(with_tokens, ["v/sun"], {"v/sun": 0})
    assert found.notes[0].startswith("1 probe runs are no longer")
    assert {row["cell"] for row in unpacked(found.packed)} == {1}
    assert collect_tokens(with_tokens, ["none"], {}).packed == ""
    assert collect_tokens(with_tokens, [], {}).packed == ""


def test_a_comparison_and_its_runs_may_be_moved_together(with_tokens: Comparison, tmp_path: Path) -> None:
    saved = json.loads((tmp_path / "comparison" / "comparison.json").read_text("utf-8"))
    assert [run["folder"] for run in saved["runs"]] == ["../normal", "../hf"]
    there = tmp_path.with_name(tmp_path.name + "-moved")
    tmp_path.rename(there)
    moved = load_comparison(there / "comparison")
    assert collect_tokens(moved, ["v/sun"], {"v/sun": 0}).clips == 1
    page = Page(write_report(moved, there / "r.html", title="t", conditions=[], corpora={}))
    assert page.rows_of("token-data")
    assert {row["recording"] for row in page.rows_of("clip-data")} == {"v/sun", "v/sea"}
    assert page.json_of("about")["tokens"] == 2


# Sounds


def test_conditions_on_the_fly_are_heard_as_the_probe_heard_them(
    tmp_path: Path, write_probe_run: Callable[..., Path]
) -> None:
    x = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4000) / 16_000)
    (tmp_path / "speech" / "v").mkdir(parents=True)
    soundfile.write(tmp_path / "speech" / "v" / "sun.wav", x, 16_000, subtype="FLOAT")
    (tmp_path / "speech" / "v" / "sea.wav").write_bytes(b"no sound")
    heard = condition("hfloss")
    run = write_tokens(tmp_path / "run", write_probe_run, 2.0, condition=heard.to_dict())
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["input"] = {"source": str(tmp_path / "speech")}
    (run / "manifest.json").write_text(json.dumps(manifest))
    comparison = compare([ProbeRun(run, "base", "hfloss")], resamples=100)
    sources = sources_of(comparison)
    assert sources == {"hfloss": HeardThrough(str(tmp_path / "speech"), heard)}
    reader = SoundReader(sources["hfloss"])
    assert "v/sun" in reader
    assert "v/none" not in reader
    found = reader.read(["v/sun", "v/sea", "v/none"])
    assert list(found) == ["v/sun"]
    sound, rate = found["v/sun"]
    np.testing.assert_allclose(sound, heard(x.astype(np.float32), 16_000), atol=1e-6)
    assert rate == 16_000
    page = Page(write_report(comparison, tmp_path / "r.html", title="t", conditions=[heard], corpora=sources))
    assert len(page.all("audio")) == 1
    (tmp_path / "speech").rename(tmp_path / "elsewhere")
    assert sources_of(comparison) == {}


# Methods


def test_options_of_trainings_are_told_and_where_they_differ(tmp_path: Path) -> None:
    for name, rate in (("lfloss", 1e-3), ("hfloss", 1e-4)):
        (tmp_path / name).mkdir()
        given = {"model": f"/somewhere/{name}/small", "max_steps": 160, "learning_rate": rate, "lora": None, "seed": 0}
        (tmp_path / name / "finetune.json").write_text(json.dumps(given | {"precision": "auto"}))
        (tmp_path / name / "results.json").write_text(json.dumps({"n_clips": 1088, "precision": "float32"}))
    folders = {name: tmp_path / name for name in ("lfloss", "hfloss")}
    comparison = small([("base", "normal", "1", "w", 1.0)])
    text = " ".join(methods_text(comparison, {"torch": "9.9"}, folders))
    assert "steps 160" in text
    assert "they differ in learning rate" in text
    assert "training recordings 1088; steps 160; precision float32; seed 0; they differ" in text
    assert "/somewhere" not in text
    table = training_table(folders)
    assert table is not None
    assert [str(cell) for cell in table.rows[1]] == [
        "hfloss", "a local checkpoint, “small”", "1088", "160", "0.0001", "float32", "0",
    ]  # fmt: skip
    assert training_table({"none": tmp_path}) is None
    (tmp_path / "hfloss" / "finetune.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        training_options(tmp_path / "hfloss")


def test_base_model_is_told_from_the_manifest(with_tokens: Comparison) -> None:
    assert "The unadapted model was a local checkpoint, “gone”" in methods_text(with_tokens, {})[0]


def test_methods_hold_every_condition_in_full() -> None:
    comparison = small([("base", "hfloss", "1", "w", 1.0)])
    low, high = condition("lfloss"), condition("hfloss")
    text = " ".join(methods_text(comparison, {}, conditions=[low, high]))
    assert "and hfloss (thresholds 125\u00a0Hz:\u00a010, 250\u00a0Hz:\u00a025" in text
    assert text.count("filter attenuation (n_fft = 2048") == 1
    assert "presentation level not modelled, added noise none, normalisation peak in all." in text
    assert "above" not in text
    soft = Condition("soft", high.audiogram, "attenuation", normalise="input")
    text = " ".join(methods_text(comparison, {}, conditions=[high, soft]))
    assert "normalisation peak; soft (thresholds" in text
    assert "normalisation input." in text
    assert "The conditions" not in " ".join(methods_text(comparison, {}))


def test_every_filter_of_the_library_says_what_it_does_not_model() -> None:
    from audiogram import list_filters

    for name in (info.name for info in list_filters()):
        heard = SimpleNamespace(name="mine", filter=name, audiogram=condition("hfloss").audiogram, normalise="none")
        text = " ".join(limits([heard]))
        assert f"“{name}” (mine)" in text
        assert "its own documentation" not in text
    elsewhere = SimpleNamespace(name="mine", filter="new", audiogram=heard.audiogram, normalise="none")
    assert any("“new” (mine) comes from elsewhere" in note for note in limits([elsewhere]))


def test_citation_agrees_with_the_file() -> None:
    from whisperprobe.report.citation import citations

    file = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    found = citations("1.0.0")
    for line in found["cff"].splitlines():
        assert line in file, line
    title = file.split('title: "')[1].split('"')[0]
    assert title in found["reference"]
    assert title in found["bibtex"]
    assert found["bibtex"].count("{") == found["bibtex"].count("}")


@pytest.mark.parametrize(("recordings", "panels"), [(3, 2), (1, 1)])
def test_changes_are_drawn_where_they_have_intervals(recordings: int, panels: int) -> None:
    rows = [
        ("base", c, f"{i}/{w}", w, bits + i)
        for c, bits in (("normal", 1.0), ("hf", 9.0))
        for w in ("sun", "sea")
        for i in range(recordings)
    ]
    rows = [(m, c, i, w, bits + (c == "hf") * float(i[0])) for m, c, i, w, bits in rows]
    comparison = small(rows)
    changes = word_changes(comparison, "word_surprisal", ("base", "normal"), ("base", "hf"))
    figure = draw_words(comparison, changes, "hf", "normal", ["normal", "hf"])
    assert len({trace.xaxis for trace in figure.data}) == panels
