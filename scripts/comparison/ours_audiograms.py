"""Claims about this library: audiograms, measures, where audiograms come from, interchange and figures."""

from __future__ import annotations

import json
import math
import tempfile
import warnings
from pathlib import Path

import pytest

import audiogram as ag
from audiogram import Audiogram, Listener
from audiogram.errors import AudiogramWarning, InputError
from comparison.claims import Claims

claim = Claims("audiogram", ["audiogram"], ["audiogram"])

FREQUENCIES = (500, 1000, 2000, 4000)
EAR = Audiogram(FREQUENCIES, [20, 30, 40, 50])
BONE = Audiogram([500, 1000, 2000], [0, 10, 20], masked=[500])
DEAF = Audiogram(FREQUENCIES, [80, 90, 95, 100], no_response=[4000])
BOTH = Listener(left=EAR, right=DEAF, id="p01", date="2024-05-31", source="clinic")


@claim("thresholds", "yes", "Audiogram(frequencies, thresholds, ear, name)", "Audiogram.is_flat")
def _() -> None:
    assert Audiogram([187.5], [20]).frequencies == (187.5,)


@claim("checked", "yes", "Audiogram", "errors.InputError")
def _() -> str:
    for frequencies, thresholds in (
        ([500], [math.nan]), ([500, 500], [1, 2]), ([1000, 500], [1, 2]), ([0.5, 1], [10, 20]), ([500], [999]),
    ):  # fmt: skip
        with pytest.raises(InputError):
            Audiogram(frequencies, thresholds)
    return "with the likely mistake, as kHz for Hz"


@claim("bone", "yes", "Audiogram(bone)")
def _() -> None:
    assert Audiogram([500, 4000], [30, 60], bone=Audiogram([1000], [20])).bone == Audiogram([1000], [20])


@claim("masked", "yes", "Audiogram(masked)")
def _() -> None:
    assert Audiogram([500], [20], masked=[500]).masked == (500.0,)


@claim("no_response", "yes", "Audiogram(no_response)")
def _() -> None:
    assert DEAF.no_response == (4000.0,)


@claim("fixed", "yes", "Audiogram")
def _() -> None:
    assert {EAR: 1}[Audiogram(FREQUENCIES, [20, 30, 40, 50])] == 1
    with pytest.raises(AttributeError):
        EAR.thresholds = ()  # type: ignore[misc]


@claim("two_ears", "yes", "Listener(left, right, id, date, source)", "Listener.better_ear", "Listener.worse_ear")
def _() -> None:
    assert BOTH.better_ear is EAR
    assert BOTH.worse_ear is DEAF


@claim("meta", "no", "Listener.from_dict")
def _() -> str:
    with pytest.raises(InputError):
        Listener.from_dict({**BOTH.to_dict(), "meta": {}})
    return "other keys are refused"


@claim("interpolation", "yes", "Audiogram.at(interpolation, edges)")
def _() -> str:
    assert EAR.at(1000 * 2**0.5, "log2") == pytest.approx(35)
    assert EAR.at(1500, "linear") == 35
    assert EAR.at(8000, edges="extrapolate") == 60
    assert 30 < EAR.at(1500, "erb") < 40
    return "over octaves, ERB-numbers or Hz; ends held, extrapolated or refused"


@claim("pta", "yes", "Audiogram.pta", "measures.pta", "Listener.pta")
def _() -> None:
    assert (EAR.pta("pta3"), EAR.pta("pta4"), BOTH.pta("pta3")) == (30.0, 35.0, 30.0)


@claim("aao", "yes", "Audiogram.pta", "measures.AVERAGES")
def _() -> None:
    assert EAR.pta("aao-hns") == 33.75


@claim("any_list", "yes", "Audiogram.pta(frequencies)")
def _() -> None:
    assert EAR.pta([500, 4000]) == 35.0


@claim("missing", "yes", "Audiogram.pta(require_all, interpolation)")
def _() -> str:
    one = Audiogram([500, 4000], [20, 60])
    with pytest.raises(InputError, match="1000, 2000 Hz"):
        one.pta()
    with pytest.warns(AudiogramWarning, match="500, 4000 Hz alone"):
        assert one.pta(require_all=False) == 40.0
    assert one.pta(interpolation="log2") == pytest.approx(40.0)
    return "an error; on request filled in, or left out with a warning"


