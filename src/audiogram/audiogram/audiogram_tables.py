"""Listeners as tables, wide (a row per listener) and long (a row per threshold), and from the exports of clinics."""

from __future__ import annotations

import datetime as dt
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from audiogram.clinic_cells import (
    Cell,
    Column,
    Limits,
    column_of,
    ear_of,
    flag_of,
    frequency_of,
    is_missing,
    threshold_of,
)
from audiogram.errors import AudiogramWarning, InputError, unknown_name
from audiogram.listener import Listener
from audiogram.listener_assembly import People
from audiogram.thresholds import Audiogram

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["from_table", "to_table"]

Layout = Literal["wide", "long"]

_LONG = ("id", "date", "source", "ear", "conduction", "frequency", "threshold", "masked", "no_response", "name")
_OWN = r"(?P<ear>left|right)_(?P<conduction>air|bone)_(?P<frequency>[0-9.]+)(?:_(?P<role>masked|no_response))?"
_NAME = re.compile(r"(left|right)_(air|bone)_name")


def to_table(listeners: Listener | Iterable[Listener], layout: Layout = "wide") -> pd.DataFrame:
    """Listeners as a table.

    Parameters
    ----------
    listeners : Listener or iterable of Listener
        Who; `Listener(left=ear)` makes one of an audiogram.
    layout : {"wide", "long"}, default "wide"
        Wide: a row per listener, thresholds in dB HL in columns like `left_air_1000` and `right_bone_500`, empty where
        not measured, with `..._masked` and `..._no_response` (true or false) and `left_air_name` where any listener
        has such. Long: a row per threshold, columns id, date, source, ear, conduction, frequency (Hz), threshold (dB
        HL), masked, no_response, name.

    Returns
    -------
    pandas.DataFrame
        `from_table` gives the same listeners back; their audiograms then say which ear they are of.

    Raises
    ------
    InputError
        For anything else than listeners, and where two cannot be told apart in a long table.
    """
    import pandas as pd

    several = [listeners] if isinstance(listeners, Listener) else list(listeners)
    for one in several:
        if not isinstance(one, Listener):
            raise InputError(f"listeners are Listener objects, got {type(one).__name__}; Listener(left=ear) makes one.")
    if layout == "long":
        return _long(several)
    if layout != "wide":
        raise unknown_name("layout", layout, ("wide", "long"))
    rows, columns = [], set()
    for one in several:
        row: dict[str, Any] = {"id": one.id, "date": _day(one), "source": one.source}
        for side, conduction, ear in _parts(one):
            if ear.name:
                row[f"{side}_{conduction}_name"] = ear.name
            for f, t in zip(ear.frequencies, ear.thresholds, strict=True):
                name = f"{side}_{conduction}_{_hz(f)}"
                columns.add((side, conduction, f))
                row[name] = t
                row |= {f"{name}_masked": True} if f in ear.masked else {}
                row |= {f"{name}_no_response": True} if f in ear.no_response else {}
        rows.append(row)
    given = {key for row in rows for key in row}
    names = ["id", "date", "source", *(f"{side}_{c}_name" for side in ("left", "right") for c in ("air", "bone"))]
    for side, conduction, f in sorted(columns):
        stem = f"{side}_{conduction}_{_hz(f)}"
        names += [stem, f"{stem}_masked", f"{stem}_no_response"]
    names = [name for name in names if name in given or name in ("id", "date", "source")]
    frame = pd.DataFrame(rows, columns=names)
    for name in names:
        if name.endswith(("_masked", "_no_response")):
            frame[name] = frame[name].notna()
    return frame


