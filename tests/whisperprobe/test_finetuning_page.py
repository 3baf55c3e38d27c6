"""The page on fine-tuning: every option is on it, its commands are ones, its recipes and folder are as it says."""

from __future__ import annotations

import inspect
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from typer.main import get_command

from whisperprobe import finetune, plot_training
from whisperprobe.cli import app
from whisperprobe.training.curve_tables import TRAINING_COLUMNS
from whisperprobe.training.model_folder import new_listener
from whisperprobe.training.recipes import DEFAULTS, RECIPES
from whisperprobe.training.tokenizer import train_tokenizer

PAGE = (Path(__file__).parents[2] / "docs" / "finetuning.md").read_text(encoding="utf-8")
COMMANDS: Any = get_command(app)
EVERYWHERE = {"--log-level", "--quiet", "--debug", "--help"}
BASH = [line for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


def flags(command: str) -> set[str]:
    """Long names of a command's options; of a switch the one that is not the default."""
    found = set()
    for parameter in COMMANDS.commands[command].params:
        if parameter.param_type_name == "option":
            found.add(next(o for o in parameter.opts if o.startswith("--")))
            found |= set(parameter.secondary_opts) if parameter.default is None else set()
    return found


@pytest.mark.parametrize("command", ["finetune", "plot-training"])
def test_every_option_of_the_commands_is_on_the_page(command: str) -> None:
    on_page = set(re.findall(r"--[a-z][a-z-]+", PAGE))
    switched = {"--no-evaluate": "--evaluate", "--no-group-by-length": "--group-by-length"}
    missing = {f for f in flags(command) - EVERYWHERE if f not in on_page}
    assert not missing - set(switched) - {switched[f] for f in on_page & set(switched)}


def test_every_argument_of_the_function_is_on_the_page() -> None:
    for name in inspect.signature(finetune).parameters:
        spelt = {f"--{name.replace('_', '-')}", f"{name}=", f"--{name}-rank", f"--no-{name}"}
        assert name in ("source", "out") or any(word in PAGE for word in spelt), name
    assert set(inspect.signature(plot_training).parameters) - {"runs", "out"} <= set(re.findall(r"--(\w+)", PAGE))


def test_no_option_of_the_page_is_unknown() -> None:
    known = {opt for c in ("finetune", "plot-training", "probe") for p in COMMANDS.commands[c].params
             for opt in (*p.opts, *p.secondary_opts)}  # fmt: skip
    assert set(re.findall(r"--[a-z][a-z-]+", PAGE)) - known == {"--nproc-per-node"}


@pytest.mark.parametrize("line", BASH)
def test_its_commands_are_ones(line: str) -> None:
    words = shlex.split(line)
    words = words[words.index("whisperprobe") + 1 :]
    COMMANDS.commands[words[0]].make_context(words[0], words[1:])


@pytest.mark.parametrize(("column", "recipe"), [(1, None), (2, "study"), (3, "pilot")])
def test_its_recipes_are_those_of_the_code(column: int, recipe: str | None) -> None:
    values = {**DEFAULTS, **(RECIPES[recipe] if recipe else {})}
    section = PAGE.partition("## Recipes")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    told = {re.findall(r"--([a-z-]+)", row[0])[-1].replace("-", "_"): row[column] for row in rows[2:]}
    length = f"{values['max_steps']} steps" if "max_steps" in values else f"{values['epochs']} epochs"
    assert told.pop("max_steps") == length
    assert set(told) == set(DEFAULTS) - {"epochs"}
    for name, shown in told.items():
        if values[name] is not None:
            assert shown == values[name] or float(shown) == values[name], name
        else:
            assert not re.fullmatch(r"[\d.e-]+", shown)


def test_its_tables_have_the_columns_that_it_names() -> None:
    curves = PAGE.partition("## Curves")[2].partition("evaluation.csv")[0]
    assert all(f"`{name}`" in curves for name in TRAINING_COLUMNS)


def test_its_shape_is_one() -> None:
    shape = tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1])
    made = new_listener(shape, train_tokenizer(["one", "two"], 300), language="en", task="transcribe", seed=0)
    assert made.window.seconds == 2


def test_the_folder_of_a_run_is_as_it_says(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        (tmp_path / "speech" / split).mkdir(parents=True)
        lines = ["file_name,text"]
        for i in range(4):
            x = 0.1 * np.random.default_rng(i).normal(size=4000)
            soundfile.write(tmp_path / "speech" / split / f"{i}.wav", x, 16_000)
            lines.append(f"{i}.wav,{('fish', 'ship')[i % 2]}")
        (tmp_path / "speech" / split / "metadata.csv").write_text("\n".join(lines) + "\n")
    shape = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "window_seconds": 1, "max_target_positions": 32}
    finetune(
        tmp_path / "speech", tmp_path / "model", from_config=shape, vocabulary_size=300, max_steps=4, eval_every=2,
        padding="trimmed",
    )  # fmt: skip
    section = PAGE.partition("## The folder")[2]
    told = set(re.findall(r"`([\w.]+)/?`", "\n".join(re.findall(r"^\| (`.*?) \|", section, re.MULTILINE))))
    there = {p.name for p in (tmp_path / "model").iterdir() if not p.name.startswith(".")}
    assert there == told - {"adapter", "checkpoints"}
    assert "](training.png)" in (tmp_path / "model" / "README.md").read_text()
    assert sorted(p.name for p in (tmp_path / "model" / "evaluations").iterdir()) == ["step-2.csv", "step-4.csv"]