@claim("bound", "yes", "AtLeast", "AtMost")
def _() -> str:
    with pytest.warns(AudiogramWarning):
        average = DEAF.pta()
    assert isinstance(average, ag.AtLeast)
    assert DEAF.grade() == "profound or worse"
    return f'"{average:g}", and the grade "{DEAF.grade()}"'


@claim("who", "yes", "Audiogram.grade", "measures.grade_of")
def _() -> None:
    from audiogram.measures import grade_of

    grades = [grade_of(float(average)) for average in range(121)]
    assert [i for i in range(1, 121) if grades[i] != grades[i - 1]] == [20, 35, 50, 65, 80, 95]


@claim("unilateral", "yes", "Listener.grade")
def _() -> None:
    assert Listener(Audiogram(FREQUENCIES, [10] * 4), EAR).grade() == "unilateral"


@claim("msbg_severity", "yes", "filters.severity.severity_of")
def _() -> None:
    from audiogram.filters.severity import severity_of

    assert severity_of(EAR) == "moderate"


@claim("gap", "yes", "Audiogram.air_bone_gap", "conduction.air_bone_gaps")
def _() -> None:
    from audiogram.conduction import air_bone_gaps

    one = Audiogram(FREQUENCIES, EAR.thresholds, bone=BONE)
    assert one.air_bone_gap("pta3") == 20.0
    assert air_bone_gaps(one) == {500.0: 20.0, 1000.0: 20.0, 2000.0: 20.0}


@claim("gap_warning", "no", "Audiogram.air_bone_gap")
def _() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Audiogram(FREQUENCIES, EAR.thresholds, bone=Audiogram([500, 1000, 2000], [0, 10, 20])).air_bone_gap("pta3")


@claim("loss_type", "yes", "Audiogram.loss_type", "conduction.loss_type")
def _() -> str:
    assert Audiogram(FREQUENCIES, [50] * 4, bone=BONE).loss_type() == "conductive"
    with pytest.warns(AudiogramWarning):
        assert EAR.loss_type() == "unknown"
    return "a gap from 15 dB, bone conduction up to 20 dB; `unknown` with the reason where it is open"


@claim("asymmetry", "yes", "Listener.asymmetry(criterion)", "interaural.asymmetry")
def _() -> str:
    from typing import get_args

    from audiogram.interaural import Criterion

    found = [BOTH.asymmetry(name) for name in get_args(Criterion)]
    assert all(one.met in (True, None) for one in found)
    assert BOTH.asymmetry("aao-hns").worse == "right"
    return f"{len(found)} published ones, with the ear and the reason; none of word scores"


@claim("own_criteria", "no", "Listener.asymmetry")
def _() -> None:
    with pytest.raises((InputError, TypeError)):
        BOTH.asymmetry(lambda one: True)  # type: ignore[arg-type]


@claim("sii", "yes", "Audiogram.sii", "intelligibility.sii(speech_level, noise, effort, procedure, importance)")
def _() -> None:
    assert 0 < EAR.sii(65, noise=60) < EAR.sii(65) < 1


@claim("matched", "yes", "matched(ear, other, measure)")
def _() -> None:
    assert ag.matched(ag.preset("hfloss"), ag.preset("lfloss")).pta() == pytest.approx(47.5)


@claim("standard", "yes", "presets", "preset")
def _() -> str:
    names = [name for name in ag.presets() if name.startswith("bisgaard-")]
    assert len(names) == 10
    return "all ten, N1 to N7 and S1 to S3"


@claim("iso7029", "yes", "iso7029(age, sex, percentile)")
def _() -> str:
    assert ag.iso7029(60, "male", 90).pta() > ag.iso7029(60, "male").pta() > ag.iso7029(40, "male").pta()
    return "18 to 80 years, above 2 kHz to 70"


