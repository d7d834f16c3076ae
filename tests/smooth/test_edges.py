"""Steps, thresholds and clips: their kernels, their limits, and the known bias on the way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from smooth_checks import GRID, KERNELS, MASS, MEAN, VARIANCES, check_order, compiled, density, density_slope

from pliant import smooth
from pliant.smooth._kernels import kernel_of

LEVEL, LOWER, UPPER = 0.7, -0.5, 0.9


def ramp_mean(level):
    """E max(x - level, 0) for the normal law."""
    return (MEAN - level) * norm.sf(level, MEAN) + density(level)


# name: (relaxation, sharp form, its mean, the bias over variance / 2)
EDGES = {
    "step": (smooth.step, lambda x: jnp.heaviside(x, 0.5), norm.sf(0, MEAN), -density_slope(0)),
    "threshold": (
        lambda x, w, **k: smooth.threshold(x, w, level=LEVEL, **k),
        lambda x: jnp.where(x > LEVEL, x, 0),
        ramp_mean(LEVEL) + LEVEL * norm.sf(LEVEL, MEAN),
        density(LEVEL) - LEVEL * density_slope(LEVEL),
    ),
    "relu": (smooth.threshold, jax.nn.relu, ramp_mean(0), density(0)),
    "clip": (
        lambda x, w, **k: smooth.clip(x, w, lower=LOWER, upper=UPPER, **k),
        lambda x: jnp.clip(x, LOWER, UPPER),
        LOWER + ramp_mean(LOWER) - ramp_mean(UPPER),
        density(LOWER) - density(UPPER),
    ),
}


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_and_its_integrals(name):
    kernel = kernel_of(name)
    density, step, ramp = (compiled(f) for f in kernel[:3])
    u = np.linspace(-40, 40, 160_001)
    p = density(u) * (u[1] - u[0])
    np.testing.assert_allclose([np.sum(p), u**2 @ p], [1, kernel.variance], rtol=1e-6)
    assert kernel.variance == VARIANCES[name]
    some = np.linspace(-4, 4, 33)  # the ends of the compact kernel among them
    by_step, by_ramp = (compiled(jax.vmap(jax.grad(f)))(some) for f in (kernel.step, kernel.ramp))
    np.testing.assert_allclose(by_step, density(some), atol=1e-12)
    np.testing.assert_allclose(by_ramp, step(some), atol=1e-12)
    np.testing.assert_allclose(step(some) + step(-some), 1, atol=1e-12)
    np.testing.assert_allclose(ramp(some) - ramp(-some), some, atol=1e-12)
    n = np.array([1, 2, 5, 1000])
    assert np.all(step(np.array([kernel.reach(i) for i in n])) >= 1 - 1 / (2 * n) - 1e-12)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", EDGES)
def test_the_bias_of_a_mean_is_of_order_two_with_its_constant(name, kernel):
    soft, _, exact, slope = EDGES[name]
    mean = jax.jit(lambda w: MASS @ soft(GRID, w, kernel=kernel))
    check_order(mean, exact, 2)
    w = 0.02
    np.testing.assert_allclose(mean(w) - exact, 0.5 * VARIANCES[kernel] * w**2 * slope, rtol=0.02)


@pytest.mark.parametrize("name", EDGES)
def test_an_off_centre_edge_is_found_out(name):
    """A mutant: the edge moves with the width, and the order falls to one."""
    soft, _, exact, _ = EDGES[name]
    with pytest.raises(AssertionError, match="order (1|0.9)"):
        check_order(lambda w: MASS @ soft(GRID + 0.5 * w, w, kernel="cubic"), exact, 2)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_derivative_of_a_mean_is_of_order_two(kernel):
    """d P(x > 0) / d mean = p(0), where the sharp step gives nothing."""
    slope = jax.grad(lambda shift, w: MASS @ smooth.step(GRID + shift, w, kernel=kernel))
    check_order(lambda w: slope(0.0, w), density(0), 2)
    assert jax.grad(lambda shift: MASS @ jnp.heaviside(GRID + shift, 0.5))(0.0) == 0


def test_a_gaussian_step_of_a_normal_number_is_a_closed_form():
    mean = jax.jit(lambda mu, w: MASS @ smooth.step(GRID - MEAN + mu, w, kernel="gaussian"))
    exact = lambda mu, w: jax.scipy.stats.norm.cdf(mu / jnp.sqrt(1 + w**2))
    found, wanted = (compiled(jax.value_and_grad(f, argnums=(0, 1)))(0.4, 0.5) for f in (mean, exact))
    np.testing.assert_allclose(jax.tree.leaves(found), jax.tree.leaves(wanted), rtol=1e-9)


@pytest.mark.parametrize("name", EDGES)
def test_at_one_point(name):
    soft, sharp, _, _ = EDGES[name]
    soft, sharp = compiled(soft, static_argnames="kernel"), compiled(sharp)
    away = np.array([-2.0, -0.2, 0.2, 0.6, 2.0])
    for kernel in KERNELS:
        np.testing.assert_allclose(soft(away, 1e-3, kernel=kernel), sharp(away), atol=1e-12)
    np.testing.assert_allclose(soft(away, 0.05, kernel="cubic"), sharp(away), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("kernel", KERNELS)
def test_at_the_kink_the_order_is_one(kernel):
    height = {"logistic": np.log(2), "gaussian": 1 / np.sqrt(2 * np.pi), "cubic": 3 / 16}[kernel]
    np.testing.assert_allclose(smooth.threshold(0.0, 0.3, kernel=kernel), 0.3 * height, rtol=1e-12)
    np.testing.assert_allclose(smooth.clip(1.0, 0.01, lower=-1.0, upper=1.0, kernel=kernel), 1 - 0.01 * height)


@pytest.mark.parametrize("name", EDGES)
def test_types_and_shapes(name):
    soft = EDGES[name][0]
    assert soft(jnp.float32(0.3), 0.1).dtype == jnp.float32
    assert soft(jnp.zeros((0, 3)), 0.1).shape == (0, 3)
    assert soft(1, 0.1).dtype == jnp.float64
    assert np.isnan(soft(jnp.nan, 0.1))
    widths, x = jnp.array([0.1, 0.2]), jnp.array([0.05, -0.05])
    batch = jax.jit(jax.vmap(soft, (None, 0)))(x, widths)
    np.testing.assert_allclose(batch, soft(x, widths[:, None]), rtol=1e-14)
    far = jnp.array([-1e30, 1e30])
    slopes = jax.jit(jax.vmap(jax.grad(soft, argnums=(0, 1)), (0, None)))(far, 0.1)
    assert np.all(np.isfinite(slopes))


def test_an_infinite_bound_is_no_bound():
    x = np.linspace(-2, 2, 5)
    clip = compiled(lambda x, lower, upper: smooth.clip(x, 0.1, lower=lower, upper=upper))
    np.testing.assert_array_equal(clip(x, -np.inf, np.inf), x)
    ramp = compiled(smooth.threshold)(x, 0.1)
    np.testing.assert_allclose(clip(x, 0.0, np.inf), ramp, atol=1e-15)
    slopes = compiled(jax.grad(lambda x: jnp.sum(smooth.clip(x, 0.1, lower=-jnp.inf, upper=0.5))))(x)
    assert np.all(np.isfinite(slopes))


def test_static_mistakes():
    with pytest.raises(ValueError, match="`width` must be positive and finite, but it was 0"):
        smooth.step(0.0, 0.0)
    with pytest.raises(ValueError, match="`width` must be positive"):
        smooth.threshold(0.0, jnp.array([0.1, -0.1]))
    with pytest.raises(ValueError, match="`kernel` must be one of 'logistic', .*but it was 'box'"):
        smooth.step(0.0, 0.1, kernel="box")
    with pytest.raises(ValueError, match="`lower` must not exceed"):
        smooth.clip(0.0, 0.1, lower=1.0, upper=-1.0)
