"""Probes: what a Whisper heard, how surely, and how well it heard what was said. Loaded when first used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from audiogram.lazy_names import lazy_names

if TYPE_CHECKING:
    from whisperprobe.probing.agreement import Agreement, probe_agreement
    from whisperprobe.probing.confidence import word_confidence
    from whisperprobe.probing.corpus import probe_corpus
    from whisperprobe.probing.probe import Probe
    from whisperprobe.probing.store import ProbeResult, load_probes

__all__ = [
    "Agreement",
    "Probe",
    "ProbeResult",
    "load_probes",
    "probe_agreement",
    "probe_corpus",
    "word_confidence",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "agreement": ["Agreement", "probe_agreement"],
        "confidence": ["word_confidence"],
        "corpus": ["probe_corpus"],
        "probe": ["Probe"],
        "store": ["ProbeResult", "load_probes"],
    },
)
