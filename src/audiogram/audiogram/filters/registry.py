"""Filters by name, through entry points of the group `audiogram.filters`.

Metadata is read without importing anything; one filter is imported when it is asked for. A broken plugin disturbs no
other. The built-in filters come through the same door.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audiogram.errors import FilterPluginError, unknown_name
from audiogram.filters.signatures import Flags, checked_options, flags_of, signature_problem

__all__ = ["GROUP", "FilterInfo", "filter_flags", "filter_info", "get_filter", "list_filters", "resolve_options"]

GROUP = "audiogram.filters"
"""The entry-point group. A plugin's pyproject.toml says `[project.entry-points."audiogram.filters"]`."""


@dataclass(frozen=True)
class FilterInfo:
    """What is known of a filter without importing it.

    Attributes
    ----------
    name : str
        The name it is asked for by.
    distribution, version : str
        The installed distribution that offers it.
    target : str
        Where its class is, `module:Class`.
    state : str
        `available`; `conflict: ...` where several distributions claim the name; `broken: ...` where the metadata is
        damaged, or where loading it failed in this process.
    """

    name: str
    distribution: str
    version: str
    target: str
    state: str


_loaded: dict[FilterInfo, type[Any]] = {}
_failed: dict[FilterInfo, str] = {}
_scanned: dict[tuple[Any, ...], tuple[FilterInfo, ...]] = {}


def list_filters() -> list[FilterInfo]:
    """All filters that installed distributions offer, sorted by name; nothing is imported.

    Returns
    -------
    list of FilterInfo
        One per name and distribution, so that a name claimed twice is there twice, with `state` saying so.

    Examples
    --------
    >>> "attenuation" in [f.name for f in list_filters() if f.distribution == "audiogram"]
    True
    """
    found = _scan()
    result = []
    for info in found:
        rivals = [other for other in found if other.name == info.name and other is not info]
        state = info.state
        if info in _failed:
            state = f"broken: {_failed[info]}"
        if rivals and info.name:
            state = "conflict: also claimed by " + ", ".join(f"{r.distribution} {r.version}" for r in rivals)
        result.append(FilterInfo(info.name, info.distribution, info.version, info.target, state))
    return result


def filter_info(name: str) -> FilterInfo:
    """Which distribution offers the filter `name`.

    Raises
    ------
    InputError
        For an unknown name, with its close matches.
    FilterPluginError
        Where several distributions claim the name.
    """
    found = [info for info in _scan() if info.name]
    claims = [info for info in found if info.name == name]
    if not claims:
        raise unknown_name("filter", name, {info.name for info in found})
    if len(claims) > 1:
        listed = " and ".join(f"{c.distribution} {c.version} ({c.target})" for c in claims)
        raise FilterPluginError(f"filter {name!r} is claimed by {listed}; uninstall all but one of them.")
    return claims[0]


def get_filter(name: str) -> type[Any]:
    """Class of a filter, to be called as `cls(audiogram, sample_rate=..., **options)`.

    Parameters
    ----------
    name : str
        A name of `list_filters()`.

    Returns
    -------
    type
        The filter's class, its options checked against the signature when it is called.

    Raises
    ------
    InputError
        For an unknown name, with its close matches.
    FilterPluginError
        Where several distributions claim the name, where importing the filter fails, or where what is found is not a
        filter; the text names filter, distribution, target and cause.

    Examples
    --------
    >>> from audiogram import preset
    >>> get_filter("attenuation")(preset("normal"), sample_rate=16_000).linear
    True
    """
    info = filter_info(name)
    if info not in _loaded:
        try:
            _loaded[info] = _load(info)
        except FilterPluginError as error:
            _failed[info] = str(error.__cause__ or error)
            raise
        _failed.pop(info, None)
    return _loaded[info]


