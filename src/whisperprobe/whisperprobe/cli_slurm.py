"""The command `whisperprobe submit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from audiogram.console import configure
from audiogram.errors import InputError
from whisperprobe.cli_options import AsJson, Debug, LogLevel, Quiet, print_json, say
from whisperprobe.cli_study import OnlyStage, StudyFile, StudySource

if TYPE_CHECKING:
    from collections.abc import Sequence

    from whisperprobe.slurm import Job
    from whisperprobe.slurm_submitting import Submitted
    from whisperprobe.study_graph import Plan

__all__ = ["submit"]


def submit(
    study: StudyFile,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="DIR", help="Folder of all results; default RESULTS_DIR/NAME-results."),
    ] = None,
    source: StudySource = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan; submit nothing.")] = False,
    only: OnlyStage = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Submit what is neither finished nor in the queue, part by part.")
    ] = False,
    status: Annotated[bool, typer.Option("--status", help="Say how far the study is; submit nothing.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Cancel the study's jobs; what is written stays.")] = False,
    resource: Annotated[
        list[str] | None,
        typer.Option(
            "--resource",
            metavar="RECIPE.OPTION=VALUE",
            help="An option of sbatch for a recipe, its number of tasks, or how many run at once; may be repeated.",
        ),
    ] = None,
    rates: Annotated[
        list[Path] | None,
        typer.Option("--rates", metavar="DIR", help="Results of a study on the same machines, to estimate by."),
    ] = None,
    cluster: Annotated[
        Path | None, typer.Option("--cluster", metavar="DIR", help="Folder of recipes and .env.local; default cluster.")
    ] = None,
    as_json: AsJson = False,
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Hand a study to Slurm: one job for each stage, an array where it has parts, each after those that it needs.

    \b
    Examples:
      whisperprobe submit study.toml --dry-run
      whisperprobe submit study.toml --resource probe.tasks=16 --resource probe.at-once=4
      whisperprobe submit study.toml --status
      whisperprobe submit study.toml --status --json > status.json
      whisperprobe submit study.toml --resume

    Settings come from cluster/.env.local; cluster/README.md tells how to begin.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    asked = [name for name, given in (("--dry-run", dry_run), ("--status", status), ("--cancel", cancel)) if given]
    if len(asked) > 1:
        raise InputError(f"{' and '.join(asked)} are different requests; give one of them.")
    from whisperprobe.slurm_queue import require_slurm
    from whisperprobe.slurm_settings import read_settings
    from whisperprobe.study_file import read_study
    from whisperprobe.study_plan import plan

    settings = read_settings(cluster)
    given = read_study(study, source=source)
    folder = (out or settings.results / f"{given.name}-results").absolute()
    planned = plan(given, folder)
    if not dry_run:
        require_slurm()
    if status:
        from whisperprobe.slurm_status import describe_status, study_status

        found = study_status(planned)
        if as_json:
            print_json({"study": planned.study, "out": planned.out, "stages": found})
        else:
            say(*describe_status(found))
        return
    if cancel:
        _cancel(folder, as_json)
        return
    from whisperprobe.slurm import plan_jobs
    from whisperprobe.slurm_estimates import machine_factors
    from whisperprobe.slurm_submitting import read_submitted, submit_jobs
    from whisperprobe.study_record import claim
    from whisperprobe.study_stages import check_splits

    check_splits(planned.stages)
    before = {one.stage: one.shards for one in read_submitted(folder) if one.shards} if resume else {}
    jobs = plan_jobs(
        planned,
        settings,
        resources=_pairs(resource or []),
        factors=machine_factors(folder, *(rates or [])),
        shards=before,
    )
    chosen = [job for job in jobs if job.stage in planned.chosen(only)]
    if not as_json:
        _show(chosen, planned)
    if dry_run:
        if as_json:
            _print(chosen, planned, ())
        return
    arguments = ["run", str(study.absolute()), "--out", str(folder)]
    arguments += ["--source", str(source.absolute())] if source is not None else []
    with claim(planned, given, shared=True):  # refuses a folder of another study before anything waits for a job
        submitted = submit_jobs(chosen, planned, settings, arguments, resume=resume)
    if as_json:
        _print(chosen, planned, submitted)
        return
    say("", *(f"{one.stage}: job {one.job}" for one in submitted))
    say("nothing is left to do" if not submitted else "watch it with --status, or squeue --me; logs: slurm/logs there")


def _show(jobs: Sequence[Job], planned: Plan) -> None:
    from whisperprobe.slurm_status import describe_jobs

    say(*describe_jobs(jobs, planned, _free(planned)))


def _print(jobs: Sequence[Job], planned: Plan, submitted: Sequence[Submitted]) -> None:
    from whisperprobe.slurm_status import job_data, job_totals

    print_json(
        {
            "study": planned.study,
            "out": planned.out,
            "jobs": [job_data(job) for job in jobs],
            "totals": {**job_totals(jobs), "bytes_free": _free(planned)},
            "submitted": {one.stage: one.job for one in submitted},
        }
    )


def _free(planned: Plan) -> int:
    import shutil

    there = next(one for one in (Path(planned.out), *Path(planned.out).parents) if one.exists())
    return shutil.disk_usage(there).free


def _cancel(folder: Path, as_json: bool) -> None:
    from whisperprobe.slurm_queue import cancel
    from whisperprobe.slurm_submitting import live_of

    live = live_of(folder)
    cancel(task.id for tasks in live.values() for task in tasks)
    if as_json:
        print_json({"cancelled": {stage: [task.id for task in tasks] for stage, tasks in live.items()}})
        return
    say(
        *(f"{stage}: {len(tasks)} cancelled" for stage, tasks in live.items()), *([] if live else ["nothing to cancel"])
    )


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not value:
            raise InputError(f"--resource {text!r} is not of the form RECIPE.OPTION=VALUE, e.g. probe.gres=gpu:1.")
        pairs[name] = value
    return pairs
