"""Shadowing against a limit cycle that is solved and against Lorenz's flow; its variants, verdicts, refusals and mutants."""

from typing import Any
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import LIMIT, REPEATS, covers, gathered

import pliant
from pliant.dynamics import ESH, Flow, OverdampedLangevin, VelocityVerlet
from pliant.dynamics._lorenz import LorenzField
from pliant.estimators import Shadowing, _nilss, _tridiagonal
from pliant.observables import Final, TimeAverage
from pliant.systems import Lorenz63

# A limit cycle: the radius relaxes to sqrt(mu), the angle turns at 1 + a cos(angle).
MU, A = 1.4, 0.6
STEPS = 400


class Cycle(eqx.Module):
    mu: jax.Array
    a: jax.Array

    def __call__(self, position):
        x, y = position
        square = x**2 + y**2
        turn = 1 + self.a * x / jnp.sqrt(square)
        return (self.mu - square) * position + turn * jnp.stack([-y, x])


def cycle() -> Flow:
    """The steps divide the period 2 pi / sqrt(1 - a^2), so that the average is over whole turns."""
    dt = 2 * np.pi / np.sqrt(1 - A**2) / STEPS
    return Flow(Cycle(jnp.array(MU), jnp.array(A)), x0=[1.0, 0.5], dt=dt, spread=0.1)


def around(position: Any) -> jax.Array:
    """The square of the radius, and the cosine of the angle."""
    square = jnp.sum(position**2)
    return jnp.stack([square, position[0] / jnp.sqrt(square)])


def cycle_gradient(estimator: Shadowing) -> Any:
    observable = TimeAverage(lambda state: around(state.position), burn_in=8 * STEPS)
    return pliant.gradient(cycle(), observable, estimator, horizon=12 * STEPS, replicas=2, key=jax.random.key(0),
                           wrt=lambda law: law.vector_field, progress=False)  # fmt: skip


def cycle_truth() -> tuple[np.ndarray, np.ndarray]:
    r"""The angle's density is $\propto 1 / (1 + a \cos)$: $\langle \cos \rangle = (\sqrt{1 - a^2} - 1) / a$; $r^2 = \mu$."""
    root = np.sqrt(1 - A**2)
    return np.array([1.0, 0.0]), np.array([0.0, -1 / root - (root - 1) / A**2])


def check_cycle(estimator: Shadowing) -> Any:
    found = cycle_gradient(estimator)
    for value, truth in zip((found.value.mu, found.value.a), cycle_truth(), strict=True):
        # What is left is the order of the solver.
        np.testing.assert_allclose(value, truth, atol=1e-4)
    return found


@pytest.mark.parametrize("adjoint", [False, True])
def test_limit_cycle(adjoint):
    check_cycle(Shadowing(adjoint=adjoint, complete=False))


