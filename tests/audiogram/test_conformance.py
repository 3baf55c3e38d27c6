"""The public suite: every built-in filter passes it, and a filter that lies about itself does not."""

import numpy as np
import pytest
import torch

from audiogram import list_filters, preset
from audiogram.errors import InputError
from audiogram.filters import conformance
from audiogram.filters.attenuation import Attenuation
from audiogram.filters.base import DifferentiableFilter
from audiogram.filters.threshold_noise import ThresholdNoise
from audiogram.random_streams import row_keys

BUILT_IN = [info.name for info in list_filters() if info.distribution == "audiogram"]


@pytest.mark.parametrize("name", BUILT_IN)
@pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
def test_built_in_filters_conform(name, check):
    check(name)


def test_options_are_passed_on():
    conformance.check_filter("attenuation", {"n_fft": 512, "hop_length": 200, "interpolation": "linear"})
    conformance.check_filter("attenuation", {"method": "fir"})


class Late(Attenuation):
    def __call__(self, x):
        return np.roll(super().__call__(x), 3, axis=-1) if isinstance(x, np.ndarray) else super().__call__(x)


class Rectifier(Attenuation):
    def __call__(self, x):
        return abs(super().__call__(x))


class Hums(Attenuation):
    def __call__(self, x):
        return super().__call__(x) + 1e-3


class Swallows(Attenuation):
    def __call__(self, x):
        return super().__call__(np.nan_to_num(x) if isinstance(x, np.ndarray) else x)


class InPlace(Attenuation):
    def __call__(self, x):
        x *= 0.5
        return super().__call__(x)


class Doubles(Attenuation):
    def __call__(self, x):
        return super().__call__(x).astype(np.float64) if isinstance(x, np.ndarray) else super().__call__(x)


class OneEar(Attenuation):
    def __call__(self, x):
        self.ears = self.ears[:1]
        self._given = None
        return super().__call__(x)


class Random(Attenuation):
    def __call__(self, x):
        return super().__call__(x) * np.random.default_rng().uniform(0.5, 1)


class BadShare(Attenuation):
    @staticmethod
    def together(filters, x):
        return np.stack([one(x) for one in filters][::-1])

    def __call__(self, x):
        return Attenuation.together([self], x)[0]


class NumpyOnly(Attenuation):
    def __call__(self, x):
        return super().__call__(np.asarray(x))


class NoisyInSecret(Attenuation):
    adds_noise = True


class NoiseOfTheBatch(ThresholdNoise):
    def _white(self, rows, keys):
        return super()._white(rows, keys)[::-1].cumsum(axis=0)[::-1]  # a row's noise depends on those after it


class OneNoiseForAll(ThresholdNoise):
    def _white(self, rows, keys):
        return super()._white(rows, ["the same"] * len(rows))


class NoiseOfTheCall(ThresholdNoise):
    def _white(self, rows, keys):
        row_keys(rows, keys)
        return np.random.default_rng(self.seed).standard_normal(super()._white(rows, keys).shape)


class Forgets(Attenuation):
    def on_tensor(self, rows, thresholds):
        own = torch.from_numpy(self.own_thresholds[:1])
        return super().on_tensor(rows, own + 0 * thresholds)


class Cuts(Attenuation):
    def on_tensor(self, rows, thresholds):
        return super().on_tensor(rows, thresholds.detach())


class Normalises(Attenuation):
    def on_tensor(self, rows, thresholds):
        y = super().on_tensor(rows, thresholds)
        return y * (rows.square().sum().sqrt() + 1) / (rows.detach().square().sum().sqrt() + 1)


class WithoutModule:
    linear, level_dependent, adds_noise = True, False, False

    def __init__(self, audiogram, *, sample_rate):
        self.inner = Attenuation(audiogram, sample_rate=sample_rate)

    def __call__(self, x):
        return self.inner(x)


@pytest.mark.parametrize(
    ("filter", "check"),
    [
        (Late, conformance.has_no_delay),
        (Rectifier, conformance.is_linear_as_declared),
        (Hums, conformance.keeps_silence),
        (Swallows, conformance.refuses_bad_sound),
        (InPlace, conformance.keeps_shape_and_dtype),
        (Doubles, conformance.keeps_shape_and_dtype),
        (OneEar, conformance.batch_is_loop),
        (Random, conformance.repeats_itself),
        (BadShare, conformance.shares_work_rightly),
        (NumpyOnly, conformance.torch_is_numpy),
        (NoisyInSecret, conformance.declares_itself),
        (NoiseOfTheBatch, conformance.batch_is_loop),
        (NoiseOfTheBatch, conformance.noise_is_the_clips_own),
        (OneNoiseForAll, conformance.noise_is_the_clips_own),
        (NoiseOfTheCall, conformance.noise_is_the_clips_own),
        (Forgets, conformance.module_is_filter),
        (Forgets, conformance.thresholds_of_a_module_are_per_row),
        (Cuts, conformance.gradients_are_right),
        (Normalises, conformance.gradients_are_right),
    ],
)
def test_the_suite_finds_what_is_wrong(filter, check):
    with pytest.raises((AssertionError, InputError)):
        check(filter)


def test_a_filter_that_lacks_a_method_says_which():
    class Half(DifferentiableFilter):
        linear, level_dependent, adds_noise = True, False, False

    made = Half(preset("hfloss"), sample_rate=16_000)
    with pytest.raises(NotImplementedError, match=r"Half needs a method on_array\(rows, ears\)"):
        made(np.ones(100))
    with pytest.raises(NotImplementedError, match=r"Half needs a method on_tensor\(rows, thresholds\)"):
        made(torch.ones(100))


def test_a_filter_without_a_module_conforms():
    conformance.check_filter(WithoutModule)
