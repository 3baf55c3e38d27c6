"""Claims about this library: filters, conditions, corpora, and what is around them."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import audiogram as ag
from audiogram import Audiogram
from audiogram.errors import AudiogramWarning
from comparison.ours_audiograms import BONE, claim
from comparison.sounds import lag_of, noise, tone

RATE = 16_000
LOSS = Audiogram([250, 500, 1000, 2000, 4000, 6000], [20, 20, 25, 35, 45, 50], bone=BONE)
NAMES = ("attenuation", "conductive", "msbg", "recruitment", "smearing", "threshold_noise")
QUIET = tuple(name for name in NAMES if name != "threshold_noise")  # those that add no noise


@cache
def hearing(name: str, ear: Audiogram = LOSS, rate: float = RATE) -> Any:
    """A built-in filter; `level` where it depends on it."""
    cls = ag.get_filter(name)
    extra = {"level": 100.0} if name in ("msbg", "recruitment", "threshold_noise") else {}
    return cls(ear, sample_rate=rate, **extra)


@claim("attenuation", "yes", "filters.attenuation.Attenuation(n_fft, hop_length, interpolation, method)")
def _() -> None:
    x = tone(1000, RATE, RATE)
    heard = hearing("attenuation")(x)[RATE // 4 : -RATE // 4]
    assert 20 * np.log10(np.std(heard) / np.std(x)) == pytest.approx(-25, abs=0.05)


@claim("floor", "yes", "filters.threshold_noise.ThresholdNoise(level, seed, transducer)")
def _() -> None:
    added = hearing("threshold_noise")(np.zeros(RATE), keys="a")
    assert 20 < 100 + 20 * np.log10(np.std(added)) < 70


@claim("smearing", "yes", "filters.smearing.Smearing(severity, broadening)")
def _() -> None:
    assert not np.allclose(hearing("smearing")(noise(8000)), noise(8000), rtol=0.1)


@claim("recruitment", "yes", "filters.recruitment.Recruitment(level, bank, reference, max_loss)")
def _() -> None:
    x, hear = tone(1000, RATE, RATE), hearing("recruitment", Audiogram([125, 8000], [40, 40]))
    inner = slice(RATE // 4, -RATE // 4)
    drop = 20 * np.log10(np.std(hear(x)[inner]) / np.std(hear(x / 10)[inner]))
    assert drop == pytest.approx(20 * 105 / (105 - 40), abs=0.1)


@claim("msbg", "yes", "filters.msbg.Msbg(level, severity, source, transfer, max_loss)")
def _() -> str:
    assert np.isfinite(hearing("msbg")(noise(RATE))).all()
    return "third-octave levels of speech within 0.5 dB of pyclarity's `Ear` (`tests/peers/test_msbg.py`)"


@claim("conductive", "yes", "filters.conductive.Conductive(cochlear, cochlear_options)")
def _() -> None:
    assert hearing("conductive").gap_ears[0].thresholds[1] == 20.0


@claim("level", "yes", "filters.msbg.Msbg(level)", "Condition(level)")
def _() -> str:
    x = noise(RATE)
    for name in ("msbg", "recruitment"):
        both = hearing(name)(np.concatenate([x, np.zeros(RATE)]))[: RATE - 2000]
        np.testing.assert_allclose(both, hearing(name)(x)[: RATE - 2000], atol=1e-4 * np.abs(both).max())
    one = ag.Condition("soft", LOSS, "recruitment", level={"speech_dbspl": 50})
    assert np.std(one(x, RATE)) < np.std(hearing("recruitment")(x))
    return "silence after speech changes nothing; a level of the active speech on request"


@claim("rates", "yes", "get_filter")
def _() -> str:
    rates = (8000, 16_000, 22_050, 44_100, 48_000)
    for name in NAMES:
        for rate in rates:
            assert np.isfinite(hearing(name, LOSS, rate)(noise(rate // 4, rate))).all()
    return "tried here with every filter from 8 to 48 kHz"


@claim("length", "yes")
def _() -> None:
    for name in NAMES:
        for samples in (1, 777, 4001):
            assert hearing(name)(noise(samples)).shape == (samples,)


@claim("delay", "yes")
def _() -> None:
    mild = Audiogram([125, 1000, 8000], [10, 15, 20], bone=Audiogram([1000], [10]))
    for name in NAMES:
        for rate in (16_000, 44_100):
            assert lag_of(hearing(name, mild, rate)(noise(rate, rate)), noise(rate, rate)) == 0, name


@claim("silence", "yes")
def _() -> str:
    for name in QUIET:
        assert not hearing(name)(np.zeros(4000)).any(), name
    return "but for `threshold_noise`, whose purpose is noise"


@claim("tone", "yes")
def _() -> None:
    for name in NAMES:
        assert np.isfinite(hearing(name, LOSS, 44_100)(tone(1000, 44_100))).all()


@claim("short", "yes")
def _() -> str:
    for name in NAMES:
        assert np.isfinite(hearing(name)(noise(1))).all()
    return "from one sample"


@claim("beyond", "yes")
def _() -> str:
    deep = Audiogram([125, 8000], [110, 110], bone=Audiogram([125, 8000], [90, 90]))
    for name in NAMES:
        if name in ("msbg", "recruitment"):
            with pytest.warns(AudiogramWarning, match="80"):
                hear = hearing(name, deep)
        else:
            hear = hearing(name, deep)
        y = hear(noise(4000))
        assert np.isfinite(y).all()
        assert np.abs(y).max() < 1000
    return "recruitment counts losses above 80 dB as 80, with a warning; the limit is an option"


@claim("batch", "yes")
def _() -> None:
    x = np.stack([noise(4000, seed=0), noise(4000, seed=1)])
    for name in NAMES:
        np.testing.assert_allclose(hearing(name)(x)[1], hearing(name)(x[1]), atol=1e-10)


@claim("ear_per_row", "yes")
def _() -> None:
    other = Audiogram([500, 4000], [10, 15], bone=BONE)
    x = np.stack([noise(4000)] * 2)
    for name in NAMES:
        extra = {"level": 100.0} if name in ("msbg", "recruitment", "threshold_noise") else {}
        both = ag.get_filter(name)([LOSS, other], sample_rate=RATE, **extra)(x)
        np.testing.assert_allclose(both[1], hearing(name, other)(x[1]), atol=1e-10)


@claim("tensors", "yes", "get_filter")
def _() -> str:
    import torch

    x = noise(4000)
    for name in NAMES:
        y = hearing(name)(torch.as_tensor(x))
        assert y.dtype is torch.float64
        np.testing.assert_allclose(y.numpy(), hearing(name)(x), atol=1e-8)
    return "float32 and float64, equal to the NumPy path"


@claim("gradient_sound", "yes", "filters.base.DifferentiableFilter.module", "filters.differentiable.FilterModule")
def _() -> None:
    import torch

    for name in NAMES:
        x = torch.as_tensor(noise(2000)).requires_grad_()
        hearing(name).module()(x).square().sum().backward()
        assert x.grad.isfinite().all()
        assert x.grad.any()


@claim("gradient_thresholds", "yes", "filters.base.DifferentiableFilter.module(trainable)")
def _() -> str:
    import torch

    for name in NAMES:
        module = hearing(name).module(trainable=True)
        module(torch.as_tensor(noise(2000)).requires_grad_()).square().sum().backward()
        grad = module.thresholds.grad
        assert (grad is not None and bool(grad.any())) == (name != "smearing"), name
    return "all but `smearing`, which thresholds switch in steps"


@claim("together", "yes", "apply_conditions")
def _() -> None:
    assert ag.apply_conditions(noise(4000), RATE, ["normal", "lfloss", "hfloss"]).shape == (3, 4000)


@claim("threads", "yes", "set_threads", "get_threads")
def _() -> str:
    before = ag.get_threads()
    x = np.stack([noise(4000, seed=i) for i in range(4)])
    alone = hearing("attenuation")(x)
    try:
        ag.set_threads(2)
        np.testing.assert_array_equal(hearing("attenuation")(x), alone)
    finally:
        ag.set_threads(before)
    return "the same bytes with any number"


@claim("calibration", "no", "Condition(level)")
def _() -> str:
    return "levels are numbers that go with the filter"


@claim(
    "conditions", "yes", "Condition(name, audiogram, filter, options, level, noise, normalise)", "Condition.to_dict",
    "Condition.from_dict", "Condition.versions", "condition", "conditions",
)  # fmt: skip
def _() -> None:
    one = ag.Condition("mine", LOSS, noise={"kind": "white", "snr_db": 5}, normalise="peak")
    assert ag.Condition.from_dict(one.to_dict()) == one
    assert one.versions()["distribution"] == "audiogram"
    assert [ag.condition(name).name for name in ag.conditions()] == ["normal", "lfloss", "hfloss"]


@claim("noise", "yes", "Condition(noise)", "maskers.make_noise")
def _() -> str:
    from audiogram.maskers import check_noise, make_noise

    for kind in ("white", "speech-shaped"):
        added = make_noise(tone(500, RATE, RATE), RATE, check_noise({"kind": kind, "snr_db": 10}), "a")
        assert 20 * np.log10(0.05 / 2**0.5 / np.std(added)) == pytest.approx(10, abs=0.1)
    return "white, shaped as the clip or as a corpus, or from a file; the ratio is to active speech"


@claim("seeds", "yes", "random_streams.generator")
def _() -> None:
    hear, x = hearing("threshold_noise"), np.stack([noise(4000)] * 2)
    np.testing.assert_array_equal(hear(x, keys=["a", "b"])[1], hear(x[1], keys="b"))


@claim("corpora", "yes", "mask_corpus", "open_corpus")
def _() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        for i in range(2):
            ag.write(Path(folder) / "in" / f"word_{i}.wav", noise(2000), RATE, "wav")
        written = ag.mask_corpus(Path(folder) / "in", Path(folder) / "out", ["hfloss"])["hfloss"]
        assert list(Path(written).rglob("*.parquet"))
        assert len(ag.open_corpus(written).splits) == 1


@claim("sound", "yes", "read", "resample", "write")
def _() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.flac"
        ag.write(path, noise(3200), RATE)
        x, rate = ag.read(path)
        assert rate == RATE
        assert len(ag.resample(x, rate, 8000)) == 1600


@claim("plugins", "yes", "list_filters", "get_filter", "filters.registry.resolve_options")
def _() -> str:
    assert tuple(one.name for one in ag.list_filters() if one.distribution == "audiogram") == NAMES
    return "entry points of the group `audiogram.filters`"


@claim("conformance", "yes", "filters.conformance.check_filter", "filters.conformance.CHECKS")
def _() -> None:
    from audiogram.filters.conformance import check_filter

    check_filter("attenuation", {"n_fft": 512, "hop_length": 128})


@claim("command", "yes", "cli.app")
def _() -> str:
    from audiogram.cli import app

    names = sorted(one.name or "" for one in app.registered_commands)
    assert importlib.metadata.entry_points(group="console_scripts", name="audiogram")
    return ", ".join(f"`{name}`" for name in names)


@claim("typed", "yes")
def _() -> None:
    assert (Path(ag.__file__).parent / "py.typed").exists()


@claim("requires", "fact")
def _() -> str:
    needed = [one for one in importlib.metadata.requires("audiogram") or [] if "extra" not in one]
    code = (
        "import sys, audiogram; print(sorted({'torch', 'numba', 'scipy', 'pandas', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    return f"{len(needed)} distributions, of which `import audiogram` loads NumPy; torch, figures, corpora: extras"


@claim("licence", "fact")
def _() -> str:
    return importlib.metadata.metadata("audiogram")["License-Expression"]


@claim("python", "fact")
def _() -> str:
    found = importlib.metadata.metadata("audiogram")
    assert found["Version"] == ag.__version__
    return f"{ag.__version__}, Python {found['Requires-Python'].removeprefix('>=')} or newer"
