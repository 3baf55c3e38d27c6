"""The command's door. `doctor` opens it also where `audiogram` is missing, or an unrelated package of that name."""

from __future__ import annotations

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
        print(described(findings, as_json="--json" in sys.argv[2:]))  # noqa: T201
        sys.exit(exit_code(findings))
    run()
