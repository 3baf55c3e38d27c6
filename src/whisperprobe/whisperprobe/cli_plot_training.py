"""The command `whisperprobe plot-training`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from audiogram.console import configure
from whisperprobe.cli_options import Debug, LogLevel, Quiet, among, say

__all__ = ["plot_training_curves"]


def plot_training_curves(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Folders that finetune wrote, or TensorBoard event files and folders of them; NAME=RUN names one.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="PNG, PDF or SVG file to write.")] = Path(
        "training.png"
    ),
    dpi: Annotated[int, typer.Option("--dpi", metavar="DPI", help="Pixels per inch of a PNG, 20 to 2400.")] = 300,
    size: Annotated[
        str | None,
        typer.Option("--size", metavar="WxH", help="180x120mm, 18x12cm or 7x5 (inches); default: as the panels need."),
    ] = None,
    smooth: Annotated[
        float, typer.Option("--smooth", metavar="WEIGHT", help="Exponential mean: weight of the past, 0 to below 1.")
    ] = 0.0,
    scale: Annotated[
        str,
        typer.Option(
            "--scale",
            metavar="SCALE",
            help="Axis of loss and gradient norm: log or linear.",
            autocompletion=among("log", "linear"),
        ),
    ] = "log",
    log_level: LogLevel = "info",
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Draw loss, error rates, learning rate and gradient norm of one training or several into one figure.

    \b
    Examples:
      whisperprobe plot-training models/hfloss
      whisperprobe plot-training results/seed-1/models --out curves.pdf --size 180x120mm --smooth 0.6
      whisperprobe plot-training ours=models/hfloss theirs=whisper-small-hi/runs --out both.svg --scale linear

    Event files are read under the names that transformers' trainer gives: train/loss, eval/loss, eval/wer, ...; that
    needs pip install 'whisperprobe[tensorboard]'. A ring marks the step whose weights were kept.
    """
    configure(log_level=log_level, quiet=quiet, debug=debug)
    from whisperprobe.training.plots import plot_training

    plot_training(runs, out=out, dpi=dpi, size=size, smooth=smooth, scale=scale)
    say(f"figure: {out}")
