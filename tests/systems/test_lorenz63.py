"""The estimated truth of Lorenz's flow, computed again by a route that shares nothing with the estimators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pliant.dynamics import Flow
from pliant.observables import Final
from pliant.systems import Lorenz63

RHO = np.array([26.0, 27.0, 28.0, 29.0, 30.0])


def step(u, rho, h=0.01):
    """The classical Runge-Kutta step, written out."""

    def f(u):
        x, y, z = u
        return jnp.stack([10 * (y - x), x * (rho - z) - y, x * y - 8 / 3 * z])

    a = f(u)
    b = f(u + h / 2 * a)
    c = f(u + h / 2 * b)
    return u + h / 6 * (a + 2 * b + 2 * c + f(u + h * c))


@jax.jit
def averages(u, steps):
    def advance(_, carry):
        u, total = carry
        u = step(u, jnp.asarray(RHO)[:, None])
        return u, total + u[2]

    u, total = jax.lax.fori_loop(0, steps, advance, (u, jnp.zeros(u.shape[1:])))
    return u, total / steps


@pytest.mark.slow
def test_average_and_slope_of_long_trajectories():
    """Averages at five neighbouring rho, and the slope at 28 of a parabola through them."""
    u = jax.random.normal(jax.random.key(3), (3, 5, 1000)) + jnp.array([1.0, 1.0, 25.0])[:, None, None]
    u, _ = averages(u, 2000)
    means = np.asarray(averages(u, 10_000)[1])
    mean, error = means.mean(axis=1), means.std(axis=1, ddof=1) / np.sqrt(means.shape[1])
    design = np.vander(RHO - 28, 3, increasing=True) / error[:, None]
    covariance = np.linalg.inv(design.T @ design)
    fit = covariance @ design.T @ (mean / error)
    assert np.sum((design @ fit - mean / error) ** 2) < 16
    system = Lorenz63()
    truth = system.truth(system.law(), system.observable(), 1)
    assert truth is not None
    known = np.array([truth.value, truth.gradient.rho])
    spread = np.hypot(np.sqrt(np.diag(covariance)[:2]), [truth.value_error, truth.gradient_error.rho])
    assert spread[1] < 0.002
    assert np.all(np.abs(fit[:2] - known) < 4 * spread), (fit, spread)


def test_truth_is_given_where_it_was_computed():
    system = Lorenz63(rho=20.0)
    assert system.truth(system.law(), system.observable(), 10) is None
    assert Lorenz63().truth(Lorenz63().law(), Final(lambda s: s.position[2]), 10) is None


def test_other_dynamics_are_refused():
    with pytest.raises(ValueError, match="dynamics"):
        Lorenz63().law(type("Other", (), {}))
    assert isinstance(Lorenz63().law(), Flow)
