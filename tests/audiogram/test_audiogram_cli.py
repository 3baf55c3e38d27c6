"""The command line: what it prints, what it writes, and its exit codes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from audiogram import Condition, Listener, condition, open_corpus, preset, presets, sound
from audiogram.cli import app
from audiogram.console import run_app
from audiogram.errors import AudiogramWarning
from audiogram.interchange import from_json, write_json
from audiogram.thresholds import Audiogram


@pytest.fixture
def clip(tmp_path):
    x = 0.3 * np.random.default_rng(0).standard_normal(8001).clip(-3, 3)
    sound.write(tmp_path / "in.wav", x.astype(np.float32), 16_000, "wav32f")
    return tmp_path / "in.wav"


def run(*arguments):
    return run_app(app, [str(one) for one in arguments])


@pytest.mark.parametrize("command", ["presets", "show", "plot", "filters", "simulate", "mask"])
def test_help_begins_with_examples(command, capsys):
    assert run(command, "--help") == 0
    text = capsys.readouterr().out
    assert f"audiogram {command}" in text.split("Options:")[0].split("Usage:")[1].split("\n", 1)[1]
    for option in ("--log-level", "--quiet", "--debug"):
        assert option in text


def test_help_lists_all_commands(capsys):
    assert run("--help") == 0
    text = capsys.readouterr().out
    for command in ("presets", "show", "plot", "filters", "simulate", "mask"):
        assert f"  {command} " in text


def test_presets(capsys):
    assert run("presets") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split("\t") == ["name", "PTA4 (dB HL)", "grade", "SII (65 dB SPL)"]
    assert [line.split("\t")[0] for line in lines[1:]] == list(presets())
    assert lines[1:4] == [
        "normal\t10\tnormal\t0.99",
        "lfloss\t47.5\tmoderate\t0.34",
        "hfloss\t62.5\tmoderately severe\t0.19",
    ]


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


EARS = Listener(
    left=Audiogram([500, 1000, 2000, 4000], [10, 20, 90, 110], masked=[2000], no_response=[2000, 4000]),
    right=Audiogram([500, 1000, 2000, 4000], [10, 20, 30, 40], name="after", bone=Audiogram([500, 750], [5, 10])),
    id="p1",
)


def test_show_says_what_was_masked_not_heard_or_through_bone(tmp_path, capsys):
    write_json(tmp_path / "ears.json", EARS)
    assert run("show", tmp_path / "ears.json") == 0
    right, left = capsys.readouterr().out.split("\n\n")
    assert right.startswith("right ear after\nfrequency (Hz)\tthreshold (dB HL)\tbone (dB HL)\n500\t10\t5\n750\t\t10\n")
    assert "2000\t90 (masked, no response)\n4000\t110 (no response)\n" in left
    assert "PTA4 at least 57.5 dB HL, moderately severe or worse" in left
    assert f"SII {EARS.right.sii(65):.2f} for speech at 65 dB SPL" in right
    assert "SII at most 0." in left
    assert run("show", tmp_path / "ears.json", "--json") == 0
    assert from_json(capsys.readouterr().out) == EARS


def test_plot(tmp_path, capsys):
    write_json(tmp_path / "ears.json", [EARS, EARS])
    for name, magic in (("a.png", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.PDF", b"%PDF")):
        assert run("plot", "hfloss", "500:20,4000:60", tmp_path / "ears.json", "-o", tmp_path / name, "--grades") == 0
        assert (tmp_path / name).read_bytes().startswith(magic)
        assert capsys.readouterr().out == f"{tmp_path / name}\n"
    assert run("plot", "hfloss", "-o", tmp_path / "b.svg", "--speech-banana", "--quiet") == 0
    assert b'id="speech"' in (tmp_path / "b.svg").read_bytes()


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


OWN = """
audiogram = "ear.csv"
normalise = "peak"
options = { interpolation = "erb" }
noise = { kind = "file", file = "babble.wav", snr_db = 10 }
"""


@pytest.fixture
def own(tmp_path):
    """A condition in a file, with the files it names beside it."""
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "ear.csv").write_text("250,10\n1000,30\n4000,60\n")
    sound.write(folder / "babble.wav", np.random.default_rng(5).normal(0, 0.1, 4000).astype(np.float32), 16_000, "wav")
    (folder / "own.toml").write_text(OWN)
    return folder / "own.toml"


def test_simulate_a_condition_of_one_s_own(own, clip, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("simulate", clip, "out.wav", "--condition", own, "--format", "wav32f") == 0
    heard, _ = sound.read("out.wav")
    noise = {"kind": "file", "file": str(own.parent / "babble.wav"), "snr_db": 10}
    ear = Audiogram([250, 1000, 4000], [10, 30, 60], name="ear")
    wanted = Condition("own", ear, options={"interpolation": "erb"}, normalise="peak", noise=noise)
    np.testing.assert_array_equal(heard, wanted(sound.read(clip)[0], 16_000))
    Path("own.json").write_text(json.dumps(wanted.to_dict()))
    assert run("simulate", clip, "again.wav", "--condition", "own.json", "--format", "wav32f") == 0
    assert Path("again.wav").read_bytes() == Path("out.wav").read_bytes()


def test_what_is_too_faint_is_said(clip, tmp_path, capsys):
    with pytest.warns(AudiogramWarning, match=r"peaks \d+ dB below full scale.*--normalise peak"):
        assert run("simulate", clip, tmp_path / "out.wav", "--audiogram", "1000:60", "--format", "wav32f") == 0
    assert np.abs(sound.read(tmp_path / "out.wav")[0]).max() < 0.01
    assert run("simulate", clip, tmp_path / "out.wav", "--audiogram", "1000:60", "--normalise", "peak") == 0
    with pytest.warns(AudiogramWarning, match="dB below full scale"):  # --quiet is for progress, not for warnings
        assert run("simulate", clip, tmp_path / "out.wav", "--audiogram", "1000:60", "--quiet") == 0


def test_noise_shaped_by_a_corpus(clip, tmp_path):
    (tmp_path / "corpus").mkdir()
    shutil.copy(clip, tmp_path / "corpus" / "a.wav")
    common = ["simulate", clip, tmp_path / "out.wav", "--audiogram", "1000:10", "--snr-db", "0"]
    assert run(*common, "--noise", tmp_path / "corpus") == 0
    shaped = sound.read(tmp_path / "out.wav")[0]
    assert run(*common, "--noise", "white") == 0
    assert not np.array_equal(sound.read(tmp_path / "out.wav")[0], shaped)


def test_mask_with_conditions_of_one_s_own(own, clip, tmp_path, capsys):
    for split in ("train", "test", "validation"):
        (tmp_path / "corpus" / split).mkdir(parents=True)
        shutil.copy(clip, tmp_path / "corpus" / split / "a.wav")
    arguments = ["mask", tmp_path / "corpus", tmp_path / "out", "-c", own, "-c", "normal"]
    assert run(*arguments, "--splits", "train, test", "--splits", "validation") == 0
    assert capsys.readouterr().out.splitlines() == [f"own: {tmp_path}/out_own", f"normal: {tmp_path}/out_normal"]
    masked = open_corpus(tmp_path / "out_own")
    assert set(masked.splits) == {"train", "test", "validation"}
    manifest = json.loads((tmp_path / "out_own" / "manifest.json").read_text())
    assert manifest["condition"]["audiogram"]["thresholds"] == [10, 30, 60]
    assert run(*arguments[:2], tmp_path / "some", "-c", "normal", "--splits", "validation,train") == 0
    assert set(open_corpus(tmp_path / "some_normal").splits) == {"train", "validation"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.toml", "audiogram = ", "is not TOML"),
        ("a.json", "{", "is not JSON"),
        ("a.toml", "\xff", "is not TOML"),
        ("a.json", "[1]", "a condition is a mapping"),
        ("a.toml", 'filter = "attenuation"', "no 'audiogram'"),
        ("a.toml", 'audiogram = "hflos"', "Did you mean 'hfloss'"),
        ("a.toml", 'audiogram = "hfloss"\nfiltr = "x"', "Did you mean 'filter'"),
        ("none.toml", None, "cannot read condition file"),
        ("a.yaml", "", "a .toml or .json file with a condition"),
    ],
)
def test_condition_files_that_are_none(name, content, words, clip, tmp_path, capsys):
    if content is not None:
        (tmp_path / name).write_text(content, encoding="latin-1")
    assert run("simulate", clip, tmp_path / "out.wav", "--condition", tmp_path / name) == 2
    error = capsys.readouterr().err
    assert words in error
    assert name in error


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
        (["simulate", "{clip}", "{out}", "--condition", "hfloss", "--speech-dbspl", "0"], "--condition fixes"),
        (["simulate", "{clip}", "{out}", "--condition", "hfloss", "--seed", "0"], "--condition fixes"),
        (["simulate", "{clip}", "{out}", "--condition", "hfloss", "--snr-db", "5"], "--condition fixes"),
        (["simulate", "{clip}", "{out}", "--audiogram", "hfloss", "--seed", "3"], "a filter's is --option seed"),
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
        (["mask", "{clip}", "{out}", "--sample-rate", "1"], "nothing above 0.5 Hz"),
        (["mask", "{clip}", "{out}", "--sample-rate", "16"], "Was it kHz"),
        (["mask", "{clip}", "{out}", "--condition", "hflos"], "Did you mean 'hfloss'"),
        (["plot", "hfloss", "-o", "ear.gif"], "name it .png, .svg, .pdf"),
        (["plot", "hflos", "-o", "{out}.png"], "Did you mean 'hfloss'"),
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


def test_an_unwritable_figure_exits_with_1(tmp_path, capsys):
    assert run("plot", "hfloss", "-o", tmp_path / "none" / "a.png") == 1
    assert "cannot write" in capsys.readouterr().err


def test_a_missing_extra_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run("plot", "hfloss", "-o", tmp_path / "a.png") == 1
    assert capsys.readouterr().err == "error: this needs matplotlib; pip install 'audiogram[plot]'.\n"


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


@pytest.fixture
def installed():
    return shutil.which("audiogram", path=str(Path(sys.executable).parent))


def test_warnings_are_one_line(installed, clip, tmp_path):
    command = [installed, "simulate", str(clip), str(tmp_path / "out.wav"), "--audiogram", "1000:60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr.startswith("warning: what is heard peaks")
    assert done.stderr.count("\n") == 1


def test_an_empty_list_is_nothing_to_show(tmp_path, capsys):
    (tmp_path / "none.json").write_text("[]")
    assert run("show", tmp_path / "none.json") == 2
    assert "is an empty list" in capsys.readouterr().err


def test_a_closed_standard_output_is_no_failure():
    # as a shell's `>&-` and some schedulers leave it
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -m audiogram presets >&-', sys.executable], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_names_that_are_not_utf8_are_said_with_escapes(clip, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "audiogram", "simulate", clip, b"g\xf6.wav", "--audiogram", "1000:10"],
        capture_output=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONUTF8": "1"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"g\\udcf6.wav: ")
    assert os.listdir(os.fsencode(tmp_path)).count(b"g\xf6.wav") == 1
