"""Numbers about people: against closed forms, known reliabilities, and simulations with planted effects."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from audiogram.errors import InputError
from whisperprobe.comparison.people_simulation import ResponseModel, simulate_responses, simulate_study
from whisperprobe.comparison.regression import correlate, gain_over_baseline, holm
from whisperprobe.comparison.reliability import spearman_brown, split_half


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    base = {"Duration": rng.normal(500, 80, n), "Frequency": rng.gamma(2, 2, n)}
    measure = rng.normal(3, 2, n) + 0.01 * base["Duration"]
    return measure, 0.05 * measure + 0.01 * base["Duration"] + rng.normal(0, 0.3, n), base


# Closed forms


def sum_of_squares(y: np.ndarray, *columns: np.ndarray) -> float:
    """Residual sum of squares from the normal equations, written out."""
    x = np.column_stack([np.ones(len(y)), *columns])
    return float(((y - x @ np.linalg.solve(x.T @ x, x.T @ y)) ** 2).sum())


@given(st.integers(8, 60), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_gain_is_that_of_the_sums_of_squares(n: int, seed: int) -> None:
    measure, response, base = drawn(n, seed)
    gain = gain_over_baseline(measure, response, base)
    without, with_it = (sum_of_squares(response, *base.values(), *more) for more in ((), (measure,)))
    df = n - 4
    f = (without - with_it) / (with_it / df)
    assert gain.f == pytest.approx(f, rel=1e-6)
    assert gain.df == df
    assert gain.p == pytest.approx(float(stats.f.sf(f, 1, df)), rel=1e-5)
    assert gain.delta_log_likelihood == pytest.approx(n / 2 * math.log(without / with_it), rel=1e-6)
    assert gain.p_likelihood_ratio == pytest.approx(float(stats.chi2.sf(n * math.log(without / with_it), 1)), rel=1e-5)
    assert gain.delta_aic == pytest.approx(2 * gain.delta_log_likelihood - 2)
    assert gain.partial_r**2 == pytest.approx((without - with_it) / without, rel=1e-6)
    assert gain.delta_aic_low <= gain.delta_aic <= gain.delta_aic_high
    assert gain.slope_low < gain.slope < gain.slope_high


def test_without_a_baseline_the_partial_correlation_is_the_correlation() -> None:
    measure, response, _ = drawn(40, 1)
    gain, found = gain_over_baseline(measure, response), correlate(measure, response)
    assert gain.partial_r == pytest.approx(found.r)
    assert (gain.partial_low, gain.partial_high) == pytest.approx((found.low, found.high))
    assert gain.p == pytest.approx(found.p)
    assert gain.slope == pytest.approx(found.r * response.std())


def test_gain_does_not_depend_on_units() -> None:
    measure, response, base = drawn(40, 2)
    one = gain_over_baseline(measure, response, base)
    scaled = {name: 1e-6 * column for name, column in base.items()}
    other = gain_over_baseline(1000 * measure - 5, response, scaled)
    assert other.delta_aic == pytest.approx(one.delta_aic)
    assert other.slope == pytest.approx(one.slope)


def test_a_partial_correlation_that_may_be_none_may_be_worth_nothing() -> None:
    rng = np.random.default_rng(3)
    gain = gain_over_baseline(rng.normal(size=200), rng.normal(size=200))
    assert gain.partial_low < 0 < gain.partial_high
    assert gain.delta_aic_low == -2


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_intervals_of_correlations_cover_the_true_one(method: str) -> None:
    rng = np.random.default_rng(4)
    rho = 0.6
    true = rho if method == "pearson" else 6 / math.pi * math.asin(rho / 2)
    hits = 0
    for _ in range(600):
        x, noise = rng.normal(size=(2, 40))
        found = correlate(x, rho * x + math.sqrt(1 - rho**2) * noise, method)
        hits += found.low <= true <= found.high
    assert 0.92 <= hits / 600 <= 0.98  # binomial 3 sd around 0.95


def test_holm_is_bonferroni_for_the_smallest_and_never_falls() -> None:
    p = np.array([0.2, 0.001, 0.04, 0.03])
    adjusted = holm(p)
    assert adjusted[1] == pytest.approx(4 * 0.001)
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
    assert (adjusted >= p).all()
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


# Refusals


def test_fewer_words_than_parameters_are_refused() -> None:
    measure, response, base = drawn(5, 0)
    with pytest.raises(InputError, match=r"5 words are too few for a regression with 4 parameters .*Duration, Freq"):
        gain_over_baseline(measure, response, base)


def test_constant_and_determined_predictors_are_refused() -> None:
    measure, response, base = drawn(30, 0)
    with pytest.raises(InputError, match=r"the measure is the same for all 30 words \(1\)"):
        gain_over_baseline(np.ones(30), response, base)
    with pytest.raises(InputError, match="Duration is the same"):
        gain_over_baseline(measure, response, {"Duration": np.ones(30)})
    with pytest.raises(InputError, match="determined by the baseline"):
        gain_over_baseline(2 * base["Duration"] + base["Frequency"], response, base)
    with pytest.raises(InputError, match="determine each other: Duration, Frequency, twice"):
        gain_over_baseline(measure, response, {**base, "twice": 2 * base["Duration"]})
    with pytest.raises(InputError, match="3 words are too few"):
        correlate(np.arange(3.0), np.arange(3.0))


# Reliability


def trials_of(reliability: float, n_words: int, n_responses: int, seed: int) -> pd.DataFrame:
    """Responses whose word means have the given reliability: true variance 1, mean of the noise as it must be."""
    rng = np.random.default_rng(seed)
    noise = math.sqrt(n_responses * (1 - reliability) / reliability)
    true = rng.normal(size=n_words)
    values = true[:, None] + noise * rng.normal(size=(n_words, n_responses))
    words = np.repeat([f"w{i}" for i in range(n_words)], n_responses)
    return pd.DataFrame({"word": words, "centred": values.ravel()})


@pytest.mark.parametrize("reliability", [0.2, 0.5, 0.9])
def test_split_half_finds_a_known_reliability(reliability: float) -> None:
    found = split_half(trials_of(reliability, 3000, 8, 1), splits=20)
    assert found is not None
    assert found.value == pytest.approx(reliability, abs=0.03)
    assert found.ceiling == pytest.approx(math.sqrt(found.value))
    assert found.half == pytest.approx(reliability / (2 - reliability), abs=0.03)
    assert found.low <= found.value <= found.high
    assert found.n_words == 3000


def test_reliability_is_what_a_second_group_of_people_would_correlate() -> None:
    one, other = trials_of(0.6, 2000, 6, 1), trials_of(0.6, 2000, 6, 1)
    rng = np.random.default_rng(2)
    true = one.groupby("word", sort=False)["centred"].mean()
    sd = math.sqrt(6 * 0.4 / 0.6)
    words = rng.normal(size=2000)
    for frame in (one, other):
        frame["centred"] = np.repeat(words, 6) + sd * rng.normal(size=12_000)
    found = split_half(one, splits=20)
    assert found is not None
    between = np.corrcoef(*(f.groupby("word", sort=False)["centred"].mean() for f in (one, other)))[0, 1]
    assert found.value == pytest.approx(between, abs=0.04)
    assert found.ceiling == pytest.approx(
        np.corrcoef(words, one.groupby("word", sort=False)["centred"].mean())[0, 1], abs=0.03
    )
    assert len(true) == 2000


def test_splits_are_seeded_and_leave_single_responses_out() -> None:
    trials = trials_of(0.5, 50, 3, 0)
    single = pd.concat([trials, pd.DataFrame({"word": ["once"], "centred": [99.0]})])
    assert split_half(trials, seed=1) == split_half(single, seed=1)
    assert split_half(trials, seed=1) != split_half(trials, seed=2)
    shuffled = trials.sample(frac=1, random_state=0)
    again = split_half(shuffled, seed=1, splits=400)
    whole = split_half(trials, seed=1, splits=400)
    assert again is not None
    assert whole is not None
    assert again.value == pytest.approx(whole.value, abs=0.03)


def test_too_little_for_a_reliability() -> None:
    assert split_half(trials_of(0.5, 3, 5, 0)) is None
    assert split_half(trials_of(0.5, 20, 1, 0)) is None
    assert split_half(trials_of(0.5, 20, 4, 0).assign(centred=1.0)) is None
    with pytest.raises(InputError, match="splits=0"):
        split_half(trials_of(0.5, 20, 4, 0), splits=0)


@given(st.floats(0.01, 0.99), st.floats(1, 10))
def test_stepping_up_and_down_again_is_nothing(r: float, factor: float) -> None:
    assert spearman_brown(spearman_brown(r, factor), 1 / factor) == pytest.approx(r)


# Planted effects, through the comparison


def planted(seed: int, effect: float, *, subjects: int = 30, words: int = 200) -> pd.Series:
    model = ResponseModel(heard=0.5)
    found = simulate_study(seed, effect=effect, subjects=subjects, words=words, model=model)
    return found.measures.set_index("measure").stack()


def test_simulation_finds_the_planted_effect_and_not_the_empty_one() -> None:
    studies = [planted(seed, 0.03) for seed in range(60)]
    true = np.array([s["true", "p"] for s in studies], dtype=float)
    empty = np.array([s["empty", "p"] for s in studies], dtype=float)
    assert (true < 0.05).mean() >= 0.9
    assert (empty < 0.05).mean() <= 0.14  # 8 of 60; with 5 % there are more in 1 of 300 samples, and seeds are fixed
    slopes = np.array([s["true", "slope"] for s in studies], dtype=float)
    assert slopes.mean() == pytest.approx(0.03, abs=4 * slopes.std() / math.sqrt(60))
    covered = [s["true", "slope_low"] <= 0.03 <= s["true", "slope_high"] for s in studies]
    assert np.mean(covered) >= 0.85


def test_an_empty_measure_that_goes_with_the_baseline_correlates_but_adds_nothing() -> None:
    study = planted(1, 0.0, subjects=60, words=600)
    assert study["empty", "pearson_p"] < 0.001
    assert study["empty", "p"] > 0.05
    assert study["empty", "delta_aic"] < study["empty", "delta_aic_high"]


def test_simulated_responses_have_the_variances_asked_for() -> None:
    words = pd.DataFrame({"word": [f"w{i}" for i in range(300)], "x": np.arange(300.0)})
    model = ResponseModel(subject_sd=0.2, word_sd=0.1, noise_sd=0.3, errors=0.1)
    trials = simulate_responses(words, {"x": 0.05}, subjects=200, seed=1, model=model)
    log = np.log(trials["RT"])
    assert log.groupby(trials["Subject"]).mean().std() == pytest.approx(0.2, abs=0.03)
    word_means = log.groupby(trials["Item"]).mean()
    assert word_means.std() == pytest.approx(math.sqrt(0.1**2 + 0.05**2 + 0.3**2 / 200), abs=0.015)
    assert (trials["ACC"] == "FALSE").mean() == pytest.approx(0.1, abs=0.01)
    pd.testing.assert_frame_equal(trials, simulate_responses(words, {"x": 0.05}, subjects=200, seed=1, model=model))


@pytest.mark.parametrize("wrong", [{"noise_sd": -1.0}, {"heard": 0.0}, {"errors": 1.0}])
def test_models_of_responses_are_validated(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="ResponseModel"):
        ResponseModel(**wrong)
