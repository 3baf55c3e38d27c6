"""What both command lines share: errors without tracebacks, progress, logging, stopping on request."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from audiogram.amounts import duration
from audiogram.errors import AudiogramError, AudiogramWarning, InputError, StoppedError, WorkError

__all__ = ["LEVELS", "Progress", "check_stop", "configure", "is_quiet", "run_app", "shows_colours", "stop_on_signals"]

# What a plain installation does not bring, and the extra that does.
_EXTRAS = {"matplotlib": "plot", "datasets": "corpus", "pandas": "corpus", "pyarrow": "corpus", "torch": "torch"}
LEVELS = ("debug", "info", "warning", "error")
_RED, _YELLOW = "31;1", "33"  # ANSI's numbers of colours
_state: dict[str, bool] = {"debug": False, "quiet": False}
_stop: dict[str, str | None] = {"signal": None}
_nested: dict[str, int] = {"stop_on_signals": 0}


def configure(*, log_level: str = "info", quiet: bool = False, debug: bool = False) -> None:
    """Set what a command says: log level, tracebacks (`debug`), nothing but errors and warnings (`quiet`)."""
    if log_level not in LEVELS:
        raise InputError(f"--log-level {log_level!r} is not one of {', '.join(LEVELS)}.")
    _state.update(quiet=quiet, debug=debug)
    level = max(getattr(logging, log_level.upper()), logging.WARNING if quiet else logging.NOTSET)
    logging.basicConfig(level=level, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr, force=True)


def is_quiet() -> bool:
    """Whether the user asked for errors and warnings only."""
    return _state["quiet"]


def shows_colours(stream: Any) -> bool:
    """Whether a stream is a terminal that shows colours; NO_COLOR (https://no-color.org) turns them off."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and _is_capable()


def _is_capable() -> bool:
    return os.environ.get("TERM") not in ("dumb", "unknown")


def _head(word: str, colour: str) -> str:
    """First word of a message on standard error."""
    return f"\x1b[{colour}m{word}\x1b[0m" if shows_colours(sys.stderr) else word


def run_app(app: Callable[..., Any], argv: list[str] | None = None) -> int:
    """Run a typer application; deliberate errors become one or two lines on stderr and their exit code.

    Warnings of these libraries are one line on stderr. Where the reader of the output has gone, as in
    `audiogram presets | head -1`, the rest is dropped and nothing has failed. Where the output cannot be written, as
    on a full disk, the work has failed.

    Parameters
    ----------
    app : typer.Typer
        The application.
    argv : list of str, optional
        Arguments without the program's name; default `sys.argv[1:]`.

    Returns
    -------
    int
        The exit code: 0 done, 1 the work failed, 2 the call was wrong, 75 stopped on request, 130 interrupted.
    """
    arguments = sys.argv[1:] if argv is None else argv
    _state["debug"] = "--debug" in arguments
    # there is no stream where it was closed before the start, as by `>&-`
    out, err = _WhileRead(sys.stdout or io.StringIO(), answers=True), _WhileRead(sys.stderr or io.StringIO())
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _plain_warnings():
        try:
            return _exit_code(lambda: app(args=arguments, standalone_mode=True)) or _exit_code(out.flush)
        finally:
            with contextlib.suppress(WorkError):  # said already, or the command has failed before
                out.flush()
            err.flush()


def _exit_code(act: Callable[[], Any]) -> int:
    try:
        act()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201
        return 130
    except AudiogramError as error:
        if _state["debug"]:
            raise
        print(f"{_head('error:', _RED)} {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except Exception as error:  # nothing foresaw this one; whoever wants its traceback asks for it
        if _state["debug"]:
            raise
        missing = (error.name or "").split(".")[0] if isinstance(error, ModuleNotFoundError) else ""
        if missing in _EXTRAS:
            remedy = f"this needs {missing}; pip install 'audiogram[{_EXTRAS[missing]}]'."
            print(f"{_head('error:', _RED)} {remedy}", file=sys.stderr)  # noqa: T201
            return 1
        said = next(iter(str(error).splitlines()), "")
        print(  # noqa: T201
            f"{_head('error:', _RED)} unexpected {type(error).__name__}: {said}\n"
            "What is written stays. The same command with --debug shows where it happened.",
            file=sys.stderr,
        )
        return 1
    return 0


class _WhileRead:
    """Standard output, or error, as long as somebody reads it; where it holds the answers, a full disk is an error."""

    def __init__(self, stream: Any, *, answers: bool = False) -> None:
        self._stream, self._answers = stream, answers
        self._lost: list[WorkError] = []  # raised at each attempt: who asks whether a stream can be written drops it

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def buffer(self) -> _WhileRead:
        """The stream of bytes below, which click writes to where the text's encoding is ASCII."""
        below = _WhileRead(self._stream.buffer, answers=self._answers)
        below._lost = self._lost
        return below

    def write(self, said: str | bytes) -> int:
        if isinstance(said, str):
            encoding = self._stream.encoding or "utf-8"
            said = said.encode(encoding, "backslashreplace").decode(encoding)  # names of files may be of any bytes
        return int(self._unless_closed(self._stream.write, said) or 0)

    def flush(self) -> None:
        self._unless_closed(self._stream.flush)

    def _unless_closed(self, act: Callable[..., Any], *arguments: str | bytes) -> Any:
        if self._lost:
            raise self._lost[0]
        try:
            return act(*arguments)
        except OSError as error:
            # what is still buffered goes nowhere, so that closing the stream at exit does not fail either
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            if self._answers and not isinstance(error, BrokenPipeError):
                said = (
                    f"cannot write to standard output: {error.strerror or error}. Make room where it leads, or send it "
                    "elsewhere; files that were written stay."
                )
                self._lost.append(WorkError(said))
                raise self._lost[0] from error
            return None


@contextlib.contextmanager
def _plain_warnings() -> Iterator[None]:
    """Warnings of these libraries are said in one line, without the source line that warned."""
    before = warnings.formatwarning

    def plain(message: Any, category: type[Warning], *where: Any, **more: Any) -> str:
        if issubclass(category, AudiogramWarning):
            return f"{_head('warning:', _YELLOW)} {message}\n"
        return before(message, category, *where, **more)

    with warnings.catch_warnings():
        warnings.formatwarning = plain
        try:
            yield
        finally:
            warnings.formatwarning = before


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """While active, SIGTERM and SIGUSR1 only take note; long work ends at its next `check_stop()`."""

    def note(number: int, frame: FrameType | None) -> None:
        _stop["signal"] = signal.Signals(number).name

    previous = {}
    for name in ("SIGTERM", "SIGUSR1"):
        if hasattr(signal, name):
            with contextlib.suppress(ValueError):  # not in the main thread: the caller keeps its own handling
                previous[name] = signal.signal(getattr(signal, name), note)
    _nested["stop_on_signals"] += 1
    try:
        yield
    finally:
        for name, handler in previous.items():
            signal.signal(getattr(signal, name), handler)
        _nested["stop_on_signals"] -= 1
        if not _nested["stop_on_signals"]:  # an outer block has yet to see a signal that came at the end of this one
            _stop["signal"] = None


def stop_requested() -> bool:
    """Whether a signal asked this process to stop."""
    return _stop["signal"] is not None


def check_stop() -> None:
    """Raise `StoppedError` where a signal asked this process to stop; call it between units of work."""
    if _stop["signal"] is not None:
        raise StoppedError(f"stopped on request ({_stop['signal']}); start the same command again to go on.")


class Progress:
    """Progress of counted work: a bar with rate and time left on a terminal, a plain line now and then in a log.

    Parameters
    ----------
    label : str
        What is being done.
    total : int
        How many units there are.
    done : int, default 0
        How many were finished before this run; they do not count towards the rate.
    unit : str, default "clips"
        Name of the units.

    Examples
    --------
    >>> with Progress("masking", 2) as progress:
    ...     progress.advance()
    ...     progress.advance()
    """

    def __init__(self, label: str, total: int, *, done: int = 0, unit: str = "clips") -> None:
        self.label, self.total, self.unit = label, total, unit
        self._done = done
        self._last = time.monotonic()
        self._first: tuple[float, int] | None = None  # what came before the first units were done is more than work
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if not is_quiet() and sys.stderr.isatty() and _is_capable():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._bar.start()
            self._task = self._bar.add_task(self.label, total=self.total, completed=self._done, rate="")
        return self

    def advance(self, n: int = 1, note: str = "") -> None:
        """Count `n` more units as done; `note` is shown behind the rate."""
        self._done += n
        now = time.monotonic()
        if self._first is None:
            self._first = now, self._done
        rate = (self._done - self._first[1]) / max(now - self._first[0], 1e-9)
        said = f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"
        behind = f"  {note}" if note else ""
        if self._bar is not None:
            self._bar.update(self._task, advance=n, rate=f"{said} {self.unit}/s{behind}" if rate else behind)
        elif not is_quiet() and now - self._last >= 10:
            self._last = now
            speed = f", {said}/s, {duration((self.total - self._done) / rate)} left" if rate else ""
            logging.getLogger("audiogram").info(
                "%s: %d of %d %s%s%s", self.label, self._done, self.total, self.unit, speed, behind
            )

    def __exit__(self, *exc: object) -> None:
        if self._bar is not None:
            self._bar.stop()
