"""The command line: what it prints, what it writes, and its exit codes."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from audiogram import condition, preset, sound
from audiogram.cli import app
from audiogram.console import run_app
from audiogram.thresholds import Audiogram


@pytest.fixture
def clip(tmp_path):
    x = 0.3 * np.random.default_rng(0).standard_normal(8001).clip(-3, 3)
    sound.write(tmp_path / "in.wav", x.astype(np.float32), 16_000, "wav32f")
    return tmp_path / "in.wav"


def run(*arguments):
    return run_app(app, [str(one) for one in arguments])


@pytest.mark.parametrize("command", ["presets", "show", "filters", "simulate", "mask"])
def test_help_begins_with_examples(command, capsys):
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    assert f"audiogram {command}" in text.split("Options:")[0].split("Usage:")[1].split("\n", 1)[1]
    for option in ("--log-level", "--quiet", "--debug"):
        assert option in text


def test_help_lists_all_commands(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    for command in ("presets", "show", "filters", "simulate", "mask"):
        assert f"  {command} " in text


def test_presets(capsys):
    assert run("presets") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t") == ["name", "PTA4 (dB HL)", "grade"]
    assert lines[1:4] == ["normal\t10\tnormal", "lfloss\t47.5\tmoderate", "hfloss\t62.5\tmoderately severe"]


def test_show(capsys, tmp_path):
    assert run("show", "hfloss") == 0
    out = capsys.readouterr().out
    assert "8000\t100" in out
    assert "PTA4 62.5 dB HL, moderately severe" in out
    assert run("show", "250:10,500:20") == 0
    assert "PTA4 unknown: no threshold at 1000, 2000, 4000 Hz" in capsys.readouterr().out
    assert run("show", "lfloss", "--json") == 0
    text = capsys.readouterr().out
    assert Audiogram.from_dict(json.loads(text)) == preset("lfloss")
    (tmp_path / "ear.json").write_text(text)
    assert run("show", tmp_path / "ear.json") == 0
    assert "47.5" in capsys.readouterr().out


def test_filters(capsys):
    assert run("filters") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t") == ["name", "distribution", "version", "state"]
    assert any(line.startswith("attenuation\taudiogram\t1.") and line.endswith("\tavailable") for line in lines)


def test_simulate_a_condition(clip, tmp_path, capsys):
    assert run("simulate", clip, tmp_path / "out.flac", "--condition", "hfloss") == 0
    assert "out.flac: 0.50 s at 16000 Hz, flac24" in capsys.readouterr().out
    heard, rate = sound.read(tmp_path / "out.flac")
    wanted = condition("hfloss")(sound.read(clip)[0], 16_000)
    assert rate == 16_000
    assert np.abs(heard - wanted).max() <= 2.0**-23


def test_simulate_an_audiogram_with_options(clip, tmp_path):
    arguments = ["--audiogram", "1000:20", "--filter", "attenuation", "--option", "hop_length=256", "--option"]
    arguments += ["interpolation=erb", "--sample-rate", "8000", "--format", "wav32f", "--quiet"]
    assert run("simulate", clip, tmp_path / "out.wav", *arguments) == 0
    heard, rate = sound.read(tmp_path / "out.wav")
    x, _ = sound.read(clip)
    assert rate == 8000
    np.testing.assert_allclose(heard, 0.1 * sound.resample(x, 16_000, 8000), rtol=1e-6)


def test_simulate_noise_and_level(clip, tmp_path):
    common = ["simulate", clip, tmp_path / "out.wav", "--audiogram", "hfloss", "--normalise", "peak"]
    assert run(*common, "--noise", "speech-shaped", "--snr-db", "5", "--seed", "2") == 0
    first = (tmp_path / "out.wav").read_bytes()
    assert run(*common, "--noise", "speech-shaped", "--snr-db", "5", "--seed", "3") == 0
    assert (tmp_path / "out.wav").read_bytes() != first
    assert run(*common, "--noise", clip, "--snr-db", "5") == 0
    assert run(*common, "--full-scale-dbspl", "100", "--speech-dbspl", "65") == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["show", "hflos"], "Did you mean 'hfloss'"),
        (["show", "250:10,100:5"], "must increase"),
        (["presets", "--log-level", "loud"], "--log-level 'loud' is not one of"),
        (["simulate", "{clip}", "{out}"], "either --condition or --audiogram, received neither"),
        (["simulate", "{clip}", "{out}", "--condition", "mine"], "Others are made in Python"),
        (["simulate", "{clip}", "{out}", "--condition", "hflos"], "Did you mean 'hfloss'"),
        (["simulate", "{clip}", "{out}", "--condition", "hfloss", "--audiogram", "hfloss"], "received both"),
        (["simulate", "{clip}", "{out}", "--condition", "hfloss", "--normalise", "rms"], "--condition fixes"),
        (["simulate", "none.wav", "{out}", "--condition", "hfloss"], "no such sound file"),
        (["simulate", "{clip}", "out.ogg", "--condition", "hfloss"], "no sound format is known"),
        (["simulate", "{clip}", "{out}", "--condition", "hfloss", "--max-seconds", "0.1"], "more than the 0.1 s"),
        (["simulate", "{clip}", "{out}", "--condition", "hfloss", "--max-seconds", "nan"], "a number of seconds"),
        (["simulate", "{clip}", "{out}", "--audiogram", "hfloss", "--option", "n_fft"], "not KEY=VALUE"),
        (["simulate", "{clip}", "{out}", "--audiogram", "hfloss", "--option", "nfft=1"], "Did you mean 'n_fft'"),
        (["simulate", "{clip}", "{out}", "--audiogram", "hfloss", "--filter", "atenuation"], "'attenuation'"),
        (["simulate", "{clip}", "{out}", "--audiogram", "hfloss", "--speech-dbspl", "65"], "does not depend on level"),
        (["simulate", "{clip}", "{out}", "--audiogram", "hfloss", "--noise", "pink", "--snr-db", "0"], "neither white"),
        (["simulate", "{clip}", "{out}", "--audiogram", "hfloss", "--noise", "white"], "needs --snr-db"),
        (["simulate", "{clip}", "{out}", "--audiogram", "hfloss", "--snr-db", "3"], "needs --noise"),
    ],
)
def test_wrong_calls_exit_with_2_and_a_line(arguments, words, clip, tmp_path, capsys):
    filled = [one.format(clip=clip, out=tmp_path / "out.flac") for one in arguments]
    assert run(*filled) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    assert not (tmp_path / "out.flac").exists()


def test_what_nobody_foresaw_is_two_lines_too(monkeypatch, capsys):
    def broken():
        raise KeyError("no such thing")

    monkeypatch.setattr("audiogram.standard_audiograms.presets", broken)
    assert run("presets") == 1
    assert capsys.readouterr().err.startswith("error: unexpected KeyError: 'no such thing'\n")
    with pytest.raises(KeyError):
        run("presets", "--debug")


def test_usage_errors_exit_with_2(capsys):
    assert run("no-such-command") == 2
    assert run("presets", "--no-such-option") == 2
    assert "no-such-option" in capsys.readouterr().err


def test_an_unwritable_target_exits_with_1(clip, tmp_path, capsys):
    assert run("simulate", clip, tmp_path / "none" / "out.flac", "--condition", "normal") == 1
    assert "cannot write" in capsys.readouterr().err


def test_quiet_prints_nothing_and_debug_raises(clip, tmp_path, capsys):
    assert run("presets", "--quiet") == 0
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="unknown audiogram"):
        run("show", "hflos", "--debug")
    run("presets")  # what --debug set is set back


def test_the_installed_command():
    script = shutil.which("audiogram", path=str(__import__("pathlib").Path(sys.executable).parent))
    assert script, "the package is installed without its command"
    done = subprocess.run([script, "show", "hflos"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
