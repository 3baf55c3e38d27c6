"""Kill a row stage at a given moment, start it again, compare: run as a program by `test_corpus_kill.py`.

Every moment is an event, not a time: the making, finishing and publishing of each file, each clip. The program forks a
child that kills itself (SIGKILL) at event number N, forks another that goes on to the end, and compares every byte with
an undisturbed run. Forked from a program that has imported everything, a moment costs milliseconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import soundfile  # noqa: F401  (here, so that no child has to import it)

from audiogram.corpus import files, mask_corpus, open_corpus, run_stage

SCHEMA = pa.schema([("id", pa.string()), ("samples", pa.int64()), ("text", pa.string())])


class Count:
    """A work function: one row, one vector per clip; a bad clip is a failure."""

    def __call__(self, part, clips, writer):
        for clip in clips:
            try:
                x, _ = clip.audio()
            except ValueError as error:
                writer.fail(clip.id, error)
                continue
            writer.add("data", [{"id": clip.id, "samples": len(x), "text": clip.text}])
            writer.add_vectors({"peak": np.abs(x).max(keepdims=True)[None], "n": np.array([[len(x)]], np.uint32)})


def count(source: str, out: str, **options: object) -> None:
    run_stage("count", options={}, corpus=open_corpus(source), outs=[out], work=Count(), schemas={"data": SCHEMA},
              rows_per_part=4, max_failures=0.5, **options)  # fmt: skip


def mask(source: str, out: str, **options: object) -> None:
    mask_corpus(source, Path(out) / "masked", ["normal", "hfloss"], rows_per_part=6, max_failures=0.5, **options)


STAGES = {"count": count, "mask": mask}


def tree(folder: Path) -> dict[str, str]:
    """Every file, dot-files too, with the digest of its content."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def arm(at: int, fatal: bool = True) -> Callable[[], int]:
    """Count events from here on and, at number `at`, die as by a power cut. Returns how many there were."""
    seen = 0

    def event() -> None:
        nonlocal seen
        seen += 1
        if fatal and seen == at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def counted(*args):
            event()
            result = real(*args)
            event()
            return result

        setattr(owner, name, counted)

    for name in ("__init__", "finish", "publish", "drop"):
        around(files.NewFile, name)
    around(os, "replace")  # of stages that write files beside their tables
    return lambda: seen


def forked(job: Callable[[], int]) -> int:
    """Run `job` in a child; its exit code, or minus the signal that ended it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 3
        try:
            code = job()
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main(stage: str, source: str, base: Path, moments: str) -> None:
    run = STAGES[stage]
    os.fsync = lambda descriptor: None  # for power cuts, which nobody simulates here; it takes most of the time
    whole, report = base / "whole", base / "events"

    def undisturbed() -> int:
        events = arm(0, fatal=False)
        run(source, str(whole))
        report.write_text(str(events()))
        return 0

    pa.array([{"id": "a"}])  # makes pyarrow look for pandas once, not in every child
    if stage == "mask":  # compile once, before the forks
        import audiogram

        audiogram.apply_conditions(np.zeros(5000, np.float32), 16_000, ["normal", "hfloss"])
    assert forked(undisturbed) == 0
    expected, events = tree(whole), int(report.read_text())
    if moments == "all":
        chosen = list(range(1, events + 1))
    else:
        chosen = sorted(np.random.default_rng(1).choice(events, size=min(events, int(moments)), replace=False) + 1)
    wrong: dict[int, object] = {}
    for moment in map(int, chosen):
        out = base / f"killed-{moment}"

        def doomed(moment: int = moment, out: Path = out) -> int:
            arm(moment)
            run(source, str(out))
            return 0

        def again(out: Path = out) -> int:
            run(source, str(out))
            return 0

        died, ended = forked(doomed), forked(again)
        if (died, ended) != (-signal.SIGKILL, 0) or tree(out) != expected:
            wrong[moment] = [died, ended, sorted(set(tree(out).items()) ^ set(expected.items()))]
        shutil.rmtree(out, ignore_errors=True)
    print(json.dumps({"events": events, "moments": len(chosen), "files": len(expected), "wrong": wrong}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
