"""The checks of `conformance` on torch tensors, modules and gradients.

They pass where torch is not installed: a filter can be used and checked without the extra that brings it. Those on
modules pass where a filter offers no `module`, as plugins need not.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np

from audiogram.errors import InputError
from audiogram.filters.conformance_tools import TOLERANCE, Options, assert_close, class_of, keys_for, made, sound_of
from audiogram.standard_audiograms import preset
from audiogram.thresholds import Audiogram

__all__ = ["gradients_are_right", "module_is_filter", "thresholds_of_a_module_are_per_row", "torch_is_numpy"]

# Nowhere on a limit where a filter's gradient may jump, and no loss so high that a filter warns or holds it back.
_EAR = Audiogram([250, 500, 1000, 2000, 4000, 8000], [12.3, 18.1, 27.9, 41.3, 52.7, 61.1])
_OTHER = Audiogram(_EAR.frequencies, [58.3, 47.1, 33.7, 24.9, 17.3, 11.9])
_FLAT = Audiogram(_EAR.frequencies, [33.3] * 6)


def torch_is_numpy(filter: str | type[Any], options: Options | None = None) -> None:
    """Tensors come back as tensors with the numbers of the NumPy path; where torch is installed."""
    if not _has_torch():
        return
    import torch

    for ears, shape in ((preset("hfloss"), (3001,)), ([preset("lfloss"), preset("normal")], (2, 1601))):
        one = made(filter, options, ears)
        for dtype in TOLERANCE:
            x = sound_of(shape, dtype)
            tensor = torch.from_numpy(x.copy())
            y = one(tensor)
            assert isinstance(y, torch.Tensor), f"a tensor went in, {type(y).__name__} came out"
            assert y.shape == tensor.shape, f"shape {tuple(tensor.shape)} became {tuple(y.shape)}"
            assert y.dtype == tensor.dtype, f"{tensor.dtype} became {y.dtype}"
            assert torch.equal(tensor, torch.from_numpy(x)), "the filter changed its input tensor in place"
            assert_close(y.numpy(), one(x), dtype, "the torch path")
    try:
        one(torch.full((2, 100), float("nan")))
    except InputError:
        return
    raise AssertionError("a tensor of NaN was not refused with InputError")


def module_is_filter(filter: str | type[Any], options: Options | None = None) -> None:
    """`filter.module()` gives what the filter gives, its thresholds a parameter or not, for one ear and one per row."""
    if not _has_module(filter):
        return
    import torch

    for ears in (_EAR, _FLAT, [_EAR, _OTHER]):
        one = made(filter, options, ears)
        for dtype in TOLERANCE:
            x = torch.from_numpy(sound_of((2, 1601), dtype))
            for trainable in (False, True):
                module = one.module(trainable=trainable)
                assert isinstance(module, torch.nn.Module), f"module() gives {type(module).__name__}"
                values: Any = module.thresholds
                shape = tuple(values.shape)
                assert shape == (len(one.ears), len(_EAR.frequencies)), f"the module's thresholds are {shape}"
                assert isinstance(values, torch.nn.Parameter) == trainable
                y = module(x)
                assert y.shape == x.shape, f"shape {tuple(x.shape)} became {tuple(y.shape)}"
                assert y.dtype == x.dtype, f"{x.dtype} became {y.dtype}"
                assert_close(y.detach().numpy(), one(x).numpy(), dtype, "the module")


def thresholds_of_a_module_are_per_row(filter: str | type[Any], options: Options | None = None) -> None:
    """Thresholds given to a module, one row or one per row of the first axis, are heard as the filters made of them."""
    if not _has_module(filter):
        return
    import torch

    one = made(filter, options, _FLAT)
    module = one.module()
    both = torch.tensor([_EAR.thresholds, _OTHER.thresholds], dtype=torch.float64)
    for dtype in TOLERANCE:
        x = torch.from_numpy(sound_of((2, 2, 1201), dtype))
        wanted = made(filter, options, [_EAR, _OTHER])(x).numpy()
        assert_close(module(x, both).numpy(), wanted, dtype, "thresholds (batch, frequencies)")
        wanted = made(filter, options, _OTHER)(x).numpy()
        assert_close(module(x, both[1]).numpy(), wanted, dtype, "thresholds (frequencies,)")


def gradients_are_right(filter: str | type[Any], options: Options | None = None) -> None:
    """Gradients in sound and thresholds (batch, frequencies) are finite and those that small steps show."""
    if not _has_module(filter):
        return
    import torch

    module = made(filter, options, _EAR).module()
    x = torch.from_numpy(sound_of((2, 1201), np.dtype(np.float64)))
    thresholds = torch.tensor([_EAR.thresholds, _OTHER.thresholds], dtype=torch.float64)
    silent = torch.zeros_like(x)
    rng = np.random.default_rng(1)
    weights, toward_x, toward_t = (
        torch.from_numpy(rng.standard_normal(shape)) for shape in (x.shape, x.shape, thresholds.shape)
    )

    keys = keys_for(filter, options, len(x))  # or a small step in the sound would draw other noise

    def loss(x: Any, thresholds: Any) -> Any:
        return (module(x, thresholds, **keys) * weights).sum()

    for what, sound in (("sound", x), ("silence", silent)):
        inputs = [one.clone().requires_grad_() for one in (sound, thresholds)]
        value = loss(*inputs)
        gradients = (
            torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True)
            if value.requires_grad
            else [torch.zeros_like(one) for one in inputs]
        )
        for name, gradient in zip(("sound", "thresholds"), gradients, strict=True):
            assert gradient.isfinite().all(), f"the gradient in {name} is NaN or infinite at {what}"
        if what == "silence":
            continue  # a compressive filter has a kink there
        for name, gradient, step_x, step_t in (
            ("sound", gradients[0], 1e-6 * toward_x, 0.0),
            ("thresholds", gradients[1], 0.0, 1e-4 * toward_t),
        ):
            with torch.no_grad():
                steps = float(loss(x + step_x, thresholds + step_t) - loss(x - step_x, thresholds - step_t)) / 2
            slope = float((gradient * (step_x if name == "sound" else step_t)).sum())
            scale = max(abs(steps), 1e-10 * float((module(x, thresholds) * weights).abs().sum()))
            assert abs(slope - steps) <= 1e-3 * scale, f"the gradient in {name} is {slope:g}, small steps say {steps:g}"


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _has_module(filter: str | type[Any]) -> bool:
    return _has_torch() and hasattr(class_of(filter), "module")
