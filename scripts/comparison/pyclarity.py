"""Claims about pyclarity 0.9: its audiogram module, its MSBG modules and its torch approximation of MSBG.

`python -m comparison.pyclarity` prints the findings as JSON. Names are looked for in the whole of pyclarity, its
recipes for the challenges included; where one is found elsewhere than in these modules, the answer says so.
"""

from __future__ import annotations

import importlib.metadata
import inspect
import json
import logging
import math
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import clarity.evaluator.mbstoi
import numpy as np
import torch
from clarity.evaluator.msbg.cochlea import HL_PARAMS
from clarity.evaluator.msbg.msbg import Ear
from clarity.evaluator.msbg.msbg_utils import read_gtf_file
from clarity.predictor.torch_msbg import MSBGHearingModel
from clarity.utils.audiogram import AUDIOGRAM_MODERATE, Audiogram, Listener

from comparison.claims import Claims
from comparison.rows import ROWS
from comparison.sounds import lag_of, noise, tone

claim = Claims(
    "pyclarity",
    ["clarity", "recipes"],
    [
        "clarity.utils.audiogram",
        "clarity.evaluator.msbg.msbg",
        "clarity.evaluator.msbg.cochlea",
        "clarity.evaluator.msbg.smearing",
        "clarity.evaluator.msbg.msbg_utils",
        "clarity.predictor.torch_msbg",
    ],
)

RATE = 44_100
FREQUENCIES = np.array([250, 500, 1000, 2000, 3000, 4000, 6000, 8000])
LEVELS = np.array([20.0, 20, 25, 35, 40, 45, 50, 55])
logging.disable()


@cache
def ear(loss: Any = None) -> Ear:
    one = Ear()
    one.set_audiogram(AUDIOGRAM_MODERATE if loss is None else Audiogram(levels=np.array(loss)))
    return one


@cache
def model(**options: Any) -> MSBGHearingModel:
    torch.set_num_threads(1)
    return MSBGHearingModel(LEVELS, FREQUENCIES, device="cpu", **options)


def heard(x: np.ndarray) -> np.ndarray:
    """By the torch model, a clip at a time."""
    with torch.no_grad():
        return model()(torch.as_tensor(x, dtype=torch.float32)[None])[0].numpy()


def raises(kind: type[Exception], call: Any, *arguments: Any) -> str:
    """The error's text."""
    try:
        call(*arguments)
    except kind as error:
        return str(error)
    raise AssertionError(f"no {kind.__name__}")


@claim("thresholds", "yes", "Audiogram(levels, frequencies)")
def _() -> None:
    assert Audiogram(levels=[20.0], frequencies=[187.5]).frequencies[0] == 187.5


@claim("checked", "partly", "Audiogram")
def _() -> str:
    raises(ValueError, Audiogram, [10, 20], [500])
    raises(ValueError, Audiogram, [10, 20], [500, 500])
    raises(ValueError, Audiogram, [10, 20], [1000, 500])
    assert math.isnan(Audiogram([float("nan"), 5000.0], [-3, 500]).levels[0])
    return "lengths, order and repeats are checked; NaN, 5000 dB and -3 Hz are taken"


@claim("fixed", "no", "Audiogram")
def _() -> str:
    one = Audiogram(LEVELS)
    one.levels[0] = 99.0
    assert one.levels[0] == 99.0
    raises(TypeError, hash, one)
    raises(ValueError, lambda: bool(one == Audiogram(LEVELS)))
    return "it can be changed, `==` of two raises ValueError, and none can be a key"


@claim("two_ears", "partly", "Listener(audiogram_left, audiogram_right, id)")
def _() -> str:
    assert set(Listener.__dataclass_fields__) == {"audiogram_left", "audiogram_right", "id"}
    return "no date, no source; both ears are needed"


@claim("interpolation", "partly", "Audiogram.resample(new_frequencies, linear_frequency)")
def _() -> str:
    one = Audiogram([10.0, 20.0], [500, 2000])
    assert one.resample(np.array([1000])).levels[0] == 15.0
    assert list(one.resample(np.array([100, 9000])).levels) == [10.0, 20.0]
    return "over octaves or Hz, ends held"


@claim("msbg_severity", "yes", "Audiogram.severity")
def _() -> None:
    assert AUDIOGRAM_MODERATE.severity == "MODERATE"


@claim("sii", "no", "evaluator.mbstoi.mbstoi")
def _() -> str:
    assert "return sii" in inspect.getsource(clarity.evaluator.mbstoi.mbstoi)
    assert {name for name in claim.vocabulary() if name.startswith("sii")} == {"sii", "sii_file"}
    return "`sii` is its name for the result of MBSTOI, another measure"


