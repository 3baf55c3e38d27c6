"""Size and file of a figure: what a user may ask for, and how it is written."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from audiogram.corpus.files import write_whole
from audiogram.errors import InputError
from whisperprobe.training.curve_reading import quiet_loggers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS", "size_in_inches", "write_figure"]

FORMATS = ("png", "pdf", "svg")
_MOST_PIXELS = 2**28  # a gigabyte while a PNG is drawn
_INCHES = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4}


def size_in_inches(size: str | tuple[float, float]) -> tuple[float, float]:
    """Width and height in inches."""
    wrong = InputError(
        f"size is {size!r}; give width and height such as 180x120mm, 18x12cm or 7x5 (inches), 1 to 40 inches each."
    )
    if isinstance(size, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*[x×]\s*(\d+(?:\.\d+)?)\s*(in|cm|mm)?\s*", size.lower())
        if match is None:
            raise wrong
        unit = _INCHES[match[3] or "in"]
        sides = [float(match[1]) * unit, float(match[2]) * unit]
    else:
        try:
            sides = [float(side) for side in size]
        except (TypeError, ValueError):
            raise wrong from None
    if len(sides) != 2 or not all(1 <= side <= 40 for side in sides):
        raise wrong
    return sides[0], sides[1]


def write_figure(figure: Figure, file: Path, dpi: int) -> None:
    """Write the file whole or not at all; the same curves give the same bytes. A PNG may be too large (InputError)."""
    import matplotlib as mpl

    kind = file.suffix[1:].lower()
    width, height = figure.get_size_inches()
    if kind == "png" and width * height * dpi**2 > _MOST_PIXELS:
        raise InputError(
            f"{width:.3g} x {height:.3g} inches at dpi {dpi} are {width * height * dpi**2 / 1e6:.0f} million pixels, "
            f"more than {_MOST_PIXELS / 1e6:.0f}. Give a smaller size or dpi, or a file that ends in .pdf or .svg."
        )
    undated: dict[str, Any] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    stream = io.BytesIO()
    settings: Any = {"pdf.fonttype": 42, "svg.hashsalt": "whisperprobe"}  # text stays text in a PDF
    with mpl.rc_context(settings), quiet_loggers("fontTools"):
        figure.savefig(stream, format=kind, dpi=dpi, metadata=undated.get(kind))
    write_whole(file, stream.getvalue())