@claim("random", "yes", "random_audiogram(seed, source, epoch, id)", "random_audiograms")
def _() -> None:
    assert ag.random_audiogram(1, id="a") == ag.random_audiograms(1, ["b", "a"])[1]


@claim("transducers", "yes", "reference_thresholds.spl_from_hl(transducer)", "reference_thresholds.hl_from_spl")
def _() -> str:
    from audiogram.reference_thresholds import spl_from_hl

    assert spl_from_hl([0], [1000], "tdh39") == 7
    return "free and diffuse field, TDH 39, ER-3A, HDA 200"


@claim(
    "json", "yes", "read_json", "write_json", "Audiogram.to_json", "Listener.to_json", "Audiogram.to_dict",
    "Audiogram.from_dict", "Listener.to_dict", "Listener.from_dict",
)  # fmt: skip
def _() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.json"
        ag.write_json(path, BOTH)
        assert ag.read_json(path) == BOTH
    assert Audiogram.from_dict(json.loads(DEAF.to_json())) == DEAF


@claim("tables", "yes", "to_table(layout)", "from_table")
def _() -> None:
    for layout in ("wide", "long"):
        (one,) = ag.from_table(ag.to_table(BOTH, layout))  # type: ignore[arg-type]
        assert (one.id, one.date, one.right.no_response) == (BOTH.id, BOTH.date, (4000.0,))


@claim("clinic", "yes", "from_table(columns, pattern, no_response_at, codes)")
def _() -> str:
    import pandas as pd

    table = pd.DataFrame({"R500": ["35"], "R4000": [">110"]})
    (one,) = ag.from_table(table, pattern=r"(?P<ear>[LR])(?P<frequency>\d+)")
    assert one.right.no_response == (4000.0,)
    return "cells such as `NR` and `>110` are tones not heard"


@claim("no_pandas", "no", "to_table")
def _() -> str:
    assert type(ag.to_table(BOTH)).__module__.startswith("pandas")
    return "pandas alone"


@claim("fhir", "yes", "to_fhir", "from_fhir")
def _() -> None:
    one = ag.from_fhir(ag.to_fhir(BOTH))
    assert (one.id, one.left.thresholds, one.right.no_response) == (BOTH.id, EAR.thresholds, (4000.0,))


@claim("text", "yes", "standard_audiograms.parse_audiogram")
def _() -> None:
    from audiogram.standard_audiograms import parse_audiogram

    assert parse_audiogram("500:20,4000:60").thresholds == (20.0, 60.0)
    assert parse_audiogram("hfloss") == ag.preset("hfloss")


@claim("chart", "yes", "plot_audiogram(ears, ax)")
def _() -> str:
    ax = ag.plot_audiogram(Listener(left=EAR, right=Audiogram(FREQUENCIES, DEAF.thresholds, bone=BONE)))
    markers = {line.get_marker() for line in ax.lines}
    assert {"x", "o"} <= markers
    low, high = ax.get_ylim()
    assert low > high
    return "the symbols of ASHA, an octave as wide as 20 dB"


@claim("banana", "yes", "plot_audiogram(speech_banana, grades)")
def _() -> None:
    plain, shaded = ag.plot_audiogram(EAR), ag.plot_audiogram(EAR, speech_banana=True, grades=True)
    assert len(shaded.collections) + len(shaded.patches) > len(plain.collections) + len(plain.patches)


@claim("styles", "no", "plot_audiogram(ax)")
def _() -> str:
    assert ag.plot_audiogram(Audiogram([500, 16_000], [20, 60])).get_xlim()[1] > 16_000
    return "one style, in axes of one's own; frequencies to 16 kHz where there are such"


@claim("plot_gain", "yes", "plot_gain(filter, levels)")
def _() -> None:
    hear = ag.get_filter("attenuation")(EAR, sample_rate=16_000)
    assert ag.plot_gain(hear).lines


@claim("plot_spectrograms", "yes", "plot_spectrograms")
def _() -> None:
    import numpy as np

    x = np.random.default_rng(0).standard_normal(4000)
    assert len(ag.plot_spectrograms(x, x / 10, 16_000)) == 2
