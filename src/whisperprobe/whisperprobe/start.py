"""The command's door. `doctor` opens it also where `audiogram` is missing, or an unrelated package of that name."""

from __future__ import annotations

import os
import sys

from whisperprobe.unrelated import MESSAGE

__all__ = ["main"]


def main() -> None:
    """Run the command line and end the process with its exit code."""
    try:
        from whisperprobe.cli import main as run
    except ImportError as error:
        if sys.argv[1:2] != ["doctor"]:
            ours = (error.name or "").partition(".")[0] == "audiogram"
            print(f"error: {MESSAGE if ours else error}\n`whisperprobe doctor` says more.", file=sys.stderr)  # noqa: T201
            sys.exit(1)
        from whisperprobe.doctor import examine
        from whisperprobe.doctor_page import described, exit_code

        findings = examine()
        _say(described(findings, as_json="--json" in sys.argv[2:]))
        sys.exit(exit_code(findings))
    run()


def _say(text: str) -> None:
    """Print as `audiogram.console.run_app` would have it, which may be missing here."""
    try:
        print(text, flush=True)  # noqa: T201
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still buffered at exit
        if not isinstance(error, BrokenPipeError):
            sys.exit(
                f"error: cannot write to standard output: {error.strerror or error}. Make room where it leads, or send "
                "it elsewhere."
            )
