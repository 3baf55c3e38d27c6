"""The page on folders and files names every key and column that the stages write, and no other."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import soundfile
from praatio import textgrid

import audiogram as ag
import whisperprobe as wp
from audiogram.condition_files import read_condition
from audiogram.corpus.manifest import read_manifest
from whisperprobe import ldl

PAGE = Path(__file__).parents[2] / "docs" / "files.md"
MODEL = str(files("whisperprobe.demo") / "model")
EVERYTHING = {
    "layers": "all", "layer_vectors": True, "encoder": "mean", "lexicon": ["sick", "thick", "chick"], "candidates": 2,
    "n_best": 2, "homophones": [["sick", "sikh"]], "padding": "trimmed", "agreement": 0,
}  # fmt: skip


def rows(heading: str) -> list[list[str]]:
    """Rows of the tables under a heading, cell by cell."""
    parts = re.split(r"^#+ (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    text = dict(zip(parts[1::2], parts[2::2], strict=True))[heading]
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def names(cell: str) -> list[str]:
    """What is named in a cell, without what brackets explain."""
    return re.findall(r"`([\w-]+)`", re.sub(r"\([^)]*\)", "", cell))


def keys_of(heading: str) -> set[str]:
    return {name for row in rows(heading) for name in names(row[0])}


OPTIONS = {name: set(names(row[1])) for row in rows("Options of each stage") for name in names(row[0])}
COLUMNS = {(stage, row[1].strip("`")): names(row[2]) for row in rows("Tables")[:10] for stage in names(row[0])}


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """A folder of every stage, over three words; of `probe` and `align` in several ways."""
    root = tmp_path_factory.mktemp("stages")
    speech, grids = root / "speech", root / "grids"
    for split in ("train", "test"):
        (speech / split).mkdir(parents=True)
        (grids / split).mkdir(parents=True)
        for clip in [*ag.open_corpus(files("whisperprobe.demo") / "speech").read(split, range(3))]:
            sound, word = speech / split / f"{clip.text.lower()}.wav", clip.text.lower()
            ag.write(sound, *clip.audio())
            end = soundfile.info(sound).duration
            grid = textgrid.Textgrid()
            grid.addTier(textgrid.IntervalTier("words", [(0.0, end, word)], 0, end))
            grid.save(str(grids / split / f"{word}.TextGrid"), "long_textgrid", includeBlankSpaces=True)
    masked = ag.mask_corpus(speech, root / "masked", conditions=["hfloss"])["hfloss"]
    wp.write_log_mel(speech, root / "log-mel", model=MODEL)
    wp.extract_corpus(speech, root / "extract")
    wp.align_corpus(speech, root / "align", method="textgrid", textgrids=grids)
    wp.align_corpus(speech, root / "align-whisper", method="whisper", model=MODEL, device="cpu")
    wp.cut_words(speech, root / "align", root / "words")
    probe = wp.Probe.from_pretrained(MODEL, device="cpu")
    wp.probe_corpus(masked, root / "probe", model=MODEL, device="cpu")
    wp.probe_corpus(speech, root / "probe-everything", model=probe, max_samples=2, **EVERYTHING)
    wp.probe_corpus(speech, root / "probe-long", model=probe, long_audio="windows")
    ldl.write_cues(speech, root / "ldl-cues")
    ldl.train_corpus(speech, root / "fit", semantics=f"whisper:{MODEL}", rule="endstate", held_out=None)
    ldl.evaluate_corpus(speech, root / "ldl", model=root / "fit")
    found: dict[str, list[Path]] = {}
    for manifest in sorted(root.glob("*/manifest.json")):
        found.setdefault(read_manifest(manifest.parent)["stage"], []).append(manifest.parent)
    return found


def manifests(stages: dict[str, list[Path]]) -> list[dict[str, Any]]:
    return [read_manifest(folder) for folders in stages.values() for folder in folders]


def test_every_stage_is_on_the_page(stages: dict[str, list[Path]]) -> None:
    assert set(stages) | {"import"} == set(OPTIONS)  # an import needs a release; its keys are two lines below
    assert {name for row in rows("manifest.json") if row[0] == "`stage`" for name in names(row[1])} == set(OPTIONS)


def test_every_key_of_a_manifest_is_on_the_page_and_no_other(stages: dict[str, list[Path]]) -> None:
    assert {key for manifest in manifests(stages) for key in manifest} == keys_of("manifest.json")
    assert {key for manifest in manifests(stages) for key in manifest["input"]} == keys_of("input")


def test_options_of_every_stage_are_on_the_page(stages: dict[str, list[Path]]) -> None:
    given = {stage: {key for f in folders for key in read_manifest(f)["options"]} for stage, folders in stages.items()}
    given["align"] |= {"unknown"}  # of a CTC model, which is not at hand
    given["probe"] |= {"timestamps"}  # of models that have them, which the demo's has not
    shown = {stage: options for stage, options in OPTIONS.items() if stage != "import"}
    assert given == shown


def test_columns_of_every_table_are_on_the_page(stages: dict[str, list[Path]]) -> None:
    checked = 0
    for stage, folders in stages.items():
        for table in read_manifest(folders[0])["tables"] if stage != "probe" else []:
            columns = pq.read_schema(next((folders[0] / table).glob("*.parquet"))).names
            if (stage, table) == ("ldl", "clips"):
                columns = columns[:2]  # the others are on the page of the lexicon
            assert columns == COLUMNS[stage, table], (stage, table)
            checked += 1
    assert checked == len(COLUMNS) - 2  # the import's, and those of a probe


def test_the_columns_of_a_lexicon_are_on_its_page(stages: dict[str, list[Path]]) -> None:
    page = PAGE.with_name("ldl.md").read_text(encoding="utf-8")
    columns = pq.read_schema(next((stages["ldl"][0] / "clips").glob("*.parquet"))).names
    assert [name for name in columns if f"`{name}`" not in page and name not in ("clip_id", "text")] == []


def test_files_of_a_stage_lie_as_the_page_draws_them(stages: dict[str, list[Path]]) -> None:
    failures = pq.read_schema(stages["mask"][0] / "failures" / "test-00000-of-00001.parquet").names
    assert "| all | `failures` | " + ", ".join(f"`{name}`" for name in failures) in PAGE.read_text(encoding="utf-8")
    for stage, folders in stages.items():
        here = {path.name for path in folders[0].iterdir() if not path.name.startswith(".")}
        known = {"manifest.json", "README.md", "failures", "vectors", *read_manifest(folders[0])["tables"]}
        assert here <= known | ({"train", "test"} if stage == "extract" else set()), stage


def test_files_that_people_write_have_the_keys_of_the_page(tmp_path: Path) -> None:
    bone = ag.Audiogram([500], [5])
    ear = ag.Audiogram([500, 1000], [10, 20], ear="left", name="x", masked=[500], no_response=[1000], bone=bone)
    assert set(ear.to_dict()) == keys_of("An audiogram")
    noise = {"kind": "white", "snr_db": 5}
    full = ag.Condition("c", ear, level={"speech_dbspl": 65, "full_scale_dbspl": 90}, noise=noise)
    assert set(full.to_dict()) == keys_of("A condition")
    (tmp_path / "short.json").write_text(json.dumps({"audiogram": "500:10,1000:20"}))
    short = read_condition(tmp_path / "short.json")
    defaults: dict[str, Callable[[str], bool]] = {
        "name": lambda said: short.name == "short" and "file" in said,
        "filter": lambda said: f'`"{short.filter}"`' == said,
        "normalise": lambda said: f'`"{short.normalise}"`' == said,
    }
    said = {names(row[0])[0]: row[1] for row in rows("A condition")}
    assert all(check(said[name]) for name, check in defaults.items())