@claim("standard", "partly", "AUDIOGRAM_REF", "AUDIOGRAM_MILD", "AUDIOGRAM_MODERATE", "AUDIOGRAM_MODERATE_SEVERE")
def _() -> str:
    n2 = AUDIOGRAM_MODERATE.resample(np.array([250, 1000, 2000, 3000, 4000, 6000])).levels
    assert n2.tolist() == [20.0, 25.0, 35.0, 40.0, 45.0, 50.0]
    return "references of the simulator's authors; the moderate one is N2, and goes on to 16 kHz"


@claim("json", "partly", "Listener.from_dict", "Listener.load_listener_dict")
def _() -> str:
    assert not [name for name in dir(Listener) if name.startswith(("to_", "save", "write"))]
    return "read, not written"


@claim("clarity_file", "yes", "Listener.load_listener_dict")
def _() -> None:
    plain = {"name": "L1", "audiogram_cfs": [500], "audiogram_levels_l": [10], "audiogram_levels_r": [20]}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "listeners.json"
        path.write_text(json.dumps({"L1": plain}))
        assert Listener.load_listener_dict(path)["L1"].audiogram_right.levels[0] == 20


@claim("smearing", "yes", "Smearer.smear")
def _() -> str:
    assert [HL_PARAMS[name]["smear_params"] for name in ("MILD", "SEVERE")] == [(1.6, 1.1), (4.0, 2.0)]
    return "at 44.1 kHz"


@claim("recruitment", "yes", "evaluator.msbg.cochlea.recruitment", "compute_recruitment_parameters")
def _() -> str:
    return "inside the chain, at 44.1 kHz"


@claim("msbg", "yes", "Ear.process", "Cochlea.simulate", "MSBGHearingModel")
def _() -> str:
    assert np.isfinite(ear().process(noise(RATE))[0]).all()
    return "the simulation of the Clarity challenges, and a torch approximation of it with FIR filters"


