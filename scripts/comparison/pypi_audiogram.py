"""Claims about the package `audiogram` 0.1.0 of PyPI; run with its folder first on the path, since ours has its name.

`PYTHONPATH=FOLDER python -m comparison.pypi_audiogram` prints the findings as JSON.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import sys
import warnings
from pathlib import Path

import audiogram
from audiogram import BinauralAudiogram, EarAudiogram, ThresholdPoint, WordRecognitionScore
from comparison.claims import Claims
from comparison.rows import ROWS

claim = Claims("audiogram", ["audiogram"], ["audiogram", "audiogram.plot_mpl"])

MILD = {500: 20.0, 1000: 30.0, 2000: 40.0, 4000: 50.0}


def both(left: EarAudiogram | None = None, right: EarAudiogram | None = None) -> BinauralAudiogram:
    return BinauralAudiogram(left or EarAudiogram(MILD), right or EarAudiogram(MILD), subject_id="p01")


@claim("thresholds", "yes", "EarAudiogram(air)")
def _() -> str:
    assert EarAudiogram({1000: 20.0}).air[1000].threshold_db == 20.0
    assert list(EarAudiogram({187.5: 20.0}).air) == [187]
    return "whole Hz; 187.5 becomes 187"


@claim("checked", "partly", "validate_long_row")
def _() -> str:
    assert EarAudiogram({1000: float("nan"), -3: 5000.0}).available_frequencies() == [-3, 1000]
    return "table rows are checked for ear, kind and frequency; the objects take what is given, as NaN or -3 Hz"


@claim("bone", "yes", "EarAudiogram(bone)")
def _() -> None:
    assert EarAudiogram({500: 20.0, 1000: 30.0}, {2000: 10.0}).available_frequencies("bone") == [2000]


@claim("masked", "yes", "ThresholdPoint(masked)")
def _() -> None:
    assert EarAudiogram({500: ThresholdPoint(20.0, masked=True)}).air[500].masked


@claim("no_response", "yes", "ThresholdPoint(nr)")
def _() -> None:
    assert EarAudiogram({500: ThresholdPoint(120.0, nr=True)}).air[500].nr


@claim("fixed", "partly", "EarAudiogram", "ThresholdPoint")
def _() -> str:
    ear = EarAudiogram(MILD)
    assert ear == EarAudiogram(MILD)
    ear.air[500].threshold_db = 99.0
    assert ear != EarAudiogram(MILD)
    for value in (ear, ear.air[500], both()):
        assert type(value).__hash__ is None
    return "equal ones are equal; all can be changed, none can be a key"


@claim("two_ears", "yes", "BinauralAudiogram(left, right, audiogram_id, subject_id, performed_at, source)")
def _() -> None:
    assert both().subject_id == "p01"


@claim("meta", "yes", "BinauralAudiogram(meta)")
def _() -> None:
    ear = EarAudiogram(MILD)
    one = BinauralAudiogram(ear, ear, meta={"room": 2})
    assert BinauralAudiogram.from_json(one.to_json()).meta == {"room": 2}


@claim("fields", "yes", "EarAudiogram(soundfield, ci)")
def _() -> None:
    assert EarAudiogram(soundfield={500: 30.0}, ci={500: 25.0}).pta(freqs=[500], pathway="ci") == 25.0


@claim(
    "speech_tests", "yes", "EarAudiogram(srt, sat, wrs)", "WordRecognitionScore", "EarAudiogram.best_wrs",
    "EarAudiogram.srt_pta_agreement",
)  # fmt: skip
def _() -> None:
    ear = EarAudiogram(MILD, srt=35.0, wrs=[WordRecognitionScore(92.0, 70.0)])
    assert ear.srt_pta_agreement() == 5.0
    assert ear.best_wrs().score_pct == 92.0


@claim("pta", "yes", "EarAudiogram.pta(standard, pathway)", "BinauralAudiogram.better_ear_pta")
def _() -> str:
    ear = EarAudiogram(MILD, bone=MILD)
    assert (ear.pta(), ear.pta(standard="4tone"), ear.pta(pathway="bone")) == (30.0, 35.0, 30.0)
    return "of bone conduction and aided thresholds, too"


@claim("aao", "yes", "EarAudiogram.pta(standard)")
def _() -> None:
    assert EarAudiogram(MILD).pta(standard="aao_hns") == 33.75


@claim("any_list", "yes", "EarAudiogram.pta(freqs)")
def _() -> None:
    assert EarAudiogram(MILD).pta(freqs=[500, 4000]) == 35.0


@claim("missing", "partly", "EarAudiogram.pta(require_all)")
def _() -> str:
    ear = EarAudiogram({500: 20.0})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ear.pta() == 20.0
    assert ear.pta(require_all=True) is None
    assert ear.severity() == "normal"
    return "by default 0.5 kHz alone is averaged and graded without a word; with `require_all=True` the answer is None"


@claim("bound", "no", "EarAudiogram.pta", "InterauralDifference.nr_involved")
def _() -> str:
    ear = EarAudiogram({500: 80.0, 1000: 90.0, 2000: ThresholdPoint(100.0, nr=True)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert type(ear.pta()) is float
        assert ear.pta() == 90.0
    return "averages take the loudest tone for the threshold; differences between ears say where they do"


@claim("who", "partly", "EarAudiogram.severity", "severity_from_pta")
def _() -> str:
    grades = [audiogram.severity_from_pta(float(average)) for average in range(121)]
    limits = [i - 1 for i in range(1, 121) if grades[i] != grades[i - 1]]
    assert limits == [25, 40, 55, 70, 90]
    assert inspect.signature(EarAudiogram.severity).parameters["standard"].default == "who2021"
    return "called `who2021`, with other limits: up to " + ", ".join(map(str, limits)) + " dB"


@claim("gap", "yes", "EarAudiogram.abg", "EarAudiogram.abg_pta")
def _() -> None:
    ear = EarAudiogram(MILD, bone={500: 10.0})
    assert ear.abg() == {500: 10.0}
    assert ear.abg_pta() == 10.0


@claim("gap_warning", "yes", "EarAudiogram.abg(mask_warning)")
def _() -> None:
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        EarAudiogram(MILD, bone=MILD).abg(mask_warning=True)
    assert "unmasked" in str(seen[0].message)


@claim("loss_type", "yes", "EarAudiogram.loss_type", "loss_type(abg_cutoff, normal_cutoff)")
def _() -> str:
    assert audiogram.loss_type(50.0, 30.0, 20.0) == "mixed"
    assert audiogram.loss_type(50.0, 20.0, 10.0) == "conductive"
    assert audiogram.loss_type(50.0, 20.0, 9.0) == "sensorineural"
    return "a gap from 10 dB, normal up to 25 dB; the limits can be given"


@claim("asymmetry", "yes", "BinauralAudiogram.is_asymmetric(criterion)", "ASYMMETRY_CRITERIA")
def _() -> str:
    other = EarAudiogram({hz: level + 15 for hz, level in MILD.items()})
    assert both(right=other).is_asymmetric("two_consecutive_15db") is True
    assert both().is_asymmetric("3k_rule") is None
    return f"{len(audiogram.ASYMMETRY_CRITERIA)} criteria, one of them of word scores"


@claim("own_criteria", "yes", "BinauralAudiogram.is_asymmetric(criterion)")
def _() -> None:
    assert both().is_asymmetric(lambda one: one.subject_id == "p01") is True


@claim("summary", "yes", "BinauralAudiogram.summary", "register_summary_metric", "enrich_wide_rows")
def _() -> None:
    audiogram.register_summary_metric("mine", lambda one, **_: {"mine": 7})
    assert both().summary()["mine"] == 7
    audiogram.unregister_summary_metric("mine")


@claim("json", "yes", "BinauralAudiogram.to_json", "BinauralAudiogram.from_json")
def _() -> None:
    ear = EarAudiogram({500: ThresholdPoint(110.0, True, True)}, {1000: 12.5}, srt=30.0)
    one = BinauralAudiogram(ear, ear, audiogram_id="a1", performed_at="2024-05-31")
    assert BinauralAudiogram.from_json(one.to_json()) == one


@claim(
    "tables", "yes", "BinauralAudiogram.to_wide_row", "BinauralAudiogram.from_wide_row",
    "BinauralAudiogram.to_long_rows", "BinauralAudiogram.from_long_rows",
)  # fmt: skip
def _() -> None:
    assert BinauralAudiogram.from_wide_row(both().to_wide_row()) == both()
    assert BinauralAudiogram.from_long_rows(both().to_long_rows()) == both()


@claim("clinic", "yes", "BinauralAudiogram.from_wide_row(column_map)", "apply_column_map")
def _() -> str:
    one = BinauralAudiogram.from_wide_row({"R1K": "35"}, column_map={"R1K": "r_air_1000"})
    assert one.right.air[1000].threshold_db == 35.0
    try:
        BinauralAudiogram.from_wide_row({"r_air_1000": "NR"})
    except ValueError:
        return "a cell such as `NR` or `>110` raises ValueError"
    raise AssertionError("NR was read")


@claim("no_pandas", "yes", "BinauralAudiogram.to_long_rows", "BinauralAudiogram.to_table_rows")
def _() -> str:
    assert both().to_long_rows()[0]["ear"] == "left"
    return "dicts, which pandas and Polars take alike"


@claim("chart", "yes", "BinauralAudiogram.plot(show_bone, show_soundfield, show_ci)", "EarAudiogram.plot(ax)")
def _() -> str:
    import matplotlib as mpl

    mpl.use("agg")
    ear = EarAudiogram({500: ThresholdPoint(60.0, masked=True), 4000: ThresholdPoint(110.0, nr=True)}, bone={500: 20.0})
    _, axes = both(ear, ear).plot(show_bone=True, show=False)
    low, high = axes[0].get_ylim()
    assert low > high
    assert len(axes) == 2
    return "the sound field and implants, too"


@claim("banana", "partly", "AudiogramAxesConfig.shade_bands")
def _() -> str:
    return "bands of one's own choice can be shaded"


@claim("styles", "yes", "PLOT_STYLE_PRESETS", "plot_binaural_two_panel")
def _() -> str:
    from audiogram.plot_mpl import PLOT_STYLE_PRESETS

    assert {"ansi_bw", "ehf", "mei"} <= set(PLOT_STYLE_PRESETS)
    return "`ansi_bw`, `ehf` and others"


@claim("msbg_severity", "no", "EarAudiogram.severity")
def _() -> str:
    assert audiogram.severity_from_pta(56.0) == "moderately_severe"
    return "a grade of hearing loss, not of the thresholds from 2 to 8 kHz"


@claim("unilateral", "no", "BinauralAudiogram.severity")
def _() -> str:
    assert set(both().severity()) == {"left", "right"}
    return "grades of each ear"


@claim("interpolation", "no")
def _() -> str:
    assert both().get_threshold(750, "left") is None
    return "what was not measured is None"


def no_sound() -> None:
    """That it has nothing to do with sound."""
    words = re.compile(r"waveform|samples?$|sample_rate|wav$|fft|torch", re.IGNORECASE)
    assert not [name for name in claim.vocabulary() if words.search(name)]


for _row in (
    "level", "rates", "length", "delay", "silence", "tone", "short", "beyond", "batch", "ear_per_row", "tensors",
    "gradient_sound", "gradient_thresholds", "together", "threads", "calibration", "plugins", "conformance", "sound",
    "seeds", "noise", "conditions", "corpora", "plot_gain", "plot_spectrograms", "attenuation", "floor", "smearing",
    "recruitment", "msbg", "conductive",
):  # fmt: skip
    claim(_row, "none")(no_sound)


@claim("command", "no")
def _() -> str:
    assert not importlib.metadata.distribution("audiogram").entry_points
    return "no entry points"


@claim("typed", "yes")
def _() -> None:
    assert (Path(audiogram.__file__).parent / "py.typed").exists()


@claim("requires", "fact")
def _() -> str:
    needed = importlib.metadata.requires("audiogram") or []
    assert all("extra" in one for one in needed)
    return "nothing; NumPy and matplotlib for figures"


@claim("licence", "fact")
def _() -> str:
    assert "MIT License" in importlib.metadata.metadata("audiogram")["License"]
    return "MIT"


@claim("python", "fact")
def _() -> str:
    found = importlib.metadata.metadata("audiogram")
    return f"{found['Version']}, Python {found['Requires-Python'].removeprefix('>=')} or newer"


if __name__ == "__main__":
    sys.stdout.write(claim.report((row.id, row.pattern) for row in ROWS))