def from_table(
    frame: pd.DataFrame,
    *,
    columns: Mapping[str, Sequence[Any]] | None = None,
    pattern: str | None = None,
    id: str | None = None,
    date: str | None = None,
    source: str | None = None,
    ear: str | None = None,
    no_response_at: Limits | None = None,
    codes: Mapping[Any, str] | None = None,
) -> list[Listener]:
    """Listeners from a table.

    Parameters
    ----------
    frame : pandas.DataFrame
        What `to_table` returns, wide or long (known by its columns), also after a way through CSV; or the export of a
        clinic, a row per listener or per ear. Read CSV with `dtype=str` where codes like 007 matter.
    columns : mapping, optional
        What the columns with thresholds are, e.g. `{"R500": ("right", "air", 500), "RB1k": ("right", "bone", 1000)}`;
        a fourth entry says where a column has another role: `masked threshold` (where given, it replaces the
        unmasked one), or `masked` or `no_response` (true or false).
    pattern : str, optional
        Instead of `columns`: a regular expression that matches the whole name of each such column, with the named
        groups `frequency`, and where they vary `ear`, `conduction`, `masked` (a masked threshold where it matches);
        e.g. `(?P<conduction>AC|BC)_(?P<ear>[LR])_(?P<frequency>\\d+k?)`.
    id, date, source : str, optional
        Names of the columns with the listener's code, the day (like 2024-05-31) and the source; default `id`, `date`,
        `source` where there are such.
    ear : str, optional
        Name of the column with the ear, for tables with a row per ear; rows with the same id, date and source are
        then one listener.
    no_response_at : float or mapping, optional
        Highest level presented, dB HL, for cells that say `NR` and no level: a number, or by frequency, or by `air` and
        `bone`.
    codes : mapping, optional
        Cells that stand for "no response" or "not measured", e.g. `{666: "no response", 888: "not measured"}`.

    Returns
    -------
    list of Listener
        In the order of the rows. Cells are read by `clinic_cells.threshold_of`.

    Raises
    ------
    InputError
        For cells that are no threshold, with row and column; for two thresholds of the same tone; where no column has
        thresholds; and for audiograms that are refused.

    Warns
    -----
    AudiogramWarning
        For rows without any threshold, which are left out, and without `columns` and `pattern` for columns that are
        none of those of `to_table`.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"patient": ["p7"], "R500": ["35"], "R4000": [">110"], "L500": [""], "age": [70]})
    >>> (listener,) = from_table(table, pattern=r"(?P<ear>[LR])(?P<frequency>\\d+)", id="patient")
    >>> listener.right.thresholds, listener.right.no_response, listener.left
    ((35.0, 110.0), (4000.0,), None)
    """
    if not hasattr(frame, "columns"):
        raise InputError(
            f"a table is a pandas DataFrame, got {type(frame).__name__}; pandas.read_csv(path, dtype=str) makes one "
            "of a CSV file, with sep=';' where semicolons are between the cells."
        )
    if len(set(frame.columns)) < len(frame.columns):
        raise InputError(f"the table has two columns of one name; there are {_listed(frame.columns)}.")
    meanings = dict(codes or {})
    wrong = next((said for said in meanings.values() if said not in ("no response", "not measured")), None)
    if wrong is not None:
        raise InputError(f"codes say 'no response' or 'not measured', got {wrong!r}.")
    keys = {"id": id, "date": date, "source": source}
    for role, name in (*keys.items(), ("ear", ear)):
        if name is not None and name not in frame.columns:
            raise InputError(f"{role}={name!r} is no column; there are {_listed(frame.columns)}.")
    keys = {role: name if name or role not in frame.columns else role for role, name in keys.items()}
    if columns is not None and pattern is not None:
        raise InputError("give columns or pattern, not both.")
    if columns is None and pattern is None and {"frequency", "threshold"} <= set(frame.columns):
        return _from_long(frame, keys, no_response_at, meanings)
    found = _columns(frame, columns, pattern, needs_ear=ear is None)
    if columns is None and pattern is None:
        _warn_of_others(frame, found, [*keys.values(), ear])
    people = People(merge=ear is not None)
    for label, (_, row) in zip(frame.index, frame.iterrows(), strict=True):
        side = None if ear is None else _told(ear_of, row[ear], f"row {label}, column {ear!r}")
        person = people.of(_key(row, keys), f"row {label}")
        for name, column in found.items():
            where = f"row {label}, column {name!r}"
            at = column._replace(ear=column.ear or side)
            if at.role in ("masked", "no_response"):
                if _told(flag_of, row[name], where):
                    person.flag(at)
            elif (cell := _told(threshold_of, row[name], where, at, no_response_at, meanings)) is not None:
                person.add(at, cell, where)
        for name in frame.columns:
            if (
                columns is None
                and pattern is None
                and (named := _NAME.fullmatch(str(name)))
                and not is_missing(row[name])
            ):
                person.names[named[1], named[2]] = str(row[name])
    return people.listeners()


def _from_long(
    frame: pd.DataFrame, keys: dict[str, str | None], limits: Limits | None, codes: Mapping[Any, str]
) -> list[Listener]:
    if "ear" not in frame.columns:
        raise InputError(f"a long table has a column ear; there are {_listed(frame.columns)}.")
    people = People(merge=True)
    for label, (_, row) in zip(frame.index, frame.iterrows(), strict=True):
        where = f"row {label}"
        at = Column(
            _told(ear_of, row["ear"], where),
            _told(column_of, None, where, row.get("conduction"), 1000).conduction,
            _told(frequency_of, row["frequency"], where),
        )
        person = people.of(_key(row, keys), f"row {label}")
        cell = _told(threshold_of, row["threshold"], where, at, limits, codes)
        if cell is None:
            continue
        masked, unheard = (_told(flag_of, row.get(flag), where) for flag in ("masked", "no_response"))
        cell = Cell(cell.level, cell.masked or masked, cell.no_response or unheard)
        person.add(at, cell, where)
        name = row.get("name")
        if isinstance(name, str) and name:
            person.names[str(at.ear), at.conduction] = name
    return people.listeners()


