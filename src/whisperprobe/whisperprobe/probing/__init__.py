"""Probes: what a Whisper heard, how surely, and how well it heard what was said. Loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisperprobe.probing.corpus import probe_corpus
    from whisperprobe.probing.probe import Probe
    from whisperprobe.probing.store import ProbeResult, load_probes

_HOMES = {"Probe": "probe", "ProbeResult": "store", "load_probes": "store", "probe_corpus": "corpus"}

__all__ = ["Probe", "ProbeResult", "load_probes", "probe_corpus"]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'whisperprobe.probing' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"whisperprobe.probing.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
