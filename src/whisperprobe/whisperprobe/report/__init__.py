"""The report: one HTML file with figures, sounds and tables, and still pictures for papers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisperprobe.report.page import write_report
    from whisperprobe.report.static import matrix_figure

__all__ = ["matrix_figure", "write_report"]

_HOMES = {"matrix_figure": "static", "write_report": "page"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'whisperprobe.report' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"whisperprobe.report.{_HOMES[name]}"), name)
