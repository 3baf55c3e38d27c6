"""Whisper as a listener: fine-tune it on filtered speech, probe every token, compare conditions and models.

Everything public is here, loaded when first used: `import whisperprobe` imports neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "1.0.0"

if TYPE_CHECKING:
    from whisperprobe.comparison.conditions import Comparison, ProbeRun, compare, load_comparison
    from whisperprobe.features import log_mel
    from whisperprobe.probing.corpus import probe_corpus
    from whisperprobe.probing.probe import Probe
    from whisperprobe.probing.store import ProbeResult, load_probes
    from whisperprobe.report.page import write_report
    from whisperprobe.study import plan, run_study
    from whisperprobe.training.trainer import finetune

_HOMES = {
    "Comparison": "whisperprobe.comparison.conditions",
    "Probe": "whisperprobe.probing.probe",
    "ProbeResult": "whisperprobe.probing.store",
    "ProbeRun": "whisperprobe.comparison.conditions",
    "compare": "whisperprobe.comparison.conditions",
    "finetune": "whisperprobe.training.trainer",
    "load_comparison": "whisperprobe.comparison.conditions",
    "load_probes": "whisperprobe.probing.store",
    "log_mel": "whisperprobe.features",
    "plan": "whisperprobe.study",
    "probe_corpus": "whisperprobe.probing.corpus",
    "run_study": "whisperprobe.study",
    "write_report": "whisperprobe.report.page",
}

__all__ = [
    "Comparison",
    "Probe",
    "ProbeResult",
    "ProbeRun",
    "__version__",
    "compare",
    "finetune",
    "load_comparison",
    "load_probes",
    "log_mel",
    "plan",
    "probe_corpus",
    "run_study",
    "write_report",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'whisperprobe' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
