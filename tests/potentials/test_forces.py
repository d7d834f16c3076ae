"""What holds for every potential: its closed form of the force is minus the derivative of its energy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pliant.potentials import DoubleWell, Harmonic, LennardJones, Molecule, MullerBrown

BOX = (3.3, 3.6, 4.0)


def cluster(count: int, spacing: float) -> jax.Array:
    lattice = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 3)[:count]
    return jnp.asarray(spacing * (lattice + 0.1 * np.random.default_rng(3).normal(size=lattice.shape)))


def fluid(**kwargs) -> LennardJones:
    return LennardJones(box=jnp.asarray(BOX), **kwargs)


def shaken(position: jax.Array) -> jax.Array:
    return position + 0.01 * jax.random.normal(jax.random.key(1), position.shape)


CASES = {
    "Harmonic": lambda: (Harmonic(), jnp.array([0.3, -0.7])),
    "Harmonic, anisotropic": lambda: (Harmonic(jnp.array([1.0, 4.0])), jnp.array([0.3, -0.7])),
    "DoubleWell": lambda: (DoubleWell(jnp.array(2.0), jnp.array(0.3)), jnp.array([0.3, -1.7, 1.0])),
    "MullerBrown": lambda: (MullerBrown(), jnp.array([-0.4, 0.8])),
    "MullerBrown, scaled": lambda: (MullerBrown(scale=0.1), jnp.array([0.5, 0.1])),
    "LennardJones": lambda: (LennardJones(), cluster(13, 1.1)),
    "LennardJones, far from the origin": lambda: (LennardJones(), cluster(13, 1.1) + 1000.0),
    "LennardJones, confined": lambda: (LennardJones(confinement=1.5), cluster(13, 1.1)),
    "LennardJones, periodic": lambda: (fluid(cutoff=1.6), cluster(27, 1.1) + 2.0),
    "LennardJones, switched": lambda: (fluid(cutoff=1.6, switch=1.2, tail_correction=True), cluster(27, 1.1)),
    "Molecule": lambda: (Molecule(), shaken(Molecule().reference_position)),
}


@eqx.filter_jit
def force_and_slope(potential, position) -> tuple[jax.Array, jax.Array]:
    return potential.force(position), -jax.grad(potential)(position)


@eqx.filter_jit
def jacobians(potential, position) -> tuple[jax.Array, jax.Array]:
    """The derivative of the force by reverse and by forward mode."""
    shape = (position.size, position.size)
    return jax.jacrev(potential.force)(position).reshape(shape), jax.jacfwd(potential.force)(position).reshape(shape)


@pytest.mark.parametrize("name", CASES)
def test_the_force_is_minus_the_derivative_of_the_energy(name):
    force, expected = force_and_slope(*CASES[name]())
    assert np.abs(expected).max() > 1e-3, "at a stationary point this test could not fail"
    scale = np.abs(expected).max()
    np.testing.assert_allclose(force, expected, rtol=0, atol=1e-11 * scale)


@pytest.mark.parametrize("name", CASES)
def test_the_derivative_of_the_force_is_symmetric(name):
    jacobian, forward = jacobians(*CASES[name]())
    scale = np.abs(jacobian).max()
    np.testing.assert_allclose(jacobian, jacobian.T, rtol=0, atol=1e-10 * scale)
    np.testing.assert_allclose(jacobian, forward, rtol=0, atol=1e-12 * scale)


@pytest.mark.parametrize("name", CASES)
def test_the_floating_point_type_is_that_of_the_position(name):
    potential, position = CASES[name]()
    assert position.dtype == jnp.float64
    for dtype in (jnp.float32, jnp.float64):
        assert jax.eval_shape(potential, position.astype(dtype)).dtype == dtype
        assert jax.eval_shape(potential.force, position.astype(dtype)).dtype == dtype
