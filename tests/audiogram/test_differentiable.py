"""Filters as modules: interpolation as a matrix, gradients in sound and thresholds, an ear per row."""

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from audiogram import Audiogram, preset
from audiogram.errors import InputError
from audiogram.filters.attenuation import Attenuation
from audiogram.filters.differentiable import interpolation_matrix

RATE = 16_000
EAR = Audiogram([250, 1000, 4000], [10, 30, 60])


def noise(*shape):
    return torch.from_numpy(0.1 * np.random.default_rng(3).standard_normal(shape))


def small(ear=EAR, **options):
    return Attenuation(ear, sample_rate=RATE, n_fft=16, hop_length=5, **options)


@settings(deadline=None, max_examples=50)
@given(
    frequencies=st.lists(st.integers(20, 20_000), min_size=1, max_size=8, unique=True).map(sorted),
    interpolation=st.sampled_from(["log2", "erb", "linear"]),
    seed=st.integers(0, 100),
)
def test_the_matrix_is_the_interpolation(frequencies, interpolation, seed):
    rng = np.random.default_rng(seed)
    ear = Audiogram(frequencies, rng.uniform(-10, 100, len(frequencies)))
    targets = np.append(rng.uniform(0, 22_050, 50), frequencies)
    matrix = interpolation_matrix(frequencies, targets, interpolation)
    assert matrix.shape == (len(targets), len(frequencies))
    np.testing.assert_allclose(matrix @ ear.thresholds, ear.at(targets, interpolation), atol=1e-10)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    outwards = interpolation_matrix(frequencies, targets, "linear", "extrapolate")
    np.testing.assert_allclose(outwards @ ear.thresholds, ear.at(targets, "linear", "extrapolate"), atol=1e-6)


@pytest.mark.parametrize("options", [{"interpolation": "linear"}, {"interpolation": "erb"}, {"method": "fir"}])
def test_gradients_in_sound_and_thresholds_of_one_ear_and_of_one_per_row(options):
    module = small(**options).module()
    x = noise(2, 31).requires_grad_()
    for thresholds in (noise(3), 20 * noise(1, 3) + 20, 20 * noise(2, 3) + 20):
        assert torch.autograd.gradcheck(module, (x, thresholds.requires_grad_()))


def test_gradients_at_flat_ears():
    for ear in (Audiogram([1000], [20]), Audiogram([500, 2000], [20, 20])):
        module = small(ear).module(trainable=True)
        x = noise(40).requires_grad_()
        assert torch.autograd.gradcheck(
            module, (x, torch.full((1, len(ear.frequencies)), 20.0).double().requires_grad_())
        )
        np.testing.assert_allclose(module(x).detach(), 0.1 * x.detach(), atol=1e-15)
        module(x).sum().backward()
        assert module.thresholds.grad.abs().min() > 0


def test_the_module_is_the_filter():
    x = noise(2, 3, 3001)
    for ears in (EAR, [EAR, Audiogram(EAR.frequencies, [60, 0, 5])]):
        one = Attenuation(ears, sample_rate=RATE)
        np.testing.assert_allclose(one.module()(x), one(x), atol=1e-15)
        single = one.module(trainable=True)(x.float())
        assert single.dtype == torch.float32
        np.testing.assert_allclose(single.detach(), one(x), atol=1e-7)


def test_given_thresholds_replace_its_own():
    module = Attenuation(EAR, sample_rate=RATE).module()
    other = Audiogram(EAR.frequencies, [0, 70, 20])
    x = noise(2, 2500)
    thresholds = torch.tensor([EAR.thresholds, other.thresholds])
    wanted = torch.stack([Attenuation(ear, sample_rate=RATE)(row) for ear, row in zip((EAR, other), x, strict=True)])
    np.testing.assert_allclose(module(x, thresholds.double()), wanted, atol=1e-15)
    np.testing.assert_allclose(module(x[1], thresholds[1].double()), wanted[1], atol=1e-15)
    # a batch of ears whose thresholds another network predicts, in single precision as networks have them
    thresholds.requires_grad_()
    module(x.float(), thresholds).square().sum().backward()
    assert thresholds.grad.abs().min() > 0


def test_a_parameter_learns_the_ear_that_was_heard():
    x = noise(1, 4000)
    target = Attenuation(EAR, sample_rate=RATE)(x)
    module = Attenuation(Audiogram(EAR.frequencies, [20, 20, 20]), sample_rate=RATE).module(trainable=True)
    optimiser = torch.optim.LBFGS(module.parameters(), max_iter=60, line_search_fn="strong_wolfe", tolerance_change=0)

    def loss():
        optimiser.zero_grad()
        value = 1e4 * (module(x) - target).square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    np.testing.assert_allclose(module.thresholds.detach()[0], EAR.thresholds, atol=0.1)


def test_it_is_a_module_like_others():
    trained, fixed = (Attenuation(EAR, sample_rate=RATE).module(trainable=t) for t in (True, False))
    assert [p.shape for p in trained.parameters()] == [(1, 3)]
    assert not list(fixed.parameters())
    assert [*fixed.state_dict()] == ["thresholds"]
    assert "1 ear(s) at 3 frequencies" in repr(fixed)
    x = noise(2000)
    for other in (copy.deepcopy(trained), pickle.loads(pickle.dumps(trained))):
        with torch.no_grad():
            other.thresholds += 20
        np.testing.assert_allclose(other(x).detach(), 0.1 * trained(x).detach(), atol=1e-15)
    assert fixed(torch.zeros(0, 5)).shape == (0, 5)


def test_ears_with_other_frequencies_are_heard_but_make_no_module():
    one = Attenuation([EAR, preset("hfloss")], sample_rate=RATE, interpolation="linear")
    x = noise(2, 2000)
    np.testing.assert_allclose(one(x), one(x.numpy()), atol=1e-15)
    with pytest.raises(InputError, match="2 different sets of frequencies"):
        one.module()


@pytest.mark.parametrize(
    ("x", "thresholds", "words"),
    [
        (np.zeros(100), None, "torch tensors, got ndarray"),
        (torch.zeros(100, dtype=torch.int16), None, "floating point"),
        (torch.full((100,), float("nan")), None, "NaN or infinite"),
        (torch.zeros(100), [10, 20, 30], "floating-point tensor"),
        (torch.zeros(100), torch.tensor([10, 20, 30]), "floating-point tensor"),
        (torch.zeros(100), torch.zeros(4), "4 frequencies, the filter's ear 3: 250, 1000, 4000 Hz"),
        (torch.zeros(100), torch.full((3,), float("inf")), "lower learning rate"),
        (torch.zeros(3, 100), torch.zeros(2, 3), r"2 rows of thresholds.*\(3, 100\)"),
        (torch.zeros(100), torch.zeros(2, 3), "2 rows of thresholds"),
        (torch.zeros(100), torch.zeros(3, device="meta"), "sound is on cpu, thresholds on meta"),
    ],
)
def test_bad_calls(x, thresholds, words):
    with pytest.raises(InputError, match=words):
        small().module()(x, thresholds)


def test_a_filter_for_arrays_needs_no_torch():
    code = (
        "import sys, numpy, audiogram\n"
        "for info in audiogram.list_filters():\n"
        "    audiogram.get_filter(info.name)\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
