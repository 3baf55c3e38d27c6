"""The suite that every filter must pass, for plugin authors and for the built-in filters alike.

In a plugin's tests, with pytest:

    from audiogram.filters import conformance

    @pytest.mark.parametrize("check", conformance.CHECKS, ids=lambda check: check.__name__)
    def test_conforms(check):
        check(MyFilter)

or without it, `conformance.check_filter(MyFilter)`. Checks raise `AssertionError` with what was expected and found.
Sound is drawn from fixed seeds; nothing depends on the clock or on the machine.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from audiogram.errors import InputError
from audiogram.filters.conformance_tools import (
    RATES,
    TOLERANCE,
    Options,
    assert_close,
    class_of,
    flags,
    keys_for,
    made,
    sound_of,
)
from audiogram.filters.conformance_torch import (
    gradients_are_right,
    module_is_filter,
    thresholds_of_a_module_are_per_row,
    torch_is_numpy,
)
from audiogram.filters.signatures import signature_problem
from audiogram.standard_audiograms import preset
from audiogram.thresholds import Audiogram

__all__ = ["CHECKS", "check_filter"]

_LENGTHS = (1, 2, 777, 3200, 16_001)


def check_filter(filter: str | type[Any], options: Options | None = None) -> None:
    """Run all checks on a filter.

    Parameters
    ----------
    filter : str or class
        Name of an installed filter, or its class.
    options : mapping, optional
        Options to make it with.

    Raises
    ------
    AssertionError
        At the first check that fails.

    Examples
    --------
    >>> check_filter("attenuation", {"interpolation": "erb"})
    """
    for check in CHECKS:
        check(filter, options)


def declares_itself(filter: str | type[Any], options: Options | None = None) -> None:
    """The class declares its flags, takes an audiogram first, `sample_rate` by name, and no `**kwargs`."""
    problem = signature_problem(class_of(filter))
    assert not problem, f"{filter}: {problem}"


def keeps_shape_and_dtype(filter: str | type[Any], options: Options | None = None) -> None:
    """Any leading axes and any length come back as they went in, float32 and float64, and the input is not changed."""
    for rate in RATES:
        one = made(filter, options, preset("hfloss"), rate)
        for dtype in TOLERANCE:
            for shape in [(n,) for n in _LENGTHS] + [(2, 1600), (2, 3, 801), (0, 100)]:
                x = sound_of(shape, dtype)
                before = x.copy()
                y = one(x)
                assert isinstance(y, np.ndarray), f"an array went in, {type(y).__name__} came out"
                assert y.shape == x.shape, f"shape {x.shape} became {y.shape} at {rate} Hz"
                assert y.dtype == x.dtype, f"{x.dtype} became {y.dtype}"
                assert np.isfinite(y).all(), f"finite sound of shape {shape} became NaN or infinite"
                assert np.array_equal(x, before), "the filter changed its input in place"


def repeats_itself(filter: str | type[Any], options: Options | None = None) -> None:
    """The same call gives the same samples, also of a filter made anew; another seed gives other noise."""
    x = sound_of((3000,), np.float64)
    ear = preset("lfloss")
    first = made(filter, options, ear)
    y = first(x)
    assert np.array_equal(y, first(x)), "two calls on the same sound differ"
    assert np.array_equal(y, made(filter, options, ear)(x)), "two filters made the same way differ"
    if flags(filter, options).adds_noise:
        other = made(filter, {**(options or {}), "seed": 12345}, ear)
        assert not np.array_equal(y, other(x)), "another seed gives the same noise"


def noise_is_the_clips_own(filter: str | type[Any], options: Options | None = None) -> None:
    """The noise of a clip follows from seed and key, wherever it stands; clips with other keys have other noise."""
    if not flags(filter, options).adds_noise:
        return
    one = made(filter, options, preset("hfloss"))
    for dtype in TOLERANCE:
        x = np.stack([sound_of((3000,), dtype)] * 2)
        a, b = one(x, keys=["a", "b"])
        assert not np.allclose(a, b, rtol=1e-3, atol=0), "two clips with keys of their own have the same noise"
        assert_close(one(x[1], keys="b"), b, dtype, "a clip alone, by its key")
        assert_close(one(x, keys=["b", "c"])[0], b, dtype, "a clip at another place, by its key")
    try:
        one(x, keys=["a", "b", "c"])
    except InputError:
        return
    raise AssertionError("three keys for two clips were not refused with InputError")


def batch_is_loop(filter: str | type[Any], options: Options | None = None) -> None:
    """A batch is filtered as its rows one by one, also where every row has its own ear."""
    ears = [preset("lfloss"), preset("normal"), preset("hfloss")]
    for dtype in TOLERANCE:
        x = sound_of((3, 2, 2501), dtype)
        each = made(filter, options, ears)(x)
        for row, ear in enumerate(ears):
            alone = made(filter, options, ear)
            for column in range(x.shape[1]):
                assert_close(each[row, column], alone(x[row, column]), dtype, f"row {row} with its own ear")
        same = made(filter, options, ears[2])
        loop = np.stack([[same(clip) for clip in row] for row in x])
        assert_close(same(x), loop, dtype, "a batch with one ear")
    try:
        made(filter, options, ears)(sound_of((2, 1000), np.float64))
    except InputError:
        return
    raise AssertionError("three ears on two rows were not refused with InputError")


def shares_work_rightly(filter: str | type[Any], options: Options | None = None) -> None:
    """Where the class offers `together`, it gives what its filters give one by one."""
    cls = class_of(filter)
    if not hasattr(cls, "together"):
        return
    filters = [made(filter, options, preset(name)) for name in ("normal", "lfloss", "hfloss", "lfloss")]
    for dtype in TOLERANCE:
        for shape in ((2001,), (2, 2001)):
            x = sound_of(shape, dtype)
            keys = keys_for(filter, options, x.size // shape[-1])
            found, wanted = cls.together(filters, x, **keys), np.stack([one(x, **keys) for one in filters])
            assert found.shape == wanted.shape, f"together gives {found.shape}, not {wanted.shape}"
            for i in range(len(filters)):
                assert_close(found[i], wanted[i], dtype, f"filter {i} of together")


def has_no_delay(filter: str | type[Any], options: Options | None = None) -> None:
    """Output and input correlate most at lag 0, at both rates, for a flat and for a sloping loss."""
    for rate in RATES:
        x = sound_of((rate // 2,), np.float64)
        for ear in (Audiogram([125, 1000, 8000], [20, 20, 20]), Audiogram([125, 1000, 8000], [10, 25, 40])):
            y = made(filter, options, ear, rate)(x)
            size = 2 * len(x)
            correlation = np.fft.irfft(np.fft.rfft(y, size) * np.conj(np.fft.rfft(x, size)), size)
            lag = int(np.argmax(correlation))
            lag -= size * (lag > len(x))
            assert lag == 0, f"the output is {lag} samples late at {rate} Hz"


def keeps_silence(filter: str | type[Any], options: Options | None = None) -> None:
    """Silence stays exactly silent, unless the filter adds noise, which is finite then."""
    for shape in ((4000,), (2, 500)):
        y = made(filter, options, preset("hfloss"))(np.zeros(shape, np.float32))
        assert np.isfinite(y).all(), "silence became NaN or infinite"
        if not flags(filter, options).adds_noise:
            assert not y.any(), f"silence became sound, up to {np.abs(y).max():g}"


def is_linear_as_declared(filter: str | type[Any], options: Options | None = None) -> None:
    """A filter that calls itself linear is homogeneous and additive."""
    if not flags(filter, options).linear:
        return
    for dtype, tolerance in TOLERANCE.items():
        one = made(filter, options, preset("hfloss"))
        x, y = sound_of((2, 4001), dtype)
        mixed = one(0.5 * x - 3.0 * y)
        parts = 0.5 * one(x) - 3.0 * one(y)
        scale = np.abs(one(x)).max() + 3 * np.abs(one(y)).max()
        worst = np.abs(mixed - parts).max()
        assert worst <= tolerance * scale, f"f(ax + by) and a f(x) + b f(y) differ by {worst:g}"


def depends_on_level_as_declared(filter: str | type[Any], options: Options | None = None) -> None:
    """A filter that calls itself level-dependent answers to `level`; one that does not, does not take it."""
    cls = class_of(filter)
    names = inspect.signature(cls).parameters
    if not cls.level_dependent:
        assert "level" not in names, "the filter takes level but says that it does not depend on it"
    if not flags(filter, options).level_dependent:
        return
    x = sound_of((4000,), np.float64)
    soft, loud = (made(filter, options, preset("hfloss"), level=level)(x) for level in (50.0, 100.0))
    assert not np.allclose(soft, loud, rtol=1e-3, atol=0), "50 and 100 dB SPL give the same output"


def refuses_bad_sound(filter: str | type[Any], options: Options | None = None) -> None:
    """Sound that is not finite, has no samples or is not floating point is refused with `InputError`."""
    one = made(filter, options, preset("hfloss"))
    bad: dict[str, Any] = {
        "NaN": np.array([0.0, np.nan, 0.0]),
        "infinity": np.array([0.0, np.inf, 0.0], np.float32),
        "no samples": np.zeros(0),
        "no samples in a batch": np.zeros((2, 0)),
        "integers": np.zeros(100, np.int16),
        "a list": [0.0] * 100,
    }
    for name, x in bad.items():
        try:
            one(x)
        except InputError:
            continue
        raise AssertionError(f"{name} was not refused with InputError")


CHECKS: tuple[Callable[..., None], ...] = (
    declares_itself,
    keeps_shape_and_dtype,
    repeats_itself,
    noise_is_the_clips_own,
    batch_is_loop,
    shares_work_rightly,
    has_no_delay,
    keeps_silence,
    is_linear_as_declared,
    depends_on_level_as_declared,
    refuses_bad_sound,
    torch_is_numpy,
    module_is_filter,
    thresholds_of_a_module_are_per_row,
    gradients_are_right,
)
"""All checks, each `check(filter, options=None)`, for `pytest.mark.parametrize`."""
