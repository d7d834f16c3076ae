"""Balances: roots, minima, zero modes, and what is said where there is no derivative."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pliant
from pliant.estimators import BPTT, Implicit
from pliant.observables import Final, FirstPassageTime


class Root(pliant.Balance):
    """u^3 = a, so that du/da = 1 / (3 u^2)."""

    a: jax.Array

    def guess(self) -> jax.Array:
        return jnp.ones(())

    def residual(self, u: jax.Array) -> jax.Array:
        return u**3 - self.a


def test_a_root() -> None:
    estimate = pliant.gradient(Root(jnp.array(2.0)), Final(lambda u: u), Implicit())
    np.testing.assert_allclose(estimate.observable.value, 2 ** (1 / 3), rtol=1e-14)
    np.testing.assert_allclose(estimate.value.a, 2 ** (-2 / 3) / 3, rtol=1e-12)
    assert estimate.verdict.trusted and float(estimate.standard_error.a) == 0.0


def test_the_explicit_part_of_the_observable() -> None:
    estimate = pliant.gradient(Root(jnp.array(2.0)), Final(lambda u, law: u * law.a), Implicit())
    np.testing.assert_allclose(estimate.value.a, 4 / 3 * 2 ** (1 / 3), rtol=1e-12)


class Ring(pliant.Balance):
    """Beads on a ring of springs, pulled apart: translations are a zero mode of the energy."""

    stiffness: jax.Array
    pull: jax.Array
    beads: int = eqx.field(static=True, default=3)

    def guess(self) -> jax.Array:
        return jnp.zeros(self.beads)

    def energy(self, u: jax.Array) -> jax.Array:
        return 0.5 * self.stiffness * jnp.sum((u - jnp.roll(u, 1)) ** 2) - self.pull * (u[0] - u[1])


def test_a_minimum_with_a_zero_mode() -> None:
    # Springs in parallel: the pair feels k + k/2, so that u_0 - u_1 = 2 f / 3 k.
    estimate = pliant.gradient(Ring(jnp.array(2.0), jnp.array(1.0)), Final(lambda u: u[0] - u[1]), Implicit())
    np.testing.assert_allclose(estimate.observable.value, 1 / 3, rtol=1e-10)
    np.testing.assert_allclose(estimate.value.stiffness, -1 / 6, rtol=1e-10)
    np.testing.assert_allclose(estimate.value.pull, 1 / 3, rtol=1e-10)
    assert estimate.verdict.trusted


def test_an_array_observable_and_finite_differences() -> None:
    def solve(a: float) -> Any:
        return pliant.gradient(Root(jnp.array(a)), Final(lambda u: jnp.stack([u, u**2])), Implicit())

    difference = (solve(2.0 + 1e-5).observable.value - solve(2.0 - 1e-5).observable.value) / 2e-5
    np.testing.assert_allclose(solve(2.0).value.a, difference, rtol=1e-8)


class NoRoot(pliant.Balance):
    a: jax.Array

    def guess(self) -> jax.Array:
        return jnp.ones(())

    def residual(self, u: jax.Array) -> jax.Array:
        return u**2 + self.a


def test_no_solution_is_said() -> None:
    verdict = pliant.gradient(NoRoot(jnp.array(1.0)), Final(lambda u: u), Implicit()).verdict
    assert verdict.level == "untrusted" and "this is no solution" in verdict.reasons[0]


class Saddle(pliant.Balance):
    a: jax.Array

    def guess(self) -> jax.Array:
        return jnp.zeros(2)

    def energy(self, u: jax.Array) -> jax.Array:
        return self.a * (u[0] ** 2 - u[1] ** 2)


def test_a_saddle_is_no_minimum() -> None:
    verdict = pliant.gradient(Saddle(jnp.array(1.0)), Final(lambda u: u[0]), Implicit()).verdict
    assert any("is no minimum" in reason for reason in verdict.reasons)


class Fold(pliant.Balance):
    a: jax.Array

    def guess(self) -> jax.Array:
        return jnp.full((), 1e-3)

    def residual(self, u: jax.Array) -> jax.Array:
        return u**2 - self.a


def test_a_fold_is_said() -> None:
    verdict = pliant.gradient(Fold(jnp.array(0.0)), Final(lambda u: u), Implicit()).verdict
    assert not verdict.trusted


def test_other_estimators_and_observables_are_refused() -> None:
    with pytest.raises(pliant.NotApplicable, match="a Balance has none: use `Implicit"):
        pliant.gradient(Root(jnp.array(2.0)), Final(lambda u: u), BPTT())
    with pytest.raises(pliant.NotApplicable, match="use `Final"):
        pliant.gradient(Root(jnp.array(2.0)), FirstPassageTime(), Implicit())
