"""The transform in lanes against NumPy's, the path around it against SciPy's, and threads against none."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import audiogram
from audiogram import Audiogram, preset
from audiogram.errors import InputError
from audiogram.filters.attenuation import Attenuation
from audiogram.kernels import stft_gain
from audiogram.kernels import threads as threads_module
from audiogram.kernels.lane_fft import LANES, SIZES, WIDTH, lane_fft, lane_ifft, spectrum_order, twiddles

RATE = 16_000
SLOPE = Audiogram([250, 1000, 4000], [10, 30, 60])


def noise(*shape, seed=0, dtype=np.float64):
    return (0.1 * np.random.default_rng(seed).standard_normal(shape)).astype(dtype)


@pytest.fixture
def threads(monkeypatch):
    monkeypatch.setattr(threads_module, "_threads", None)
    return audiogram.set_threads


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-13), (np.float32, 2e-5)])
def test_the_transform_is_numpys_in_its_own_order(size, dtype, tolerance):
    block = noise(size, 2, LANES, dtype=dtype)
    z, w = block.reshape(-1).copy(), twiddles(size, np.dtype(np.result_type(dtype, np.complex64)))
    lane_fft(z, w)
    rows = z.reshape(size // 2, 2, WIDTH)
    last = np.stack([rows[:, 0] + rows[:, 1], rows[:, 0] - rows[:, 1]], axis=1).reshape(size, 2, LANES)
    wanted = np.fft.fft(block[:, 0].astype(np.float64) + 1j * block[:, 1], axis=0)[spectrum_order(size)]
    np.testing.assert_allclose(last[:, 0] + 1j * last[:, 1], wanted, atol=tolerance * np.abs(wanted).max())
    assert sorted(spectrum_order(size)) == list(range(size))
    lane_ifft(z, w)
    np.testing.assert_allclose(z / (size // 2), block.reshape(-1), atol=tolerance * np.abs(block).max())


@settings(deadline=None, max_examples=25)
@given(
    samples=st.integers(1, 9000),
    rows=st.integers(1, 5),
    size=st.sampled_from(SIZES),
    hop=st.integers(1, 8),
    own=st.booleans(),
    single=st.booleans(),
)
def test_lanes_give_what_scipy_gives(samples, rows, size, hop, own, single):
    ears = [Audiogram([250, 4000], [10 * i, 70 - 5 * i]) for i in range(rows)] if own else SLOPE
    x = noise(rows, samples, seed=samples, dtype=np.float32 if single else np.float64)
    options = {"sample_rate": RATE, "n_fft": size, "hop_length": size * hop // 16}
    y = Attenuation(ears, **options)(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stft_gain, "SIZES", ())
        wanted = Attenuation(ears, **options)(x)
    np.testing.assert_allclose(y, wanted, atol=(1e-6 if single else 1e-14) * np.abs(wanted).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_rows_bytes_depend_neither_on_its_batch_nor_on_threads(dtype, threads):
    ears = [SLOPE, preset("lfloss"), SLOPE, preset("hfloss"), SLOPE, SLOPE, SLOPE]
    x = noise(7, 3333, dtype=dtype)
    for n_fft in (512, 1024, 2048):
        threads(1)
        alone = np.stack(
            [
                Attenuation(ear, sample_rate=RATE, n_fft=n_fft, hop_length=200)(row)
                for ear, row in zip(ears, x, strict=True)
            ]
        )
        one = Attenuation(ears, sample_rate=RATE, n_fft=n_fft, hop_length=200)
        for count in (1, 2, 3, 16):
            threads(count)
            np.testing.assert_array_equal(one(x), alone)
    threads(2)
    np.testing.assert_array_equal(
        audiogram.apply_conditions(x, RATE, ["lfloss", "normal"])[0, 3], audiogram.condition("lfloss")(x[3], RATE)
    )


def test_work_is_done_by_as_many_threads_as_are_set(threads):
    def names(rows):
        found, together = {}, threading.Barrier(min(rows, audiogram.get_threads()))

        def work(begin, end):
            together.wait(timeout=60)  # ends only if the blocks run side by side
            found[begin, end] = threading.current_thread().name

        threads_module.in_row_blocks(work, rows)
        return found

    threads(1)
    assert names(5) == {(0, 5): threading.current_thread().name}
    threads(2)
    assert sorted(names(5)) == [(0, 2), (2, 5)]
    assert len(set(names(5).values())) == 2
    threads(3)
    assert sorted(names(2)) == [(0, 1), (1, 2)]


def test_an_error_in_a_thread_is_raised(threads):
    def work(begin, end):
        raise ValueError(f"rows {begin} to {end}")

    threads(2)
    with pytest.raises(ValueError, match="rows 0 to 2"):
        threads_module.in_row_blocks(work, 4)


def test_threads_from_the_environment(threads, monkeypatch):
    monkeypatch.delenv("AUDIOGRAM_THREADS", raising=False)
    assert audiogram.get_threads() == 1
    monkeypatch.setenv("AUDIOGRAM_THREADS", "3")
    assert audiogram.get_threads() == 3
    threads(2)
    assert audiogram.get_threads() == 2


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2", None])
def test_no_such_number_of_threads(threads, count):
    with pytest.raises(InputError, match="number of threads"):
        threads(count)


@pytest.mark.parametrize("given", ["0", "two", "", "-1", "1.5"])
def test_no_such_number_in_the_environment(threads, monkeypatch, given):
    monkeypatch.setenv("AUDIOGRAM_THREADS", given)
    with pytest.raises(InputError, match="AUDIOGRAM_THREADS"):
        audiogram.get_threads()
