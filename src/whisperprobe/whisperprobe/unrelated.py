"""What is said where the package `audiogram` is missing, or is the unrelated one of that name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["MESSAGE", "refusing_names"]

MESSAGE = (
    "whisperprobe needs the package `audiogram`, 1.0 or newer, and found none or an unrelated one of the same name "
    "(PyPI's 0.1.0). Remove that with `pip uninstall audiogram`, then install this project's."
)


def refusing_names(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Stand in for `audiogram.lazy_names.lazy_names`: every public name raises an ImportError that says why.

    The package itself must be importable, so that the command `doctor` can start.
    """
    public = {name for group in homes.values() for name in group}

    def __getattr__(name: str) -> Any:  # noqa: N807
        if name in public:
            raise ImportError(MESSAGE)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return __getattr__, lambda: sorted(public)