def _columns(
    frame: pd.DataFrame, columns: Mapping[str, Sequence[Any]] | None, pattern: str | None, *, needs_ear: bool
) -> dict[str, Column]:
    """What each column with thresholds or flags is about."""
    found: dict[str, Column] = {}
    if columns is not None:
        for name, words in columns.items():
            if name not in frame.columns:
                raise InputError(f"columns has {name!r}, which is no column; there are {_listed(frame.columns)}.")
            if isinstance(words, str) or not 3 <= len(words) <= 4:
                raise InputError(f"columns[{name!r}] is (ear, conduction, frequency) or with a role; got {words!r}.")
            found[name] = _told(column_of, words[0], f"columns[{name!r}]", *words[1:])
    else:
        try:
            expression = re.compile(pattern or _OWN)
        except re.error as error:
            raise InputError(f"pattern is not a regular expression ({error}): {pattern}") from None
        if "frequency" not in expression.groupindex:
            raise InputError(r"pattern needs the named group (?P<frequency>...), e.g. (?P<ear>[LR])(?P<frequency>\d+).")
        for name in frame.columns:
            if (match := expression.fullmatch(str(name))) is None:
                continue
            group = match.groupdict()
            role = group.get("role") or ("masked threshold" if group.get("masked") else "threshold")
            found[name] = _told(
                column_of, group.get("ear"), f"column {name!r}", group.get("conduction"), group["frequency"], role
            )
    if not found:
        raise InputError(
            f"no column has thresholds; there are {_listed(frame.columns)}. Say which they are: columns={{...}} or "
            "pattern=r'...'."
        )
    if needs_ear and (unsaid := next((n for n, column in found.items() if column.ear is None), None)):
        raise InputError(f"which ear is column {unsaid!r} of? Give pattern a group (?P<ear>...), or ear='its column'.")
    return found


def _warn_of_others(frame: pd.DataFrame, found: Mapping[str, Column], known: Sequence[str | None]) -> None:
    others = [n for n in frame.columns if n not in found and n not in known and not _NAME.fullmatch(str(n))]
    if others:
        warnings.warn(
            f"these columns are not read: {_listed(others)}. Say with columns or pattern which are thresholds.",
            AudiogramWarning,
            stacklevel=3,
        )


def _told(read: Any, value: Any, where: str, *more: Any) -> Any:
    """`read(value, *more)`, with the place named where it is refused."""
    try:
        return read(value, *more)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _key(row: Any, keys: Mapping[str, str | None]) -> tuple[str, Any, str]:
    values = {role: None if name is None or is_missing(row[name]) else row[name] for role, name in keys.items()}
    day = values["date"]
    if isinstance(day, dt.datetime):  # a pandas.Timestamp is one too
        day = day.date()
    if isinstance(day, str):
        day = day.strip() or None
    code = values["id"]
    if isinstance(code, float) and code.is_integer():
        code = int(code)  # a column of whole numbers with a gap has become floats
    return ("" if code is None else str(code), day, "" if values["source"] is None else str(values["source"]))


def _long(listeners: list[Listener]) -> pd.DataFrame:
    import pandas as pd

    keys = [(one.id, one.date, one.source) for one in listeners]
    if len(set(keys)) < len(keys):
        raise InputError("two listeners have the same id, date and source and would become one; give each an id.")
    rows = [
        (one.id, _day(one), one.source, side, conduction, f, t, f in ear.masked, f in ear.no_response, ear.name)
        for one in listeners
        for side, conduction, ear in _parts(one)
        for f, t in zip(ear.frequencies, ear.thresholds, strict=True)
    ]
    return pd.DataFrame(rows, columns=list(_LONG))


def _parts(listener: Listener) -> list[tuple[str, str, Audiogram]]:
    parts = []
    for side, ear in (("left", listener.left), ("right", listener.right)):
        if ear is not None:
            parts.append((side, "air", ear))
            if ear.bone is not None:
                parts.append((side, "bone", ear.bone))
    return parts


def _day(listener: Listener) -> str:
    return "" if listener.date is None else listener.date.isoformat()


def _hz(frequency: float) -> str:
    return str(int(frequency)) if frequency.is_integer() else repr(frequency)


def _listed(names: Iterable[Any]) -> str:
    given = [str(name) for name in names]
    return ", ".join(given[:12]) + (f" and {len(given) - 12} more" if len(given) > 12 else "")