def lorenz(estimator: Shadowing, horizon: int, replicas: int, spread: float = 1.0, **field: Any) -> Any:
    """The gradient by all three parameters."""
    law = Flow(LorenzField(**field), spread=spread)
    return pliant.gradient(law, Lorenz63().observable(min(1000, horizon // 2)), estimator, horizon=horizon,
                           replicas=replicas, key=jax.random.key(0), wrt=lambda law: law.vector_field,
                           progress=False)  # fmt: skip


def check_lorenz(estimator: Shadowing) -> Any:
    system = Lorenz63()
    law, observable = system.law(), system.observable(1000)
    truth = system.truth(law, observable, 3000)
    assert truth is not None
    found = pliant.gradient(law, observable, estimator, horizon=3000, replicas=256, key=jax.random.key(11),
                            wrt=system.wrt, progress=False)  # fmt: skip
    error = np.hypot(found.standard_error.rho, truth.gradient_error.rho)
    deviation = abs(found.value.rho - truth.gradient.rho)
    assert error < 0.004 and deviation < 0.01 and deviation < LIMIT * error, (found.value, error)
    spread = np.hypot(found.observable.standard_error, truth.value_error)
    assert abs(found.observable.value - truth.value) < LIMIT * spread
    return found


def test_lorenz():
    found = check_lorenz(Shadowing())
    assert any("Lyapunov exponents across the flow" in note for note in found.verdict.notes)


def test_incomplete_shadowing_is_biased_on_lorenz():
    """The mutant without the unstable contribution: what the literature calls shadowing is off by 0.015."""
    with pytest.raises(AssertionError):
        check_lorenz(Shadowing(complete=False))


@pytest.mark.slow
def test_adjoint_equals_tangent_for_all_parameters_at_once():
    tangent, adjoint = (lorenz(Shadowing(adjoint=flag), 400, 3) for flag in (False, True))
    np.testing.assert_allclose(jax.tree.leaves(adjoint.value), jax.tree.leaves(tangent.value), rtol=1e-9)


def test_segments_and_surplus_modes_change_nothing_but_the_ends():
    """Modes across the flow span the same space however often they are orthonormalised."""
    some = [lorenz(Shadowing(segment=length, complete=False), 600, 2).value.rho for length in (20, 60)]
    np.testing.assert_allclose(some[0], some[1], rtol=1e-8)


def test_lss_on_the_limit_cycle():
    check_cycle(Shadowing(method="lss", complete=False))


@pytest.mark.slow
def test_lss_finds_what_nilss_finds():
    """Both are bounded tangents of the same trajectory, and differ at its ends alone."""
    lss, nilss = (lorenz(Shadowing(method=name), 2000, 32) for name in ("lss", "nilss"))
    for part in ("sigma", "rho", "beta"):
        difference = getattr(lss.value, part) - getattr(nilss.value, part)
        assert abs(difference) < 0.5 * getattr(nilss.standard_error, part)


def test_block_elimination_against_a_dense_solver():
    rng, k, m = np.random.default_rng(1), 6, 3
    upper = rng.normal(size=(k, m, m))
    diagonal = np.eye(m) * 12 + np.stack([a @ a.T for a in rng.normal(size=(k, m, m))])
    right, dense = rng.normal(size=(k, m)), np.zeros((k * m, k * m))
    for i in range(k):
        dense[i * m : (i + 1) * m, i * m : (i + 1) * m] = diagonal[i]
        if i < k - 1:
            dense[i * m : (i + 1) * m, (i + 1) * m : (i + 2) * m] = upper[i]
            dense[(i + 1) * m : (i + 2) * m, i * m : (i + 1) * m] = upper[i].T
    found = _tridiagonal.solve(*map(jnp.asarray, (diagonal, upper, right)))
    np.testing.assert_allclose(np.ravel(found), np.linalg.solve(dense, right.ravel()), rtol=1e-10)


def test_multipliers_solve_the_least_squares_problem():
    """Against a dense solution of the same problem in the first segment's coefficients."""
    rng, k, m = np.random.default_rng(0), 5, 2
    growth, jump = rng.normal(size=(k, m, m)), rng.normal(size=(k, m))
    root, overlap = rng.normal(size=(k, m, m)), rng.normal(size=(k, m))
    gram = root @ np.swapaxes(root, 1, 2) + np.eye(m)
    zeros = jnp.zeros(k)
    segments = _nilss.Segments(*map(jnp.asarray, (growth, jump, gram, overlap)), zeros, zeros, zeros, zeros)
    slope, offset = [np.eye(m)], [np.zeros(m)]
    for r, b in zip(growth[:-1], jump[:-1], strict=True):
        slope.append(r @ slope[-1])
        offset.append(r @ offset[-1] + b)
    left = sum(s.T @ c @ s for s, c in zip(slope, gram, strict=True))
    right = -sum(s.T @ (c @ o + d) for s, c, o, d in zip(slope, gram, offset, overlap, strict=True))
    first = np.linalg.solve(left, right)
    expected = [s @ first + o for s, o in zip(slope, offset, strict=True)]
    np.testing.assert_allclose(_nilss._coefficients(segments), expected, rtol=1e-9, atol=1e-9)


# Mutants.


class Mutant(Shadowing):
    """Another class, so that nothing compiled for the original serves it."""


def without_dilation(law, bundle, state, t, original=_nilss.across):
    moved, along, squared = original(law, bundle, state, t)
    return moved, jax.tree.map(jnp.zeros_like, along), squared


def without_orthonormalisation(bundle):
    size = len(bundle.modes)
    return bundle, jnp.eye(size), jnp.zeros(size)


def test_without_time_dilation_the_cycle_is_wrong():
    with mock.patch.object(_nilss, "across", without_dilation), pytest.raises(AssertionError):
        check_cycle(Mutant(complete=False))


def test_without_time_dilation_lorenz_is_wrong():
    with mock.patch.object(_nilss, "across", without_dilation):
        found = lorenz(Mutant(complete=False), 3003, 4)
    assert not abs(found.value.rho - 1.0014) < 0.05


def test_without_orthonormalisation_lorenz_is_wrong():
    with mock.patch.object(_nilss, "orthonormalised", without_orthonormalisation):
        found = lorenz(Mutant(complete=False), 3001, 4)
    assert not abs(found.value.rho - 1.0014) < 0.05


def test_without_modes_lorenz_is_wrong():
    nothing = lambda segments: jnp.zeros_like(segments.jump)
    with mock.patch.object(_nilss, "_coefficients", nothing):
        found = lorenz(Mutant(complete=False), 3002, 4)
    assert not abs(found.value.rho - 1.0014) < 0.05


# Verdicts.


def reasons(found: Any) -> str:
    return " ".join(found.verdict.reasons)


def test_too_few_modes_are_told():
    assert "too few modes" in reasons(lorenz(Shadowing(modes=1, complete=False), 3000, 8))


def test_a_trajectory_at_rest_is_told():
    assert "come to rest" in reasons(lorenz(Shadowing(complete=False), 6000, 8, rho=jnp.array(10.0)))


def test_copies_are_told():
    assert "same trajectory" in reasons(lorenz(Shadowing(complete=False), 600, 2, spread=0.0))


def test_long_segments_are_told():
    assert "segments are too long" in reasons(lorenz(Shadowing(segment=4000, complete=False), 9000, 2))


def test_a_conserved_quantity_is_told():
    """Two uncoupled anharmonic oscillators: nothing grows or decays exponentially."""

    def field(z):
        return jnp.concatenate([z[2:], -z[:2] - 0.3 * z[:2] ** 3])

    law = Flow(field, x0=jnp.array([1.0, 0.5, 0.0, 0.3]), dt=jnp.array(0.02), spread=0.1)
    found = pliant.gradient(law, TimeAverage(lambda s: s.position[0] ** 2), Shadowing(complete=False), horizon=2000,
                            replicas=8, key=jax.random.key(0), wrt=lambda law: law.dt)  # fmt: skip
    assert "not seen to be hyperbolic" in reasons(found)


# Refusals.


@pytest.mark.parametrize(
    ("law", "observable", "estimator", "match"),
    [
        (OverdampedLangevin(kT=jnp.array(1.0)), TimeAverage(), Shadowing(), "driven by noise"),
        (VelocityVerlet(kT=jnp.array(1.0)), TimeAverage(), Shadowing(), "covers 2 of 3"),
        (ESH(x0=jnp.ones(3), kT=jnp.array(1.0)), TimeAverage(), Shadowing(), "carry weights"),
        (Flow(), Final(lambda s: s.position), Shadowing(), "long-time averages"),
        (Flow(lambda x: -x, x0=[1.0]), TimeAverage(), Shadowing(), "flow on a line"),
        (Flow(), TimeAverage(), Shadowing(modes=3), "3 modes"),
    ],
)
def test_refusals_name_the_physics(law, observable, estimator, match):
    with pytest.raises(pliant.NotApplicable, match=match):
        pliant.gradient(law, observable, estimator, horizon=200, replicas=2, key=jax.random.key(0))


@pytest.mark.parametrize("arguments", [{"modes": 0}, {"segment": 0}, {"segment": 1.5}, {"method": "ils"}])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Shadowing(**arguments)


@pytest.mark.slow
def test_coverage(capsys):
    """Nominal 95 % intervals of 160 trajectories of 10 units of time hold the estimate's expectation.

    That is taken from all repeats together: at this length it is off the truth, the price of the ends. Chunks are small:
    with batches of ten thousand factorisations XLA's threads have been seen to wait for each other for ever.
    """
    system, size = Lorenz63(), 160
    found = gathered(system.law(), system.observable(300), Shadowing(), system.wrt, 1300, size * REPEATS, chunk=500)
    covers(capsys, "Shadowing, Lorenz", found, np.mean(system.wrt(found.influence()).rho), size, system.wrt)
