"""Flows: order of accuracy against closed forms, explicit time, parameters, and what a flow does not have."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pliant
from pliant.core.rollout import Rollout
from pliant.dynamics import Flow
from pliant.dynamics._runge_kutta import TABLEAUX
from pliant.estimators import ForwardSensitivity, Girsanov
from pliant.observables import Final
from pliant.systems import Lorenz63

ORDERS = {"euler": 1, "midpoint": 2, "heun": 2, "rk4": 4}


class Logistic(eqx.Module):
    """x' = r x (1 - x) cos t: its solution from x_0 is 1 / (1 + (1/x_0 - 1) exp(-r sin t))."""

    r: jax.Array

    def __call__(self, x, t):
        return self.r * x * (1 - x) * jnp.cos(t)

    def solution(self, x0, t):
        return 1 / (1 + (1 / x0 - 1) * jnp.exp(-self.r * jnp.sin(t)))


def final(law: Any, steps: int) -> jax.Array:
    return Rollout(jax.random.key(0), jnp.uint32(0), steps)(law, Final(lambda state: state.position))


@pytest.mark.parametrize("solver", ORDERS)
def test_order_against_the_closed_form(solver):
    field = Logistic(jnp.array(1.5))

    def error(steps):
        found = final(Flow(field, x0=[0.2, 0.7], dt=2.0 / steps, solver=solver), steps)
        return np.linalg.norm(found - field.solution(jnp.array([0.2, 0.7]), 2.0))

    coarse, fine = error(40), error(80)
    assert fine < 0.05
    np.testing.assert_allclose(np.log2(coarse / fine), ORDERS[solver], atol=0.15)


def test_tableaux_are_consistent():
    for tableau in TABLEAUX.values():
        assert np.isclose(sum(tableau.weights), 1.0)
        np.testing.assert_allclose([sum(row) for row in tableau.stages], tableau.nodes)


def test_a_wrong_tableau_loses_its_order(monkeypatch):
    """The mutant: a fourth-order scheme whose weights are even."""
    monkeypatch.setitem(TABLEAUX, "rk4", TABLEAUX["rk4"]._replace(weights=(0.25,) * 4))
    with pytest.raises(AssertionError):
        test_order_against_the_closed_form("rk4")


def test_sensitivity_to_a_parameter_is_that_of_the_closed_form():
    field = Logistic(jnp.array(1.5))
    law = Flow(field, x0=[0.2], dt=0.01)
    found = pliant.gradient(law, Final(lambda s: s.position), ForwardSensitivity(), horizon=200, replicas=2,
                            key=jax.random.key(0), wrt=lambda law: law.vector_field)  # fmt: skip
    exact = jax.grad(lambda r: Logistic(r).solution(0.2, 2.0))(jnp.array(1.5))
    np.testing.assert_allclose(found.value.r[0], exact, rtol=1e-8)


def test_a_solver_of_diffrax_keeps_its_order_and_is_differentiated():
    """Skipped, and named in the report, where diffrax is not installed: it is no dependency of this library."""
    diffrax = pytest.importorskip("diffrax")
    field, law = Logistic(jnp.array(1.5)), Flow()
    errors = []
    for steps in (20, 40):
        law = Flow(field, x0=[0.2], dt=2.0 / steps, solver=diffrax.Tsit5())
        errors.append(float(jnp.abs(final(law, steps)[0] - field.solution(0.2, 2.0))))
    assert np.log2(errors[0] / errors[1]) > 4.5
    found = pliant.gradient(law, Final(lambda s: s.position), ForwardSensitivity(), horizon=40, replicas=2,
                            key=jax.random.key(0), wrt=lambda law: law.vector_field)  # fmt: skip
    np.testing.assert_allclose(found.value.r[0], jax.grad(lambda r: Logistic(r).solution(0.2, 2.0))(field.r), rtol=1e-8)


def test_replicas_differ_by_their_spread():
    law = Lorenz63(spread=0.5).law()
    starts = jax.vmap(law.init)(jax.random.split(jax.random.key(1), 4000)).position
    np.testing.assert_allclose(starts.mean(axis=0), law.x0, atol=4 * 0.5 / np.sqrt(4000))
    np.testing.assert_allclose(starts.std(axis=0), 0.5, atol=4 * 0.5 / np.sqrt(8000))
    same = jax.vmap(Flow().init)(jax.random.split(jax.random.key(1), 3)).position
    assert np.all(same == same[0])


def test_no_noise_no_path_density():
    with pytest.raises(pliant.CapabilityError, match="Dirac delta"):
        pliant.gradient(Flow(), Final(lambda s: s.position), Girsanov(), horizon=2, replicas=2, key=jax.random.key(0))


@pytest.mark.parametrize("arguments", [{"dt": -1.0}, {"spread": -0.1}, {"solver": "rk5"}, {"solver": 4}])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Flow(**arguments)
