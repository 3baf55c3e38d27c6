"""Shell completion: scripts for bash, zsh and fish, and the candidates that the shells are given, by their protocol."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import typer

import audiogram.cli
import whisperprobe.cli
from audiogram import conditions, list_filters, presets, sound
from audiogram.console import LEVELS, run_app
from whisperprobe.alignment.corpus import METHODS
from whisperprobe.ldl.cues_matrix import KINDS
from whisperprobe.ldl.cues_summaries import SAMPLINGS
from whisperprobe.ldl.fit_options import ALL_RULES
from whisperprobe.probing import export
from whisperprobe.probing.batches import VECTORS
from whisperprobe.probing.extras import ENCODER
from whisperprobe.probing.windowing import LONG_AUDIO, PADDING
from whisperprobe.training.augment import NAMED
from whisperprobe.training.options import SCHEDULERS
from whisperprobe.training.recipes import RECIPES

APPS = {
    name: typer.main.get_command(one.cli.app)
    for name, one in (("audiogram", audiogram), ("whisperprobe", whisperprobe))
}
HEAVY = ("torch", "transformers", "datasets", "pandas", "pyarrow", "matplotlib", "plotly", "numba")


def asked(words: Sequence[str], shell: str) -> dict[str, str]:
    """What a shell puts into the environment when Tab is pressed behind the last of these words."""
    variable = f"_{words[0].upper()}_COMPLETE"
    line = " ".join(words)
    if shell == "bash":
        return {variable: "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    fish = {"_TYPER_COMPLETE_FISH_ACTION": "get-args"} if shell == "fish" else {}
    return {variable: f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line, **fish}


def candidates(
    words: Sequence[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str = "bash"
) -> list[str]:
    with monkeypatch.context() as patch:
        for name, value in asked(words, shell).items():
            patch.setenv(name, value)
        patch.setattr(sys, "argv", [words[0]])
        assert run_app(APPS[words[0]], []) == 0
    return capsys.readouterr().out.split("\n")[:-1]


def installed(program: str) -> str:
    return str(Path(sys.executable).with_name(program))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("audiogram sh", ["show"]),
        ("audiogram ", ["presets", "show", "plot", "filters", "simulate", "mask"]),
        ("audiogram show bisgaard-s", ["bisgaard-s1", "bisgaard-s2", "bisgaard-s3"]),
        ("audiogram show ", list(presets())),
        ("audiogram mask corpus -c ", list(conditions())),
        ("audiogram simulate a b --norm", ["--normalise"]),
        ("audiogram simulate a b --filter ", [one.name for one in list_filters()]),
        ("audiogram simulate a b --audiogram h", ["hfloss"]),
        ("audiogram mask corpus --format ", list(sound.FORMATS)),
        ("audiogram presets --log-level ", list(LEVELS)),
        ("audiogram simulate a b --option ", []),
        ("whisperprobe plot", ["plot-training"]),
        ("whisperprobe commonvoice ", ["download", "import"]),
        ("whisperprobe ldl e", ["evaluate"]),
        ("whisperprobe probe speech --la", ["--layers", "--layer-vectors", "--language"]),
        ("whisperprobe probe speech --vectors ", list(VECTORS)),
        ("whisperprobe probe speech --padding ", list(PADDING)),
        ("whisperprobe probe speech --long-audio ", list(LONG_AUDIO)),
        ("whisperprobe probe speech --encoder ", sorted(ENCODER)),
        ("whisperprobe probe speech --condition l", ["lfloss"]),
        ("whisperprobe export run --format ", list(export.FORMATS)),
        ("whisperprobe align speech --method ", list(METHODS)),
        ("whisperprobe finetune speech --recipe ", list(RECIPES)),
        ("whisperprobe finetune speech --scheduler ", list(SCHEDULERS)),
        ("whisperprobe finetune speech --augment ", list(NAMED)),
        ("whisperprobe ldl cues words --kind ", list(KINDS)),
        ("whisperprobe ldl cues words --sampling ", list(SAMPLINGS)),
        ("whisperprobe ldl train words --rule ", list(ALL_RULES)),
        ("whisperprobe finetune speech --model ", []),  # folders: the shell's own completion
    ],
)
def test_candidates(
    line: str, expected: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [one for one in candidates(line.split(" "), monkeypatch, capsys) if one]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize("program", APPS)
def test_other_shells_are_given_help_texts_too(
    program: str, shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def below(words: list[str], command: Any) -> None:
        said = "\n".join(candidates([*words, "--"], monkeypatch, capsys, shell))
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--") and not parameter.hidden:
                    assert option in said, (words, option)
        assert "Show this message and exit" in said
        for name, child in getattr(command, "commands", {}).items():
            below([*words, name], child)

    below([program], APPS[program])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize("program", APPS)
def test_script(program: str, shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(f"_{program.upper()}_COMPLETE", f"source_{shell}")
    monkeypatch.setattr(sys, "argv", [program])
    assert run_app(APPS[program], []) == 0
    script = capsys.readouterr().out
    assert f"_{program.upper()}_COMPLETE=complete_{shell}" in script
    assert script.count(program) >= 3
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)  # the shell can read it


@pytest.mark.parametrize("program", APPS)
def test_help_offers_to_install_it(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(APPS[program], ["--help"]) == 0
    shown = capsys.readouterr().out
    assert "--install-completion" in shown
    assert "--show-completion" in shown


def test_a_real_bash_completes(tmp_path: Path) -> None:
    # as bash does it when Tab is pressed: the function of the script, with the words of the line in COMP_WORDS
    script = subprocess.run(
        [installed("whisperprobe")],
        env=os.environ | {"_WHISPERPROBE_COMPLETE": "source_bash"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    words = ["whisperprobe", "export", "run", "--format", "le"]
    (tmp_path / "tab.sh").write_text(
        f"{script}\nCOMP_WORDS=({shlex.join(words)}); COMP_CWORD=4\n"
        '_whisperprobe_completion "$0"; printf "%s\\n" "${COMPREPLY[@]}"\n',
        encoding="utf-8",
    )
    around = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    call = ["bash", "-c", f'source "{tmp_path}/tab.sh"', installed("whisperprobe")]
    done = subprocess.run(call, env=around, capture_output=True, text=True, check=True)
    assert done.stdout == "legacy-json\n"


def test_tab_installs_in_a_home_and_detects_its_shell(tmp_path: Path) -> None:
    around = os.environ | {"HOME": str(tmp_path)}
    call = ["bash", "-c", f"{shlex.quote(installed('audiogram'))} --install-completion; true"]
    done = subprocess.run(call, env=around, capture_output=True, text=True, check=True)
    assert "bash completion installed" in done.stdout
    assert "_AUDIOGRAM_COMPLETE" in (tmp_path / ".bash_completions" / "audiogram.sh").read_text(encoding="utf-8")
    assert "audiogram.sh" in (tmp_path / ".bashrc").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", ["whisperprobe probe speech --vectors ", "audiogram simulate a b --filter "])
def test_completing_imports_nothing_heavy(line: str) -> None:
    words = line.split(" ")
    code = (
        f"import sys; sys.argv = [{words[0]!r}]\nfrom audiogram.console import run_app\n"
        f"from {words[0]}.cli import app\nrun_app(app, [])\nprint([m for m in {HEAVY!r} if m in sys.modules])"
    )
    around = os.environ | asked(words, "bash")
    done = subprocess.run([sys.executable, "-c", code], env=around, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) > 2
    assert done.stdout.splitlines()[-1] == "[]"
