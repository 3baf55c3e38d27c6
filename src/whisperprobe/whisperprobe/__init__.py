"""Whisper as a listener: fine-tune it on filtered speech, probe every token, compare conditions and models.

Everything public is here, loaded when first used: `import whisperprobe` imports neither torch nor transformers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

try:
    from audiogram.lazy_names import lazy_names
except ModuleNotFoundError:
    from whisperprobe.unrelated import refusing_names as lazy_names

__version__ = "1.0.0"

if TYPE_CHECKING:
    from whisperprobe.alignment.corpus import align_corpus
    from whisperprobe.alignment.ctc import CTCAligner
    from whisperprobe.alignment.heads import AlignmentHeads, choose_alignment_heads, save_alignment_heads
    from whisperprobe.alignment.shift import measure_shift
    from whisperprobe.alignment.table import load_alignment
    from whisperprobe.alignment.whisper_dtw import WhisperAligner
    from whisperprobe.alignment.words import cut_words
    from whisperprobe.comparison.conditions import Comparison, ProbeRun, compare, load_comparison
    from whisperprobe.comparison.people_data import HumanSource
    from whisperprobe.corpora.extract import extract_corpus
    from whisperprobe.corpora.log_mel_corpus import write_log_mel
    from whisperprobe.corpora.log_mel_reading import open_log_mel
    from whisperprobe.corpora.verify import verify_folder
    from whisperprobe.features import log_mel
    from whisperprobe.probing.agreement import Agreement, probe_agreement
    from whisperprobe.probing.confidence import word_confidence
    from whisperprobe.probing.corpus import probe_corpus
    from whisperprobe.probing.probe import Probe
    from whisperprobe.probing.store import ProbeResult, load_probes
    from whisperprobe.report.page import write_report
    from whisperprobe.study import plan, run_study
    from whisperprobe.training.plots import plot_training
    from whisperprobe.training.trainer import finetune

__all__ = [
    "Agreement",
    "AlignmentHeads",
    "CTCAligner",
    "Comparison",
    "HumanSource",
    "Probe",
    "ProbeResult",
    "ProbeRun",
    "WhisperAligner",
    "__version__",
    "align_corpus",
    "choose_alignment_heads",
    "compare",
    "cut_words",
    "extract_corpus",
    "finetune",
    "load_alignment",
    "load_comparison",
    "load_probes",
    "log_mel",
    "measure_shift",
    "open_log_mel",
    "plan",
    "plot_training",
    "probe_agreement",
    "probe_corpus",
    "run_study",
    "save_alignment_heads",
    "verify_folder",
    "word_confidence",
    "write_log_mel",
    "write_report",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "alignment.corpus": ["align_corpus"],
        "alignment.ctc": ["CTCAligner"],
        "alignment.heads": ["AlignmentHeads", "choose_alignment_heads", "save_alignment_heads"],
        "alignment.shift": ["measure_shift"],
        "alignment.table": ["load_alignment"],
        "alignment.whisper_dtw": ["WhisperAligner"],
        "alignment.words": ["cut_words"],
        "comparison.conditions": ["Comparison", "ProbeRun", "compare", "load_comparison"],
        "comparison.people_data": ["HumanSource"],
        "corpora.extract": ["extract_corpus"],
        "corpora.log_mel_corpus": ["write_log_mel"],
        "corpora.log_mel_reading": ["open_log_mel"],
        "corpora.verify": ["verify_folder"],
        "features": ["log_mel"],
        "probing.agreement": ["Agreement", "probe_agreement"],
        "probing.confidence": ["word_confidence"],
        "probing.corpus": ["probe_corpus"],
        "probing.probe": ["Probe"],
        "probing.store": ["ProbeResult", "load_probes"],
        "report.page": ["write_report"],
        "study": ["plan", "run_study"],
        "training.plots": ["plot_training"],
        "training.trainer": ["finetune"],
    },
)
