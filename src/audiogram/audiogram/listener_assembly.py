"""Listeners put together from single thresholds, as tables and health records have them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

from audiogram.clinic_cells import Cell, Column
from audiogram.errors import AudiogramWarning, InputError
from audiogram.listener import Listener
from audiogram.thresholds import Audiogram

__all__ = ["People", "Person"]


@dataclass
class Person:
    """What was read of one listener so far: id, date and source, and cells by ear, conduction and frequency."""

    key: tuple[str, Any, str]
    label: Any
    cells: dict[tuple[Any, ...], Cell] = field(default_factory=dict)
    flags: set[Column] = field(default_factory=set)
    names: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, at: Column, cell: Cell, where: str) -> None:
        """Add a threshold; one measured with masking replaces one without."""
        key = at[:3]
        if at.role == "masked threshold":
            cell = cell._replace(masked=True)
        before = self.cells.get(key)
        if before is not None and before.masked == cell.masked:
            raise InputError(
                f"{where}: {at.ear} ear, {at.conduction} conduction, {at.frequency:g} Hz is given twice for "
                f"{self.key[0] or 'the same listener'}; keep one."
            )
        if before is None or cell.masked:  # the masked threshold is the ear's own
            self.cells[key] = cell

    def flag(self, at: Column) -> None:
        """Note that a threshold was masked, or had no response, by the column's role."""
        self.flags.add(at)

    def listener(self) -> Listener:
        """The listener, whose audiograms say which ear they are of."""
        try:
            for at in self.flags:
                if at[:3] not in self.cells:
                    raise InputError(f"{at.role} at {at.frequency:g} Hz, but no threshold there.")
                self.cells[at[:3]] = self.cells[at[:3]]._replace(**{at.role: True})
            ears = {side: self._ear(side) for side in ("left", "right")}
            return Listener(ears["left"], ears["right"], id=self.key[0], date=self.key[1], source=self.key[2])
        except InputError as error:
            raise InputError(f"{self.label}: {error}") from None

    def _ear(self, side: str) -> Audiogram | None:
        bone = self._audiogram(side, "bone", None)
        if bone is not None and not any(key[:2] == (side, "air") for key in self.cells):
            raise InputError(f"the {side} ear has bone conduction and no air conduction, which an audiogram needs.")
        return self._audiogram(side, "air", bone)

    def _audiogram(self, side: str, conduction: str, bone: Audiogram | None) -> Audiogram | None:
        cells = sorted((key[2], cell) for key, cell in self.cells.items() if key[:2] == (side, conduction))
        if not cells:
            return None
        return Audiogram(
            [f for f, _ in cells],
            [cell.level for _, cell in cells],
            ear=side,
            name=self.names.get((side, conduction), ""),
            masked=[f for f, cell in cells if cell.masked],
            no_response=[f for f, cell in cells if cell.no_response],
            bone=bone,
        )


class People:
    """Listeners in the order of their first rows; `merge` says whether rows with the same key are one listener."""

    def __init__(self, *, merge: bool) -> None:
        self.merge = merge
        self.people: list[Person] = []
        self.known: dict[tuple[str, Any, str], Person] = {}

    def of(self, key: tuple[str, Any, str], label: Any) -> Person:
        """The person that a row belongs to."""
        if self.merge and key in self.known:
            return self.known[key]
        self.known[key] = person = Person(key, label)
        self.people.append(person)
        return person

    def listeners(self) -> list[Listener]:
        """All who have a threshold; a warning names the rows that have none."""
        empty = [person.label for person in self.people if not person.cells]
        if empty:
            warnings.warn(f"no threshold in {', '.join(map(str, empty))}; left out.", AudiogramWarning, stacklevel=3)
        return [person.listener() for person in self.people if person.cells]
