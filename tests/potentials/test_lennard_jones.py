"""Lennard-Jones: known minima, the wall, images, cut-off corrections, and what is refused."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from pliant.potentials import LennardJones

PHI = (1 + 5**0.5) / 2
RING = [(np.cos(a), np.sin(a), 0.0) for a in 2 * np.pi * np.arange(5) / 5]
ICOSAHEDRON = [(0, s, t * PHI) for s in (1, -1) for t in (1, -1)]
SHAPES = {
    3: ([(0, 0, 0), (1, 0, 0), (0.5, 0.8, 0)], -3.0),
    7: ([*RING, (0, 0, 0.6), (0, 0, -0.6)], -16.505384168),
    13: ([(0, 0, 0), *(np.roll(v, k) * 0.55 for v in ICOSAHEDRON for k in range(3))], -44.326801420),
}


@pytest.mark.parametrize("count", SHAPES)
def test_minima_of_clusters(count):
    shape, energy = SHAPES[count]
    start = np.array(shape) + 0.03 * np.random.default_rng(count).normal(size=(count, 3))
    potential = LennardJones()
    both = eqx.filter_jit(lambda x: (potential(x), -potential.force(x)))

    def flat(x):
        value, slope = both(x.reshape(-1, 3))
        return float(value), np.asarray(slope).ravel()

    found = minimize(flat, start.ravel(), jac=True, method="BFGS", options={"gtol": 1e-8})
    assert found.fun == pytest.approx(energy, abs=1e-8)


def test_a_pair():
    distance, epsilon, sigma = 1.3, 0.7, 1.1
    pair = jnp.array([[0.0, 0, 0], [0, distance, 0]])
    potential = LennardJones(epsilon, sigma)
    assert float(potential(pair)) == pytest.approx(4 * epsilon * ((sigma / distance) ** 12 - (sigma / distance) ** 6))


def test_the_wall_acts_outside_its_radius_only():
    far_apart = jnp.array([[2.5, 0.0, 0.0], [-50.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    wall = LennardJones(epsilon=0.0, confinement=2.0, wall_stiffness=3.0)
    assert float(wall(far_apart)) == pytest.approx(3.0 * (0.5**2 + 48.0**2) / 2)
    np.testing.assert_allclose(wall.force(far_apart), [[-1.5, 0, 0], [144.0, 0, 0], [0, 0, 0]])
    assert np.all(np.isfinite(jax.grad(wall)(far_apart)))


def test_a_periodic_fluid_does_not_notice_whole_boxes():
    box = jnp.array([4.0, 4.5, 5.0])
    fluid = LennardJones(box=box, cutoff=2.0, switch=1.5)
    position = jax.random.uniform(jax.random.key(0), (8, 3)) + jnp.arange(8)[:, None] * jnp.array([1.1, 0.6, 0.9])
    moved = position.at[2].add(3 * box).at[5].add(-box)
    np.testing.assert_allclose(fluid(moved), fluid(position), rtol=1e-12)
    np.testing.assert_allclose(fluid.force(moved), fluid.force(position), rtol=1e-9, atol=1e-9)


def test_the_switch_ends_smoothly():
    fluid = LennardJones(box=jnp.full(3, 10.0), cutoff=2.5, switch=2.0)

    def radial(distance):
        return fluid(jnp.array([[0.0, 0, 0], [1.0, 0, 0]]) * distance)

    inside = 2.5 - 1e-6
    for derivative in (radial, jax.grad(radial), jax.grad(jax.grad(radial))):
        assert abs(float(derivative(inside))) < 1e-5
    assert float(radial(1.9)) == pytest.approx(4 * (1.9**-12 - 1.9**-6), rel=1e-13)


@pytest.mark.parametrize("switch", [None, 2.0])
def test_the_tail_is_the_integral_of_what_is_left_out(switch):
    """A longer cut-off with its smaller tail gives the same energy for particles that stand alone."""
    box, pair = jnp.full(3, 40.0), jnp.array([[0.0, 0, 0], [1.5, 0, 0]])

    def tail(cutoff):
        with_tail = LennardJones(box=box, cutoff=cutoff, switch=switch, tail_correction=True)
        return float(with_tail(pair) - LennardJones(box=box, cutoff=cutoff, switch=switch)(pair))

    r = np.linspace(2.0 if switch else 2.5, 400.0, 2_000_001)
    x = np.clip((r - 2.0) / 0.5, 0, 1) if switch else np.ones_like(r)
    left_out = (10 * x**3 - 15 * x**4 + 6 * x**5) * 4 * (r**-12 - r**-6) * r**2
    assert tail(2.5) == pytest.approx(2 * np.pi * 4 / 40.0**3 * np.trapezoid(left_out, r), rel=1e-6)


def test_the_tail_has_parameter_derivatives():
    position = jnp.array([[0.0, 0, 0], [5.0, 0, 0]])

    def energy(epsilon, sigma, edge):
        box = jnp.full(3, 1.0) * edge
        return LennardJones(epsilon, sigma, box, cutoff=2.5, switch=2.0, tail_correction=True)(position)

    # The particles do not interact, so the energy is the tail: linear in epsilon, and inverse in the volume.
    total, slopes = energy(1.0, 1.0, 20.0), jax.grad(energy, (0, 1, 2))(1.0, 1.0, 20.0)
    assert float(slopes[0]) == pytest.approx(float(total))
    assert float(slopes[2]) == pytest.approx(float(-3 * total / 20.0))
    difference = (energy(1.0, 1.0 + 1e-5, 20.0) - energy(1.0, 1.0 - 1e-5, 20.0)) / 2e-5
    assert float(slopes[1]) == pytest.approx(float(difference), rel=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cutoff": -1.0}, "Argument `cutoff` must be positive and finite, but it was -1.0"),
        ({"confinement": float("nan")}, "Argument `confinement` must be positive and finite, but it was nan"),
        ({"box": (9.0, 9.0)}, r"Argument `box` must have shape \(3,\).*\(2,\)"),
        ({"box": (9.0, 9.0, 9.0)}, "Argument `cutoff` must be given with a `box`"),
        ({"box": (9.0, 9.0, 4.0), "cutoff": 2.5}, "Argument `cutoff` must be at most half .* 2.5 and the edge 4.0"),
        ({"cutoff": 2.0, "switch": 2.5}, "Argument `switch` must be less than `cutoff`, but they were 2.5 and 2.0"),
        ({"tail_correction": True}, "Argument `tail_correction` must be False without a `box`"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    if "box" in arguments:
        arguments = {**arguments, "box": jnp.array(arguments["box"])}
    with pytest.raises(ValueError, match=message):
        LennardJones(**arguments)
