"""The report: one HTML file with figures, sounds and tables, and still pictures for papers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiogram.lazy_names import lazy_names

if TYPE_CHECKING:
    from whisperprobe.report.page import write_report
    from whisperprobe.report.sources import HeardThrough
    from whisperprobe.report.static import matrix_figure

__all__ = ["HeardThrough", "matrix_figure", "write_report"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "page": ["write_report"],
        "sources": ["HeardThrough"],
        "static": ["matrix_figure"],
    },
)
