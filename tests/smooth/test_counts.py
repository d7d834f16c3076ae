"""Histograms, densities and digital codes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm
from smooth_checks import GRID, KERNELS, MASS, MEAN, VARIANCES, check_order, compiled, density, density_slope

from pliant import smooth

EDGES = np.array([-0.5, 0.0, 0.2, 1.0, 1.3])
EVENTS = np.array([0.1, 0.15, 0.7, -0.3, 1.1, 0.2])


@pytest.mark.parametrize("kernel", KERNELS)
def test_counts_have_a_bias_of_order_two_with_its_constant(kernel):
    counts = compiled(lambda w: smooth.histogram(GRID, w, edges=EDGES, weights=MASS, kernel=kernel))
    exact = np.diff(norm.cdf(EDGES, MEAN))
    check_order(counts, exact, 2)
    leading = 0.5 * VARIANCES[kernel] * np.diff(density_slope(np.asarray(EDGES)))
    np.testing.assert_allclose((counts(0.02) - exact) / 0.02**2, leading, rtol=0.03, atol=1e-3)


@pytest.mark.parametrize("kernel", KERNELS)
def test_counts_are_bin_integrals_of_the_density(kernel):
    fine = np.linspace(EDGES[1], EDGES[2], 20_001)
    p = compiled(lambda y: smooth.density(EVENTS, 0.07, points=y, kernel=kernel))(fine)
    count = compiled(lambda x: smooth.histogram(x, 0.07, edges=EDGES, kernel=kernel))(EVENTS)[1]
    np.testing.assert_allclose(count, len(EVENTS) * np.trapezoid(p, fine), rtol=1e-6)


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_event_is_lost_inside(kernel):
    q = np.array([1.0, 2.0, 0.5, -1.0, 3.0, 1.0])
    wide = np.array([-9.0, -0.31, 0.15, 0.4, 9.0])
    count = compiled(lambda x, w, edges: smooth.histogram(x, w, edges=edges, weights=q, kernel=kernel))
    np.testing.assert_allclose(np.sum(count(EVENTS, 0.2, wide)), np.sum(q), rtol=1e-12)
    sharp, _ = np.histogram(EVENTS, EDGES, weights=q)
    events = EVENTS + 1e-3 * (EVENTS == 0.2)  # numpy's edge belongs to the bin on its right
    np.testing.assert_allclose(count(events, 1e-5, EDGES), sharp, atol=1e-9)


def test_a_shift_of_all_events_moves_counts_by_the_density_at_the_edges():
    slope = jax.jacfwd(lambda s, w: smooth.histogram(GRID + s, w, edges=EDGES, weights=MASS))
    check_order(lambda w: slope(0.0, w), -np.diff(density(np.asarray(EDGES))), 2)
    by_edge = compiled(jax.jacfwd(lambda e: smooth.histogram(GRID, 0.02, edges=e, weights=MASS)))(EDGES)
    np.testing.assert_allclose(by_edge[1, 2], density(0.2), rtol=1e-3)
    np.testing.assert_allclose(by_edge[2, 2], -by_edge[1, 2], rtol=1e-12)


def test_point_masses_instead_of_bin_integrals_are_found_out():
    """A mutant: the kernel at the middle of the bin times its length loses events."""
    middles, lengths = (EDGES[1:] + EDGES[:-1]) / 2, np.diff(EDGES)
    mutant = compiled(lambda w: jnp.sum(smooth.density(EVENTS[:3], w, points=middles, kernel="cubic") * lengths))
    right = compiled(lambda w: jnp.sum(smooth.histogram(EVENTS[:3], w, edges=EDGES, kernel="cubic")))
    assert abs(right(0.1) - 3) < 1e-12 and abs(3 * mutant(0.1) - 3) > 0.1


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_density_has_the_bias_of_the_textbook(kernel):
    points = np.array([-0.9, 0.3, 1.9])
    found = compiled(lambda w: smooth.density(GRID, w, points=points, weights=MASS, kernel=kernel))
    exact = density(np.asarray(points))
    check_order(found, exact, 2)
    curvature = ((points - MEAN) ** 2 - 1) * exact
    w = 0.05 / np.sqrt(VARIANCES[kernel])
    np.testing.assert_allclose((found(w) - exact) / 0.05**2, 0.5 * curvature, rtol=0.02)


def test_widths_for_each_event():
    count = lambda x, w: smooth.histogram(x, w, edges=EDGES)
    widths = np.linspace(0.05, 0.3, len(EVENTS))
    parts = compiled(jax.vmap(count))(EVENTS, widths)
    np.testing.assert_allclose(compiled(count)(EVENTS, widths), np.sum(parts, axis=0), rtol=1e-12)
    many = compiled(jax.vmap(count, (None, 0)))(EVENTS, np.array([0.1, 0.2]))
    np.testing.assert_allclose(many[1], compiled(count)(EVENTS, 0.2), rtol=1e-12)


def test_few_events():
    assert smooth.histogram(jnp.zeros(0), 0.1, edges=EDGES).tolist() == [0.0] * 4
    assert smooth.histogram(jnp.float32(0.1), 0.1, edges=EDGES.astype(np.float32)).dtype == jnp.float32
    assert np.all(np.isnan(smooth.histogram(jnp.array([jnp.nan]), 0.1, edges=EDGES)))


CODES, LSB, ORIGIN = 8, 0.25, -0.8


def converter(x, w, **more):
    return smooth.digitise(x, w, codes=CODES, spacing=LSB, origin=ORIGIN, **more)


def floor_codes(x):
    return np.clip(np.floor((np.asarray(x) - ORIGIN) / LSB), 0, CODES - 1)


@pytest.mark.parametrize("kernel", KERNELS)
def test_codes_go_to_those_of_the_sharp_converter(kernel):
    x = np.linspace(-2, 3, 37)
    np.testing.assert_allclose(compiled(lambda x: converter(x, 1e-4, kernel=kernel))(x), floor_codes(x), atol=1e-9)
    transitions = ORIGIN + LSB * np.arange(1, CODES)
    mean = compiled(lambda w: MASS @ converter(GRID, w, kernel=kernel))
    check_order(mean, np.sum(norm.sf(transitions, MEAN)), 2, (0.08, 0.04))
    slope = jax.grad(lambda s, w: MASS @ converter(GRID + s, w, kernel=kernel))
    check_order(lambda w: slope(0.0, w), np.sum(density(transitions)), 2, (0.08, 0.04))


@pytest.mark.parametrize("reach", [1, 3])
def test_near_transitions_are_enough_for_a_compact_kernel(reach):
    x = np.linspace(-2, 3, 301)
    together = compiled(
        lambda reach: jax.jvp(lambda x: converter(x, LSB, reach=reach), (x,), (jnp.ones_like(x),)), static_argnums=0
    )
    for some, every in zip(together(reach), together(None), strict=True):
        np.testing.assert_allclose(some, every, atol=1e-13)


def test_a_width_of_one_step_has_a_derivative_everywhere_in_range():
    x = np.linspace(ORIGIN + LSB, ORIGIN + (CODES - 1) * LSB, 100)
    slopes = compiled(jax.vmap(jax.grad(lambda x: converter(x, LSB))))(x)
    assert np.min(slopes) > 1.0 and np.max(slopes) < 1.2 / LSB
    sharp = compiled(jax.vmap(jax.grad(lambda x: jnp.floor(x / LSB))))(x)
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
