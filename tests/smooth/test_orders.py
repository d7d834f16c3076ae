"""Ranks, sorted values, the place of the largest, and draws of it."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm, rankdata
from smooth_checks import KERNELS, check_order, compiled

from pliant import smooth
from pliant.smooth._kernels import kernel_of

sort, rank = (compiled(soft, static_argnames="kernel") for soft in (smooth.sort, smooth.rank))
argmax = compiled(smooth.argmax)
X = np.array([3.0, 1.0, 2.0, 2.0, 10.0, -4.0])


@pytest.mark.parametrize("kernel", KERNELS)
def test_ranks_go_to_mean_ranks(kernel):
    np.testing.assert_allclose(rank(X, 1e-2, kernel=kernel), rankdata(X), atol=1e-12)
    np.testing.assert_allclose(np.sum(rank(X, 2.0, kernel=kernel)), 21, rtol=1e-12)
    slopes = compiled(jax.jacobian(lambda x: smooth.rank(x, 0.5, kernel=kernel)))(X)
    np.testing.assert_allclose(np.sum(slopes, axis=1), 0, atol=1e-12)  # a shift changes no rank
    np.testing.assert_allclose(slopes[2, 3], -float(kernel_of(kernel).density(jnp.zeros(()))) / 0.5, rtol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_mean_rank_over_a_smooth_law_is_of_order_two(kernel):
    """P(x > y) of two normal numbers a distance 0.8 apart, by their difference."""
    z, mass = np.linspace(-12, 12, 48_001), 24 / 48_000
    p = norm.pdf(z, 0.8, np.sqrt(2)) * mass
    pairs = np.stack([z, np.zeros_like(z)], axis=1)
    mean = lambda w: p @ smooth.rank(pairs, w, kernel=kernel)[:, 0]
    check_order(mean, 1 + norm.cdf(0.8 / np.sqrt(2)), 2)


@pytest.mark.parametrize("kernel", KERNELS)
def test_sorted_values_invert_ranks_and_stay_within_their_bound(kernel):
    reach = kernel_of(kernel).reach(len(X))
    ranks_of = compiled(lambda y, w: 0.5 + jnp.sum(smooth.step(y[:, None] - X, w, kernel=kernel), axis=1))
    for w in (1e-3, 0.1, 1.0, 30.0):
        found = sort(X, w, kernel=kernel)
        inverse = ranks_of(found, w)
        np.testing.assert_allclose(inverse, np.arange(1, 7), atol=1e-9 / min(w, 1))
        assert np.all(np.diff(found) > 0)
        assert np.all(np.abs(found - np.sort(X)) <= reach * w * (1 + 1e-9))
    distinct = np.array([0.3, -1.0, 2.0])
    np.testing.assert_allclose(sort(distinct, 0.02, kernel=kernel), np.sort(distinct), atol=1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
def test_sorting_differentiates_as_a_soft_permutation(kernel):
    soft = lambda x, w: smooth.sort(x, w, kernel=kernel)
    f = compiled(soft)
    by_x, by_w = compiled(jax.jacobian(soft, argnums=(0, 1)))(X, 1.5)
    assert np.all(by_x >= 0)
    np.testing.assert_allclose(np.sum(by_x, axis=1), 1, rtol=1e-12)
    h = 1e-5
    v = np.sin(np.arange(6.0))
    difference = (f(X + h * v, 1.5) - f(X - h * v, 1.5)) / (2 * h)
    np.testing.assert_allclose(by_x @ v, difference, atol=1e-7)
    np.testing.assert_allclose(by_w, (f(X, 1.5 + h) - f(X, 1.5 - h)) / (2 * h), atol=1e-7)
    # y(s x, s w) = s y(x, w): Euler's identity for homogeneous functions.
    np.testing.assert_allclose(by_x @ X + 1.5 * by_w, f(X, 1.5), rtol=1e-10)
    backwards = compiled(jax.grad(lambda x: soft(x, 1.5) @ v))(X)
    np.testing.assert_allclose(backwards, v @ by_x, rtol=1e-10, atol=1e-12)


def test_second_derivatives_of_sorting():
    soft = lambda s: smooth.sort(X + s * jnp.cos(X), 1.5)[2]
    f = compiled(soft)
    h = 1e-3
    difference = (f(h) - 2 * f(0.0) + f(-h)) / h**2
    np.testing.assert_allclose(compiled(jax.grad(jax.grad(soft)))(0.0), difference, rtol=1e-4)


def test_ties_spread_at_order_one():
    check_order(lambda w: smooth.sort(jnp.array([2.0, 2.0]), w), 2.0, 1)
    np.testing.assert_allclose(sort(jnp.array([2.0, 2.0]), 0.1), [2 - 0.1 * np.log(3), 2 + 0.1 * np.log(3)])


def test_rows_and_types():
    rows = np.stack([X, X[::-1] * 2])
    for soft, inner in ((sort, smooth.sort), (rank, smooth.rank)):
        mapped = compiled(jax.vmap(inner, (None, 0)))
        np.testing.assert_allclose(soft(rows, np.array([0.5, 1.0]))[1], soft(rows[1], 1.0), rtol=1e-10)
        np.testing.assert_allclose(mapped(X, np.array([0.5, 1.0]))[0], soft(X, 0.5), rtol=1e-10)
        assert soft(np.zeros((2, 0)), 0.1).shape == (2, 0)
        assert soft(X.astype(np.float32), 0.1).dtype == jnp.float32
        assert np.all(np.isnan(soft(np.where(X == 3, np.nan, X), 0.1)))
        with pytest.raises(ValueError, match="must have an axis"):
            inner(1.0, 0.1)
    assert sort(jnp.array([5.0]), 0.1).tolist() == [5.0] and rank(jnp.array([5.0]), 0.1).tolist() == [1.0]
    single = sort(X.astype(np.float32), 1e-3)
    np.testing.assert_allclose(single[[0, 1, 4, 5]], [-4, 1, 3, 10], rtol=1e-6)


def test_a_sort_of_hard_ranks_is_found_out():
    """A mutant: sorting before smoothing has a derivative that is a hard permutation, and fails at the tie."""
    mutant = compiled(jax.jacobian(jnp.sort))(X)
    right = compiled(jax.jacobian(lambda x: smooth.sort(x, 0.1)))(X)
    tie = np.array([2, 3])
    np.testing.assert_allclose(right[2:4, tie], 0.5, atol=0.01)
    assert np.max(np.abs(mutant[2:4, tie] - 0.5)) > 0.4


def test_the_place_of_the_largest():
    index, weights = argmax(X, 0.1)
    np.testing.assert_allclose(index, 4, atol=1e-12)
    assert weights.shape == (6,) and 1 - weights[4] <= 5 * np.exp(-7 / 0.1)
    index, weights = argmax(np.array([1.0, 1.0, 0.0]), np.array(0.01))
    np.testing.assert_allclose(index, 0.5), np.testing.assert_allclose(weights, [0.5, 0.5, 0], atol=1e-12)
    both, _ = argmax(np.stack([X, -X]), np.array([0.1, 0.1]))
    np.testing.assert_allclose(both, [4, 5], atol=1e-9)
    softmax_slope = compiled(jax.grad(lambda x: smooth.argmax(x, 2.0)[0]))(X)
    p = np.exp(X / 2) / np.sum(np.exp(X / 2))
    np.testing.assert_allclose(softmax_slope, p * (np.arange(6) - p @ np.arange(6)) / 2, rtol=1e-10)
    with pytest.raises(ValueError, match="not empty"):
        smooth.argmax(jnp.zeros(0), 0.1)


def test_the_mean_weight_of_the_largest_is_of_order_two():
    """Over a normal difference of two values the soft index is a logistic step."""
    z = np.linspace(-12, 12, 24_001)
    p, pairs = norm.pdf(z, 0.5) * 1e-3, np.stack([np.zeros_like(z), z], axis=1)
    check_order(lambda w: p @ smooth.argmax(pairs, w)[0], norm.cdf(0.5), 2)


def gumbel_mean(logits, w, power):
    """E weight^power of two categories, whose logits differ by a logistic number, by quadrature."""
    u = jnp.linspace(1e-7, 1 - 1e-7, 400_001)
    noise = jnp.log(u) - jnp.log1p(-u)
    return jnp.trapezoid(smooth.step(logits[1] - logits[0] + noise, w) ** power, u)


def test_relaxed_draws():
    logits = np.array([0.0, 0.7])
    p = 1 / (1 + np.exp(-0.7))
    check_order(lambda w: gumbel_mean(logits, w, 1), p, 2, (0.2, 0.1))
    check_order(lambda w: gumbel_mean(logits, w, 2), p, 1, (0.04, 0.02))
    keys = jax.random.split(jax.random.key(0), 20_000)
    draw = compiled(jax.vmap(lambda k: smooth.gumbel_softmax(k, logits, 0.5)))(keys)
    for power in (1, 2):
        values = np.asarray(draw[:, 1] ** power)
        error = values.std() / np.sqrt(len(values))
        assert abs(values.mean() - compiled(gumbel_mean, static_argnums=2)(logits, 0.5, power)) < 4 * error
    chosen = np.argmax(draw, axis=1)
    assert abs(np.mean(chosen) - p) < 4 * np.sqrt(p * (1 - p) / len(keys))


def test_a_hard_draw_has_the_value_of_one_and_the_derivative_of_the_other():
    logits, key = np.array([0.3, -0.2, 0.1]), jax.random.key(3)
    hard = smooth.gumbel_softmax(key, logits, 0.5, hard=True)
    assert sorted(hard.tolist()) == [0, 0, 1]
    derivative = lambda hard: compiled(jax.jacobian(lambda y: smooth.gumbel_softmax(key, y, 0.5, hard=hard)))(logits)
    np.testing.assert_array_equal(derivative(True), derivative(False))
    with pytest.raises(ValueError, match="one random key"):
        smooth.gumbel_softmax(0, logits, 0.5)  # pyright: ignore


def test_permutations_of_the_input_change_nothing():
    few = np.array([0.2, 0.1, 0.9])
    sorted_values = [sort(few[list(p)], 0.3) for p in itertools.permutations(range(3))]
    np.testing.assert_allclose(sorted_values, np.broadcast_to(sorted_values[0], (6, 3)), rtol=1e-12)
