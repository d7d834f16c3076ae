"""Soft walls: exact distances, volumes with the bias of Steiner's formula, derivatives by the shape."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smooth_checks import KERNELS, VARIANCES, check_order, compiled

from pliant import smooth
from pliant.smooth import shapes

R = 1.3
RADII = np.linspace(0, 10, 100_001)
SHELL = 4 * np.pi * RADII**2 * (RADII[1] - RADII[0])


@partial(jax.jit, static_argnames="kernel")
def volume(radius, w, kernel="cubic"):
    return SHELL @ smooth.inside(RADII - radius, w, kernel=kernel)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_ball_gains_what_steiner_says(kernel):
    """To rounding for every kernel: the volume is a cubic polynomial in the radius."""
    w = 0.05
    gained = 4 * np.pi * R * VARIANCES[kernel] * w**2
    np.testing.assert_allclose(volume(R, w, kernel) - 4 / 3 * np.pi * R**3, gained, rtol=1e-5)
    by_radius = jax.grad(volume)(R, w, kernel)
    np.testing.assert_allclose(by_radius - 4 * np.pi * R**2, gained / R, rtol=0.01)
    check_order(lambda w: volume(R, w, kernel), 4 / 3 * np.pi * R**3, 2)


def test_a_square_with_corners_is_of_order_two_as_well():
    x = np.linspace(-1.5, 1.5, 401)
    points, area = np.stack(np.meshgrid(x, x), axis=-1), (x[1] - x[0]) ** 2
    total = jax.jit(lambda w: jnp.sum(smooth.inside(shapes.box(points, lengths=jnp.array([1.1, 1.7])), w)) * area)
    check_order(total, 1.1 * 1.7, 2, (0.2, 0.1))
    # Inwards 4 s² for the square corners, outwards pi s²: half of the variance from each side.
    np.testing.assert_allclose(total(0.2) - 1.1 * 1.7, (4 + np.pi) / 2 * 0.2 * 0.2**2, rtol=0.02)


def test_a_wall_outside_its_place_is_found_out():
    """A mutant: a wall whose middle is the outer end of the kernel."""
    with pytest.raises(AssertionError, match="order (1|0.9)"):
        check_order(lambda w: volume(R + w, w), 4 / 3 * np.pi * R**3, 2, (0.02, 0.01))


SHAPES = {
    "ball": (lambda p: shapes.ball(p, centre=jnp.array([0.1, 0.2, 0.3]), radius=0.9), 4 / 3 * np.pi * 0.9**3),
    "box": (lambda p: shapes.box(p, centre=0.1, lengths=jnp.array([1.0, 1.5, 0.7])), 1.05),
    "cylinder": (
        lambda p: shapes.cylinder(p, axis=(1.0, 1.0, 0.2), radius=0.6, height=1.4),
        np.pi * 0.6**2 * 1.4,
    ),
    "half_space": (lambda p: shapes.half_space(p, normal=jnp.array([1.0, -2.0, 0.5]), offset=0.3), None),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_distance_is_one(name):
    """Its slope has length one, and a step back along it lands on the wall, inside and outside."""
    distance, content = compiled(SHAPES[name][0]), SHAPES[name][1]
    points = np.random.default_rng(0).uniform(-1.6, 1.6, size=(40_000, 3))
    few = points[:300]
    slope = compiled(jax.vmap(jax.grad(SHAPES[name][0])))(few)
    np.testing.assert_allclose(np.linalg.norm(slope, axis=1), 1, rtol=1e-10)
    foot = few - distance(few)[:, None] * slope
    np.testing.assert_allclose(distance(foot), 0, atol=1e-10)
    if content is not None:
        share = np.mean(distance(points) < 0)
        error = np.sqrt(share * (1 - share) / len(points))
        assert abs(share - content / 3.2**3) < 4 * error


@pytest.mark.parametrize("name", SHAPES)
def test_the_middle_of_a_shape_has_finite_derivatives(name):
    slope = jax.jit(jax.grad(SHAPES[name][0]))
    for point in (jnp.zeros(3), jnp.array([0.1, 0.2, 0.3]), jnp.full(3, 0.1)):
        assert np.all(np.isfinite(slope(point)))


def test_walls_have_limits_types_and_errors():
    d = jnp.array([-0.3, -0.1, 0.0, 0.1, 0.3])
    assert smooth.inside(d, 0.1).tolist() == [1, 1, 0.5, 0, 0]
    assert shapes.ball(jnp.zeros((4, 2), jnp.float32)).dtype == jnp.float32
    assert shapes.ball(jnp.zeros((0, 3))).shape == (0,)
    np.testing.assert_allclose(shapes.ball(jnp.array([3.0, 4.0])), 4.0)
    np.testing.assert_allclose(compiled(shapes.cylinder)(np.array([3.0, 0.0, 4.5])), np.hypot(2, 4), rtol=1e-12)
    with pytest.raises(ValueError, match="`width`"):
        smooth.inside(d, -1.0)
