"""A mapping that can be part of frozen, hashable data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["FrozenMapping"]


class FrozenMapping(Mapping[str, Any]):
    """Read-only, hashable, picklable mapping; lists in it become tuples and mappings become `FrozenMapping`.

    The standard library's `MappingProxyType` can be neither hashed nor pickled.

    Examples
    --------
    >>> options = FrozenMapping({"n_fft": 1024})
    >>> options["n_fft"], options == {"n_fft": 1024}
    (1024, True)
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any]) -> None:
        self._items = {str(key): _frozen(value) for key, value in items.items()}

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenMapping, (self._items,))

    def plain(self) -> dict[str, Any]:
        """The same as a dict with lists, as JSON and TOML have them."""
        return {key: _plain(value) for key, value in self._items.items()}


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return FrozenMapping(value)
    if isinstance(value, list | tuple):
        return tuple(_frozen(one) for one in value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, FrozenMapping):
        return value.plain()
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value
