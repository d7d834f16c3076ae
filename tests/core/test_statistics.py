"""The statistics behind error bars, against exact values."""

import numpy as np
import pytest
from scipy import stats

from pliant.core import statistics
from pliant.core.estimate import mean_and_error

RNG = np.random.default_rng(11)


@pytest.fixture(autouse=True)
def _the_same_numbers_in_any_order() -> None:
    RNG.bit_generator.state = np.random.default_rng(11).bit_generator.state


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.5, 0.8, 1.2])
def test_tail_index_of_generalised_pareto_samples(shape: float) -> None:
    size = 20_000
    found = [statistics.tail_index(stats.genpareto.rvs(shape, size=size, random_state=RNG)) for _ in range(30)]
    tail = 3 * np.sqrt(size)
    # A uniform-like lower tail is lighter than any; the upper one has the shape, with standard error (1 + k)/sqrt(M).
    error = (1 + abs(shape)) / np.sqrt(tail * len(found))
    assert abs(np.mean(found) - (shape * tail + 5) / (tail + 10)) < 4 * error + 0.02


def test_tail_index_agrees_with_maximum_likelihood() -> None:
    sample = stats.t.rvs(2, size=10_000, random_state=RNG)
    tail = np.sort(sample - np.median(sample))
    excess = tail[-300:] - tail[-301]
    likelihood, _, _ = stats.genpareto.fit(excess, floc=0)
    assert abs(statistics._zhang_stephens(excess) - likelihood) < 0.05


def test_tail_index_has_nothing_to_say_of_few_or_equal_values() -> None:
    assert np.isnan(statistics.tail_index(np.arange(24.0)))
    assert np.isnan(statistics.tail_index(np.ones(100)))


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_autocorrelation_time_of_an_autoregressive_chain(memory: float) -> None:
    chains, steps = 20, 4000
    noise = RNG.normal(size=(chains, steps))
    series = np.empty_like(noise)
    series[:, 0] = noise[:, 0] / np.sqrt(1 - memory**2)
    for t in range(1, steps):
        series[:, t] = memory * series[:, t - 1] + noise[:, t]
    tau, error = statistics.integrated_autocorrelation_time(series)
    exact = 0.5 * (1 + memory) / (1 - memory)
    assert abs(tau - exact) < 4 * error
    assert error < 0.1 * exact


def test_batch_error_of_a_correlated_chain_covers() -> None:
    memory, steps, repeats = 0.8, 64, 400
    noise = np.random.default_rng(3).normal(size=(repeats, steps))
    hits = naive_hits = 0
    for row in noise:
        series = np.empty(steps)
        series[0] = row[0] / np.sqrt(1 - memory**2)
        for t in range(1, steps):
            series[t] = memory * series[t - 1] + row[t]
        mean, error = mean_and_error(series, correlated=True)
        hits += abs(mean) < 1.96 * error
        naive_hits += abs(mean) < 1.96 * mean_and_error(series)[1]
    # Batches as correlated as these draw a verdict of their own; the widened interval is at least no longer absurd.
    assert hits > naive_hits + 0.2 * repeats
    assert hits > 0.7 * repeats


def test_effective_sample_size() -> None:
    assert statistics.effective_sample_size(np.ones(10)) == pytest.approx(10)
    assert statistics.effective_sample_size([1.0, 0.0, 0.0]) == pytest.approx(1)
    assert statistics.effective_sample_size([2.0, 1.0]) == pytest.approx(9 / 5)


def test_the_error_of_the_tail_index_is_cautious():
    """The spread of 300 indices of Student's t with four degrees of freedom, k = 1/4, and a third more at most."""
    rng = np.random.default_rng(3)
    found = [statistics.tail_index(rng.standard_t(4, size=2000)) for _ in range(300)]
    assert 1.1 < statistics.tail_index_error(0.25, 2000) / np.std(found) < 1.5
