"""What a terminal sees, and what a file: colours, progress, and readers of the output that go away."""

import logging
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from audiogram import console
from audiogram.console import Progress

COLOUR = re.compile(r"\x1b\[(?:\d+;)*3\d(?:;\d+)*m")
BAR = """
from audiogram.console import Progress, configure
configure(quiet={quiet})
with Progress("masking", 3, unit="clips") as bar:
    for note in ("", "", "last"):
        bar.advance(1, note)
"""


def on_terminal(*call, **environment):
    """Run a command whose output and errors go to a terminal; its exit code and what was written there."""
    ours, theirs = pty.openpty()
    around = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    around |= {"TERM": "xterm-256color", **environment}
    with subprocess.Popen(call, stdin=theirs, stdout=theirs, stderr=theirs, env=around) as process:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 65536):
                written += piece
        except OSError:  # how Linux says that the other side is closed
            pass
        finally:
            os.close(ours)
    return process.returncode, written.decode()


def audiogram(*arguments):
    return [str(Path(sys.executable).with_name("audiogram")), *arguments]


def test_errors_are_coloured_on_a_terminal():
    code, seen = on_terminal(*audiogram("show", "hflos"))
    assert code == 2
    assert seen.startswith("\x1b[31;1merror:\x1b[0m unknown audiogram 'hflos'.")


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_colours_can_be_turned_off(environment):
    code, seen = on_terminal(*audiogram("show", "hflos"), **environment)
    assert code == 2
    assert seen.startswith("error: unknown audiogram 'hflos'.")
    assert "\x1b" not in seen


def test_a_file_has_no_colours():
    done = subprocess.run(audiogram("show", "hflos"), capture_output=True, text=True, check=False)
    assert done.stderr.startswith("error: unknown audiogram")
    assert "\x1b" not in done.stdout + done.stderr


def test_a_terminal_has_columns_and_a_pipe_tabs():
    _, seen = on_terminal(*audiogram("presets"))
    assert seen.splitlines()[1].startswith("normal  ")
    assert "\t" not in seen
    assert b"normal\t10\t" in subprocess.run(audiogram("presets"), capture_output=True, check=True).stdout


def test_a_terminal_has_a_bar_with_rate_and_time_left():
    code, seen = on_terminal(sys.executable, "-c", BAR.format(quiet=False), COLUMNS="120")
    assert code == 0
    *_, last = (line for line in seen.replace("\r", "\n").splitlines() if "masking" in line)
    assert "3/3" in last
    assert re.search(r"\d clips/s +last", last)
    assert "0:00:00" in last
    assert COLOUR.search(seen)


def test_a_bar_without_colours():
    _, seen = on_terminal(sys.executable, "-c", BAR.format(quiet=False), COLUMNS="120", NO_COLOR="1")
    assert "3/3" in seen
    assert COLOUR.search(seen) is None


def test_a_dumb_terminal_and_a_quiet_call_have_no_bar():
    assert on_terminal(sys.executable, "-c", BAR.format(quiet=False), TERM="dumb") == (0, "")  # lines every 10 s
    assert on_terminal(sys.executable, "-c", BAR.format(quiet=True)) == (0, "")


class Clock:
    """Ten seconds pass with every unit of work."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(console, "time", clock)
    monkeypatch.setitem(console._state, "quiet", False)  # whatever a command before has set
    return clock


def test_a_log_has_lines_with_rate_and_time_left(clock, caplog):
    caplog.set_level(logging.INFO, logger="audiogram")
    with Progress("masking", 1000, done=100, unit="clips") as bar:
        clock.now += 60  # what is done once only: compiling, loading
        bar.advance(50)
        for _ in range(2):
            clock.now += 10
            bar.advance(50, "so far")
        bar.advance(50, "at once")
    assert caplog.messages == [
        "masking: 150 of 1000 clips",
        "masking: 200 of 1000 clips, 5/s, 3 min left  so far",
        "masking: 250 of 1000 clips, 5/s, 2 min left  so far",
    ]


def test_a_quiet_log_has_none(clock, caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="audiogram")
    for quiet, lines in ((True, 0), (False, 1)):
        monkeypatch.setitem(console._state, "quiet", quiet)
        with Progress("masking", 1000) as bar:
            clock.now += 60
            bar.advance(50)
        assert len(caplog.messages) == lines


CALLS = pytest.mark.parametrize(
    ("arguments", "environment"),
    [
        (["presets"], {}),
        (["presets"], {"PYTHONIOENCODING": "ascii"}),
        (["presets"], {"PYTHONUNBUFFERED": "1"}),
        (["filters", "--json"], {}),
        (["--help"], {}),
        (["mask", "--help"], {"PYTHONIOENCODING": "ascii"}),
    ],
    ids=str,
)


@CALLS
def test_a_reader_that_has_gone_is_no_failure(arguments, environment):
    done = to_nobody(arguments, environment)
    assert (done.returncode, done.stderr) == (0, "")


@CALLS
def test_output_to_a_full_disk_is_an_error_of_one_line(arguments, environment):
    done = to_a_full_disk(arguments, environment)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write to standard output: No space left on device. Make room")
    assert done.stderr.count("\n") == 1


def test_errors_and_a_full_disk_keep_their_exit_code():
    assert to_a_full_disk(["show", "hflos"], {}, stderr=subprocess.STDOUT).returncode == 2
    assert to_a_full_disk(["presets"], {}, stderr=subprocess.STDOUT).returncode == 1


@pytest.mark.parametrize("arguments", [["show", "hflos"], ["no-such-command"], []], ids=" ".join)
def test_errors_that_nobody_reads_keep_their_exit_code(arguments):
    assert to_nobody(arguments, {}, stderr=subprocess.STDOUT).returncode == 2


def test_head_takes_a_line():
    call = f"set -o pipefail; '{audiogram()[0]}' presets | head -n 1"
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("name\tPTA4")
    assert done.stderr == ""


def to_nobody(arguments, environment, stderr=subprocess.PIPE):
    """Run the command with its output into a pipe that nobody reads."""
    reads, writes = os.pipe()
    os.close(reads)
    try:
        around = os.environ | environment
        return subprocess.run(audiogram(*arguments), stdout=writes, stderr=stderr, text=True, env=around, check=False)
    finally:
        os.close(writes)


def to_a_full_disk(arguments, environment, stderr=subprocess.PIPE):
    """Run the command with its output onto a device that has no room."""
    around = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"} | environment
    with open("/dev/full", "w") as full:
        return subprocess.run(audiogram(*arguments), stdout=full, stderr=stderr, text=True, env=around, check=False)
