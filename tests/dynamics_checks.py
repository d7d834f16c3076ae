"""What the tests of the dynamics share: a potential with known moments, reversal, gradients against differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import pliant
from pliant.core.rollout import Rollout
from pliant.core.trees import strong
from pliant.observables import TimeAverage


class WellAndSprings(pliant.Potential):
    """U = a (x_0^2 - 1)^2 + sum_i (k_i x_i^2 / 2 + c x_0 x_i): a double well with harmonic coordinates appended."""

    a: jax.Array = eqx.field(default_factory=lambda: jnp.array(1.0))
    k: jax.Array = eqx.field(default_factory=lambda: jnp.array([1.0, 1.7]))
    coupling: float = 0.0

    def __call__(self, position):
        first, others = position[0], position[1:]
        springs = jnp.sum(0.5 * self.k * others**2 + self.coupling * first * others)
        return self.a * (first**2 - 1) ** 2 + springs


def well_moments(potential, kT):
    """The canonical mean squares: given x_0, a spring is Gaussian of mean -c x_0 / k and variance kT / k."""
    x, k, c = np.linspace(-5, 5, 20001), np.asarray(potential.k), potential.coupling
    weight = np.exp(-(float(potential.a) * (x**2 - 1) ** 2 - 0.5 * c**2 * np.sum(1 / k) * x**2) / kT)
    square = np.sum(weight * x**2) / np.sum(weight)
    return np.concatenate([[square], kT / k + (c / k) ** 2 * square])


def assert_undone(law, noise, rtol=1e-11):
    """`unstep` takes every leaf of the state back to round-off."""
    state = strong(law.init(jax.random.key(0)))
    back = law.unstep(law.step(state, noise, 3), noise, 3)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    for found, expected in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-12)


@eqx.filter_jit
def local_error(law, parts=64):
    """The distance of one step without noise from a Runge-Kutta solution of the law's drift."""
    state = law.init(jax.random.key(4))
    found, h = law.step(state, (), 0), law.dt / parts

    def move(state, slope, h):
        return jax.tree.map(lambda x, k: x + h * k, state, slope)

    def improve(_, state):
        a = law.drift(state, 0)
        b = law.drift(move(state, a, h / 2), 0)
        c = law.drift(move(state, b, h / 2), 0)
        d = law.drift(move(state, c, h), 0)
        return jax.tree.map(lambda x, a, b, c, d: x + h / 6 * (a + 2 * b + 2 * c + d), state, a, b, c, d)

    exact = jax.lax.fori_loop(0, parts, improve, eqx.tree_at(lambda s: s.force, state, None))
    difference = jax.tree.map(jnp.subtract, eqx.tree_at(lambda s: s.force, found, None), exact)
    return jnp.linalg.norm(ravel_pytree(difference)[0])


def check_gradients(law, horizon):
    """Reverse mode against central differences in every array of the law, at fixed noise."""
    ready = TimeAverage(lambda s: jnp.sum(jnp.sin(s.position) + s.position**2)).at_horizon(horizon)
    rollout = Rollout(jax.random.key(7), jnp.uint32(0), horizon, 10)
    arrays, rest = eqx.partition(law, eqx.is_inexact_array)
    flat, unravel = ravel_pytree(arrays)

    @jax.jit
    def value(flat):
        return rollout(eqx.combine(unravel(flat), rest), ready, checkpoint=True)

    found = np.asarray(jax.jit(jax.grad(value))(flat))
    step = 1e-5 * np.eye(len(flat))
    differences = [(float(value(flat + d)) - float(value(flat - d))) / 2e-5 for d in step]
    assert np.all(np.abs(found) > 1e-9), "a parameter without effect tests nothing"
    np.testing.assert_allclose(found, differences, rtol=2e-6, atol=1e-8)
