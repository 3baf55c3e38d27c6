"""Kill a command at given moments, in whichever of its processes they fall, start it again, compare every byte.

    python command_kill_harness.py FOLDER MOMENTS MODULE ARGUMENT ...

MODULE has the `app` of a command line, e.g. audiogram.cli; ``{out}`` in its arguments becomes a new folder within
FOLDER. Every other moment kills one process alone, the rest the whole group. Prints what happened as JSON. The commands
are forked from a program that has imported everything; what kills them is in kill_moments/.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

KILLER = Path(__file__).parent / "kill_moments"


def tree(folder: Path) -> dict[str, str]:
    """Every file, dot-files too, with the digest of its content."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def forked(module: str, arguments: Sequence[str], log: Path, kill: tuple[int, str] | None, count: Path) -> int:
    """Run the command in a child; its exit code, or minus the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()
            out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(out, 1)
            os.dup2(out, 2)
            if kill is not None:
                os.environ.update(KILL_AT=str(kill[0]), KILL_WHOM=kill[1], KILL_COUNT=str(count))
                os.environ["PYTHONPATH"] = str(KILLER)
                spec = importlib.util.spec_from_file_location("kill_moments", KILLER / "sitecustomize.py")
                spec.loader.exec_module(importlib.util.module_from_spec(spec))
            from audiogram.console import run_app

            code = run_app(importlib.import_module(module).app, list(arguments))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(base: Path, moments: int, module: str, arguments: Sequence[str]) -> None:
    prepare(module)
    count, log = base / "count", base / "log"

    def run(out: Path, kill: tuple[int, str] | None = None) -> int:
        count.unlink(missing_ok=True)
        return forked(module, [a.replace("{out}", str(out)) for a in arguments], log, kill, count)

    whole = base / "whole"
    if run(whole, (0, "one")):
        raise SystemExit(log.read_text())
    expected, events = tree(whole), count.stat().st_size
    chosen = np.random.default_rng(1).choice(events, size=min(events, moments), replace=False) + 1
    wrong, ends = {}, []
    for number, moment in enumerate(map(int, chosen)):
        out = base / f"killed-{moment}"
        died = run(out, (moment, ("one", "all")[number % 2]))
        ended = run(out)
        ends.append(died)
        if died not in (-signal.SIGKILL, 1, 0) or ended != 0 or tree(out) != expected:
            differing = sorted(set(tree(out).items()) ^ set(expected.items()))
            wrong[moment] = [died, ended, differing, log.read_text()[-2000:]]
        shutil.rmtree(out, ignore_errors=True)
    killed = {str(code): ends.count(code) for code in sorted(set(ends))}
    counts = {"events": events, "moments": len(chosen), "ends": killed, "files": len(expected)}
    print(json.dumps({**counts, "wrong": wrong}))


def prepare(module: str) -> None:
    """Import, and compile, what every child needs: they are forked, and no thread may have been started by then."""
    importlib.import_module(module)
    pa.array([{"id": "a"}])  # makes pyarrow look for pandas
    import audiogram

    audiogram.apply_conditions(np.zeros(5000, np.float32), 16_000, ["normal", "hfloss"])
    if module.startswith("whisperprobe"):
        import torch
        import transformers.models.whisper  # noqa: F401

        torch.set_num_threads(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:])
