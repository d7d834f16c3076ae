"""Annealing of widths, and the bias estimated from two of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from smooth_checks import GRID, KERNELS, MASS, MEAN, compiled

from pliant import smooth


@pytest.mark.parametrize("form", ["geometric", "linear", "cosine"])
def test_a_schedule(form):
    width = smooth.anneal(1.0, 0.01, steps=10, form=form)
    np.testing.assert_allclose([width(0), width(10), width(99)], [1, 0.01, 0.01], rtol=1e-12)
    middle = {"geometric": 0.1, "linear": 0.505, "cosine": 0.505}[form]
    np.testing.assert_allclose(jax.jit(width)(jnp.int32(5)), middle, rtol=1e-12)
    assert np.all(np.diff([width(t) for t in range(11)]) < 0)


def test_a_schedule_refuses():
    with pytest.raises(ValueError, match="`stop` must be positive"):
        smooth.anneal(1.0, 0.0, steps=10)
    with pytest.raises(ValueError, match="`steps`"):
        smooth.anneal(1.0, 0.1, steps=0)
    with pytest.raises(ValueError, match="`form`"):
        smooth.anneal(1.0, 0.1, steps=3, form="step")


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_estimate_is_close_to_the_true_bias(kernel):
    """Of a probability and of its derivative together, to a tenth of the bias."""
    mean = lambda shift, w: MASS @ smooth.step(GRID + shift, w, kernel=kernel)
    slope = compiled(jax.value_and_grad(mean))
    found = smooth.bias(lambda w: slope(0.0, w), 0.1)
    exact = (norm.cdf(MEAN), norm.pdf(MEAN))
    for value, limit, estimate, truth in zip(*found, exact, strict=True):
        np.testing.assert_allclose(estimate, value - truth, rtol=0.1)
        assert abs(limit - truth) < 0.1 * abs(value - truth)
        np.testing.assert_allclose(value, limit + estimate, rtol=1e-14)


def test_the_estimate_falls_with_the_order_and_the_limit_two_orders_faster():
    mean = compiled(lambda w: MASS @ smooth.step(GRID, w))
    coarse, fine = (smooth.bias(mean, w) for w in (0.1, 0.05))
    np.testing.assert_allclose(np.log2(coarse.bias / fine.bias), 2, atol=0.1)
    errors = [abs(found.extrapolated - norm.cdf(MEAN)) for found in (coarse, fine)]
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), 4, atol=0.3)


def test_the_wrong_order_is_found_out():
    """A mutant: extrapolation of a bias of order 2 as if it were of order 1 leaves a third of it."""
    mean = compiled(lambda w: MASS @ smooth.step(GRID, w))
    truth = mean(0.1) - norm.cdf(MEAN)
    assert abs(smooth.bias(mean, 0.1, order=1).bias / truth - 1.5) < 0.1
    assert abs(smooth.bias(mean, 0.1).bias / truth - 1) < 0.1


def test_the_kink_is_of_order_one_and_exact():
    found = smooth.bias(lambda w: smooth.threshold(0.0, w), 0.3, order=1)
    np.testing.assert_allclose([found.extrapolated, found.bias], [0, 0.3 * np.log(2)], atol=1e-15)


def test_several_widths_shrink_together_under_jit():
    mean = lambda w: {"a": w["x"] ** 2 + 3 * w["y"] ** 2 + 5}
    found = jax.jit(lambda w: smooth.bias(mean, w))({"x": jnp.array(0.1), "y": jnp.array([0.2, 0.3])})
    np.testing.assert_allclose(found.extrapolated["a"], 5, rtol=1e-14)
    np.testing.assert_allclose(found.bias["a"], 0.01 + 3 * np.array([0.04, 0.09]), rtol=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match="`width` must be positive"):
        smooth.bias(lambda w: w, -1.0)
    with pytest.raises(ValueError, match="`order` must be positive"):
        smooth.bias(lambda w: w, 1.0, order=0)