@claim("level", "partly", "Ear(equiv_0db_spl, ahr)")
def _() -> str:
    x = noise(RATE) * (1 + np.repeat([0.0, 9.0], RATE // 2))
    wanted, same = (ear((0.0,) * 8).process(clip)[0] for clip in (x, np.concatenate([x, np.zeros(RATE)])))
    assert np.std(same[:RATE]) < 0.9 * np.std(wanted[:RATE])
    assert "level" not in inspect.signature(MSBGHearingModel).parameters
    return (
        "`Ear` first turns a clip down by how much louder its loud frames are than all of it, so that silence after "
        "speech changes how the speech is heard; the torch model takes 120 dB SPL for full scale"
    )


@claim("rates", "partly", "Ear(sample_rate)", "MSBGHearingModel(sr)")
def _() -> str:
    raises(ValueError, Ear(sample_rate=16_000.0).process, noise(RATE))
    centres = read_gtf_file("msbg_hparams/GT4FBank_Brd2.0E_Spaced1.5E_44100Fs.json")["GTn_CentFrq"]
    assert model(sr=16_000).n_chans == model().n_chans == len(centres)
    assert max(centres) > 8000
    return "`Ear` takes 44.1 kHz alone; the torch model any rate, with channels up to 19 kHz at 16 kHz, too"


@claim("length", "partly", "Ear.process", "MSBGHearingModel")
def _() -> str:
    x = noise(RATE)
    assert len(heard(x)) == len(x)
    (y,) = ear().process(x)
    assert len(y) == 44_352
    return "44,100 samples become 44,352 in `Ear`, for a loss that it smears; the torch model keeps them"


@claim("delay", "no", "Ear.process", "MSBGHearingModel")
def _() -> str:
    x = noise(RATE)
    assert lag_of(ear((0.0,) * 8).process(x)[0], x) == 1080
    late, torch_late = lag_of(ear().process(x)[0], x), lag_of(heard(x), x)
    assert 1250 < late < 1290
    assert 400 < torch_late < 500
    return "1,080 samples in `Ear` without a loss, some 1,270 with a moderate one; some 450 in the torch model"


@claim("silence", "partly", "Ear.process", "MSBGHearingModel")
def _() -> str:
    with np.errstate(all="ignore"):
        (y,) = ear().process(np.zeros(RATE))
    assert np.isnan(y).all()
    assert not heard(np.zeros(RATE)).any()
    return "NaN from `Ear`, silence from the torch model"


@claim("tone", "partly", "Ear.process", "MSBGHearingModel")
def _() -> str:
    raises(ValueError, ear().process, tone(1000, RATE))
    assert np.isfinite(heard(tone(1000, RATE))).all()
    return "`Ear` raises ValueError while it looks for loud frames; the torch model filters it"


@claim("short", "no", "Ear.process", "MSBGHearingModel")
def _() -> str:
    raises(ValueError, ear().process, noise(100))
    raises(RuntimeError, heard, noise(100))
    return "100 samples raise ValueError and RuntimeError"


@claim("beyond", "no", "Ear.process")
def _() -> str:
    with np.errstate(all="ignore"):
        (y,) = ear((110.0,) * 8).process(noise(RATE))
    assert not np.abs(y).max() < 1e100
    return "samples beyond 10^100 for a loss of 110 dB; above 80 dB it logs a warning"


@claim("batch", "yes", "MSBGHearingModel.forward", "Ear.process")
def _() -> str:
    x = torch.as_tensor(np.stack([noise(RATE)] * 2), dtype=torch.float32)
    with torch.no_grad():
        assert model()(x).shape == x.shape
    assert len(ear().process(np.stack([noise(RATE)] * 2).T)) == 2
    return "rows in the torch model; channels in `Ear`"


@claim("ear_per_row", "no", "Ear.set_audiogram", "MSBGHearingModel(audiogram)")
def _() -> str:
    return "one audiogram for a simulator"


@claim("tensors", "yes", "MSBGHearingModel(device)")
def _() -> str:
    assert isinstance(model()(torch.zeros(1, RATE)), torch.Tensor)
    raises(RuntimeError, model(), torch.zeros(1, RATE, dtype=torch.float64))
    assert not list(model().buffers())
    return "the torch model: float32, on the device that it was made for, which `.to()` does not move"


@claim("gradient_sound", "yes", "MSBGHearingModel")
def _() -> str:
    x = torch.as_tensor(noise(RATE), dtype=torch.float32)[None].requires_grad_()
    model()(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad.any()
    return "the torch model"


@claim("gradient_thresholds", "no", "MSBGHearingModel(audiogram)")
def _() -> str:
    assert not list(model().parameters())
    return "thresholds are NumPy numbers, the module has no parameters"


@claim("calibration", "yes", "Ear.make_calibration_signal", "Ear.process(add_calibration)")
def _() -> None:
    assert len(ear().process(noise(RATE), add_calibration=True)[0]) > 2 * RATE


@claim("attenuation", "no", "evaluator.haspi.eb.ear_model")
def _() -> str:
    return "a hearing loss inside a measure, which puts out envelopes, no sound"


@claim("noise", "partly", "gen_eh2008_speech_noise", "data.scene_renderer_cec2")
def _() -> str:
    assert "snr" not in inspect.signature(Ear.process).parameters
    return "speech-shaped noise can be made; scenes are mixed at a ratio by renderers outside these modules"


@claim("seeds", "no")
def _() -> str:
    assert not [name for name in inspect.signature(Ear).parameters if "seed" in name]
    return "the simulations draw nothing; recipes seed whole runs"


@claim("conditions", "no")
def _() -> str:
    return "its recipes are configured by Hydra files"


@claim("corpora", "partly")
def _() -> str:
    assert "run_HL_processing" in claim.vocabulary()
    return "recipes such as `recipes/cec1/baseline/evaluate.py` run `Ear` over a challenge's scenes, to WAV"


@claim("sound", "yes", "utils.file_io.read_signal", "utils.file_io.write_signal", "utils.signal_processing.resample")
def _() -> str:
    return "outside these modules"


@claim(
    "aids", "yes", "enhancer.nalr.NALR", "evaluator.haspi.haspi_v2", "evaluator.hasqi.hasqi_v2",
    "evaluator.mbstoi.mbstoi", "evaluator.haaqi.haaqi_v1",
)  # fmt: skip
def _() -> str:
    return "and more, outside these modules"


@claim("command", "no")
def _() -> str:
    assert not importlib.metadata.distribution("pyclarity").entry_points
    return "no entry points; its recipes are scripts"


@claim("typed", "no")
def _() -> str:
    assert not (Path(clarity.__path__[0]) / "py.typed").exists()
    return "annotated, without the marker"


@claim("requires", "fact")
def _() -> str:
    needed = [one for one in importlib.metadata.requires("pyclarity") or [] if "extra" not in one]
    assert any(one.startswith("torch") for one in needed)
    return f"{len(needed)} distributions, torch and pytorch-lightning among them"


@claim("licence", "fact")
def _() -> str:
    return importlib.metadata.metadata("pyclarity")["License"]


@claim("python", "fact")
def _() -> str:
    found = importlib.metadata.metadata("pyclarity")
    return f"{found['Version']}, Python {found['Requires-Python'].removeprefix('>=')} or newer"


if __name__ == "__main__":
    sys.stdout.write(claim.report((row.id, row.pattern) for row in ROWS))