def resolve_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a filter with its defaults filled in, checked against its signature.

    Parameters
    ----------
    name : str
        The filter.
    options : mapping
        Options by name.

    Returns
    -------
    dict
        Every option of the filter, in the order of its signature.

    Raises
    ------
    InputError
        For an unknown option, with its close matches; a missing one; a value of another type than declared.

    Examples
    --------
    >>> resolve_options("attenuation", {"n_fft": 1024})
    {'n_fft': 1024, 'hop_length': 512, 'interpolation': 'log2', 'method': 'stft'}
    """
    return checked_options(name, get_filter(name), options)


def filter_flags(name: str, options: Mapping[str, Any]) -> Flags:
    """What a filter is with given options: `linear`, `level_dependent`, `adds_noise`.

    Parameters
    ----------
    name : str
        The filter.
    options : mapping
        Its options, as `resolve_options` returns them.

    Examples
    --------
    >>> filter_flags("attenuation", {})
    Flags(linear=True, level_dependent=False, adds_noise=False)
    """
    return flags_of(get_filter(name), options)


def _load(info: FilterInfo) -> type[Any]:
    where = f"filter {info.name!r} of {info.distribution} {info.version} ({info.target})"
    if info.state != "available":
        raise FilterPluginError(f"{where} cannot be used: {info.state}. Reinstall {info.distribution}.")
    module, _, attribute = info.target.partition(":")
    try:
        value: Any = importlib.import_module(module)
        for part in attribute.split("."):
            value = getattr(value, part)
    except KeyboardInterrupt:
        raise
    except BaseException as cause:  # a plugin that ends the interpreter on import is broken, too
        raise FilterPluginError(
            f"{where} cannot be loaded: {type(cause).__name__}: {cause}. Repair or uninstall {info.distribution}."
        ) from cause
    problem = signature_problem(value)
    if problem:
        raise FilterPluginError(f"{where} is not a filter: {problem}. Ask the makers of {info.distribution}.")
    result: type[Any] = value
    return result


def _scan() -> tuple[FilterInfo, ...]:
    """Claims of all distributions on `sys.path`; read again when the path or a folder on it has changed."""
    state = tuple((entry, _modified(entry)) for entry in sys.path)
    if state not in _scanned:
        _scanned.clear()
        _scanned[state] = tuple(_read_claims())
    return _scanned[state]


def _modified(entry: str) -> int:
    try:
        return os.stat(entry or ".").st_mtime_ns
    except OSError:
        return 0


def _read_claims() -> list[FilterInfo]:
    claims: dict[tuple[str, str, str], FilterInfo] = {}
    seen: dict[str, Any] = {}
    # importlib.metadata.entry_points() would raise on the first damaged distribution, for all of them
    for distribution in importlib.metadata.distributions():
        try:
            text = distribution.read_text("entry_points.txt") or ""
        except (OSError, UnicodeDecodeError):
            continue
        if GROUP not in text:
            continue
        name, version = _name_and_version(distribution)
        normalised = re.sub(r"[-_.]+", "-", name).lower()
        if seen.setdefault(normalised, distribution) is not distribution:
            continue  # the same distribution further down the path is hidden by the first
        for key, target, problem in _entries(text):
            state = f"broken: {problem}" if problem else "available"
            claims[(key, normalised, target)] = FilterInfo(key, name, version, target, state)
    return sorted(claims.values(), key=lambda c: (c.name, c.distribution, c.target))


def _name_and_version(distribution: importlib.metadata.Distribution) -> tuple[str, str]:
    try:
        metadata = distribution.metadata
        fields = {key: metadata[key] for key in metadata}
        name, version = fields.get("Name", ""), fields.get("Version", "")
    except (OSError, UnicodeDecodeError, KeyError, TypeError):
        name, version = "", ""
    if not name:
        folder = getattr(distribution, "_path", None)  # a dist-info without METADATA still has a name to be called by
        name = re.split(r"-|\.dist-info|\.egg-info", os.path.basename(str(folder)))[0] if folder else "unknown"
    return str(name), str(version or "unknown")


def _entries(text: str) -> list[tuple[str, str, str]]:
    """(name, target, problem) of the lines in our section of an entry_points.txt."""
    found, inside = [], False
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith(("#", ";")):
            continue
        if line.startswith("["):
            inside = line == f"[{GROUP}]"
            continue
        if not inside:
            continue
        name, equals, target = (part.strip() for part in line.partition("="))
        target = target.split("[")[0].strip()  # extras, as in `name = module:attr [extra]`
        if not equals or not name or not re.fullmatch(r"[\w.]+:[\w.]+", target):
            found.append((name, target, f"{line!r} is not of the form name = module:Class"))
        else:
            found.append((name, target, ""))
    return found
