"""Histograms, densities and digital codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from smooth_checks import GRID, KERNELS, MASS, MEAN, VARIANCES, check_order, density, density_slope

from pliant import smooth

EDGES = jnp.array([-0.5, 0.0, 0.2, 1.0, 1.3])
EVENTS = jnp.array([0.1, 0.15, 0.7, -0.3, 1.1, 0.2])


@pytest.mark.parametrize("kernel", KERNELS)
def test_counts_have_a_bias_of_order_two_with_its_constant(kernel):
    counts = lambda w: smooth.histogram(GRID, w, edges=EDGES, weights=MASS, kernel=kernel)
    exact = np.diff(norm.cdf(EDGES, MEAN))
    check_order(counts, exact, 2)
    leading = 0.5 * VARIANCES[kernel] * np.diff(density_slope(np.asarray(EDGES)))
    np.testing.assert_allclose((counts(0.02) - exact) / 0.02**2, leading, rtol=0.03, atol=1e-3)


@pytest.mark.parametrize("kernel", KERNELS)
def test_counts_are_bin_integrals_of_the_density(kernel):
    fine = jnp.linspace(EDGES[1], EDGES[2], 20_001)
    p = smooth.density(EVENTS, 0.07, points=fine, kernel=kernel)
    count = smooth.histogram(EVENTS, 0.07, edges=EDGES, kernel=kernel)[1]
    np.testing.assert_allclose(count, len(EVENTS) * jnp.trapezoid(p, fine), rtol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_event_is_lost_inside(kernel):
    q = jnp.array([1.0, 2.0, 0.5, -1.0, 3.0, 1.0])
    wide = jnp.array([-9.0, -0.31, 0.15, 0.4, 9.0])
    counts = smooth.histogram(EVENTS, 0.2, edges=wide, weights=q, kernel=kernel)
    np.testing.assert_allclose(jnp.sum(counts), jnp.sum(q), rtol=1e-12)
    sharp, _ = np.histogram(EVENTS, EDGES, weights=q)
    events = EVENTS.at[-1].add(1e-3)  # numpy's edge belongs to the bin on its right
    np.testing.assert_allclose(smooth.histogram(events, 1e-5, edges=EDGES, weights=q, kernel=kernel), sharp, atol=1e-9)


def test_a_shift_of_all_events_moves_counts_by_the_density_at_the_edges():
    slope = jax.jacfwd(lambda s, w: smooth.histogram(GRID + s, w, edges=EDGES, weights=MASS))
    check_order(lambda w: slope(0.0, w), -np.diff(density(np.asarray(EDGES))), 2)
    by_edge = jax.jacobian(lambda e: smooth.histogram(GRID, 0.02, edges=e, weights=MASS))(EDGES)
    np.testing.assert_allclose(by_edge[1, 2], density(0.2), rtol=1e-3)
    np.testing.assert_allclose(by_edge[2, 2], -by_edge[1, 2], rtol=1e-12)


def test_point_masses_instead_of_bin_integrals_are_found_out():
    """A mutant: the kernel at the middle of the bin times its length loses events."""
    middles, lengths = (EDGES[1:] + EDGES[:-1]) / 2, jnp.diff(EDGES)
    mutant = lambda w: jnp.sum(smooth.density(EVENTS[:3], w, points=middles, kernel="cubic") * lengths)
    right = lambda w: jnp.sum(smooth.histogram(EVENTS[:3], w, edges=EDGES, kernel="cubic"))
    assert abs(right(0.1) - 3) < 1e-12 and abs(3 * mutant(0.1) - 3) > 0.1


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_density_has_the_bias_of_the_textbook(kernel):
    points = jnp.array([-0.9, 0.3, 1.9])
    found = lambda w: smooth.density(GRID, w, points=points, weights=MASS, kernel=kernel)
    exact = density(np.asarray(points))
    check_order(found, exact, 2)
    curvature = ((points - MEAN) ** 2 - 1) * exact
    w = 0.05 / np.sqrt(VARIANCES[kernel])
    np.testing.assert_allclose((found(w) - exact) / 0.05**2, 0.5 * curvature, rtol=0.02)


def test_widths_for_each_event():
    widths = jnp.linspace(0.05, 0.3, len(EVENTS))
    parts = [smooth.histogram(EVENTS[i : i + 1], widths[i], edges=EDGES) for i in range(len(EVENTS))]
    np.testing.assert_allclose(smooth.histogram(EVENTS, widths, edges=EDGES), sum(parts), rtol=1e-12)
    many = jax.vmap(lambda w: smooth.histogram(EVENTS, w, edges=EDGES))(jnp.array([0.1, 0.2]))
    np.testing.assert_allclose(many[1], smooth.histogram(EVENTS, 0.2, edges=EDGES), rtol=1e-12)


def test_few_events():
    assert smooth.histogram(jnp.zeros(0), 0.1, edges=EDGES).tolist() == [0.0] * 4
    assert smooth.histogram(jnp.float32(0.1), 0.1, edges=EDGES.astype(jnp.float32)).dtype == jnp.float32
    assert np.all(np.isnan(smooth.histogram(jnp.array([jnp.nan]), 0.1, edges=EDGES)))


CODES, LSB, ORIGIN = 8, 0.25, -0.8


def converter(x, w, **more):
    return smooth.digitise(x, w, codes=CODES, spacing=LSB, origin=ORIGIN, **more)


def floor_codes(x):
    return np.clip(np.floor((np.asarray(x) - ORIGIN) / LSB), 0, CODES - 1)


@pytest.mark.parametrize("kernel", KERNELS)
def test_codes_go_to_those_of_the_sharp_converter(kernel):
    x = jnp.linspace(-2, 3, 37)
    np.testing.assert_allclose(converter(x, 1e-4, kernel=kernel), floor_codes(x), atol=1e-9)
    transitions = ORIGIN + LSB * np.arange(1, CODES)
    mean = jax.jit(lambda w: MASS @ converter(GRID, w, kernel=kernel))
    check_order(mean, np.sum(norm.sf(transitions, MEAN)), 2, (0.08, 0.04))
    slope = jax.grad(lambda s, w: MASS @ converter(GRID + s, w, kernel=kernel))
    check_order(lambda w: slope(0.0, w), np.sum(density(transitions)), 2, (0.08, 0.04))


@pytest.mark.parametrize("reach", [1, 3])
def test_near_transitions_are_enough_for_a_compact_kernel(reach):
    x = jnp.linspace(-2, 3, 301)
    together = jax.jit(
        lambda reach: jax.jvp(lambda x: converter(x, LSB, reach=reach), (x,), (jnp.ones_like(x),)), static_argnums=0
    )
    for some, every in zip(together(reach), together(None), strict=True):
        np.testing.assert_allclose(some, every, atol=1e-13)


def test_a_width_of_one_step_has_a_derivative_everywhere_in_range():
    x = jnp.linspace(ORIGIN + LSB, ORIGIN + (CODES - 1) * LSB, 100)
    slopes = jax.jit(jax.vmap(jax.grad(lambda x: converter(x, LSB))))(x)
    assert jnp.min(slopes) > 1.0 and jnp.max(slopes) < 1.2 / LSB
    sharp = jax.vmap(jax.grad(lambda x: jnp.floor(x / LSB)))(x)
    assert not np.any(sharp)


def test_converters_of_one_code_and_static_mistakes():
    assert smooth.digitise(jnp.ones(3), 0.1, codes=1).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="`codes`"):
        smooth.digitise(0.0, 0.1, codes=0)
    with pytest.raises(ValueError, match="`spacing` must be positive"):
        smooth.digitise(0.0, 0.1, codes=4, spacing=0.0)
    with pytest.raises(ValueError, match="`edges` must increase"):
        smooth.histogram(EVENTS, 0.1, edges=EDGES[::-1])
    with pytest.raises(ValueError, match="`edges` must have shape"):
        smooth.histogram(EVENTS, 0.1, edges=1.0)
    with pytest.raises(ValueError, match="`weights` must have the shape"):
        smooth.histogram(EVENTS, 0.1, edges=EDGES, weights=jnp.ones(2))
    with pytest.raises(ValueError, match="`events` must not be empty"):
        smooth.density(jnp.zeros(0), 0.1, points=0.0)
