"""Implicit at steady states: exact answers in and out of equilibrium, refusals with the physics, and broken variants."""

import dataclasses
from typing import Any
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import check, flat, name, run, within

import pliant
from pliant.core import engine, prepare
from pliant.core.estimate import mean_and_error
from pliant.core.estimator import Problem
from pliant.core.trees import stop_gradient
from pliant.dynamics import BAOAB, OBABO, Flow, OverdampedLangevin
from pliant.estimators import Implicit, _poisson_grid, _window
from pliant.observables import FirstPassageTime, TimeAverage
from pliant.potentials import DoubleWell, DrivenTrap, Harmonic, NonConservative
from pliant.systems import DoubleWellSystem, DrivenRing, HarmonicOscillator, MullerBrownSystem, ShearSystem

SQUARE = TimeAverage(lambda state: jnp.sum(state.position**2))
TURN = ((0.0, 2 * np.pi),)


RING = DrivenRing()


def test_the_driven_ring() -> None:
    """The average of cos 2x and the drift velocity, a current, against the periodic solution of Fokker-Planck."""
    law, truth = RING.law(), RING.stationary(RING.law())
    estimate = pliant.gradient(law, RING.observable(), Implicit(box=TURN, periodic=True), wrt=RING.wrt)
    check(estimate, truth.gradient, value=truth.value, resolution=1e-6)
    assert estimate.verdict.trusted and "continuum" in estimate.verdict.notes[0]


def test_where_the_covariance_formula_is_several_fold_wrong() -> None:
    r"""$-\beta \operatorname{Cov}(O, \partial_A U)$ over the very density of the driven ring, against the answer on the grid."""
    law, function = RING.law(), lambda state: jnp.cos(2 * state.position[0])
    both = TimeAverage(lambda state: jnp.stack([function(state), function(state) ** 2]))
    estimate = pliant.gradient(law, both, Implicit(box=TURN, periodic=True), wrt=lambda law: law.potential.potential)
    mean, square = estimate.observable.value
    covariance = -(square - mean**2) / RING.kT
    assert 3.5 < covariance / estimate.value.amplitude[0] < 4.0


def test_shear_flow() -> None:
    r"""$\langle x^2 \rangle = (D/k)(1 + g^2 / 2 k^2)$, from the Lyapunov equation."""
    exact = lambda k, g, D: D / k * (1 + g**2 / (2 * k**2))
    law = dataclasses.replace(ShearSystem(k=1.3, rate=0.8).law(), kT=jnp.array(0.7))
    wrt = lambda law: (law.potential, law.kT)
    estimate = pliant.gradient(law, ShearSystem().observable(), Implicit(cells=96), wrt=wrt)
    check(estimate, jax.grad(exact, (0, 1, 2))(1.3, 0.8, 0.7), value=exact(1.3, 0.8, 0.7), resolution=3e-3)


def test_double_well() -> None:
    """Against quadrature of the Boltzmann density; b from the default tilt."""
    system = DoubleWellSystem()
    truth = system.truth(system.law(BAOAB), system.observable(), 1)
    estimate = pliant.gradient(system.law(), system.observable(), Implicit(), wrt=system.wrt)
    check(estimate, truth.gradient, value=truth.value, resolution=1e-6)


def test_the_published_number_of_the_double_well() -> None:
    """d<x^2>/da at a = 1, b = 0 and beta = 1, 3, 5."""
    for beta, slope in ((1, -0.027092302768), (3, 0.100703500490), (5, 0.077463572315)):
        law = OverdampedLangevin(DoubleWell(jnp.array(1.0), jnp.array(0.0)), x0=jnp.zeros(1), kT=jnp.array(1 / beta))
        estimate = pliant.gradient(law, SQUARE, Implicit(), wrt=lambda law: law.potential.a)
        np.testing.assert_allclose(float(estimate.value), slope, atol=1e-11 + 4 * float(estimate.standard_error))


def test_every_parameter_of_a_harmonic_well() -> None:
    """d<x^2> by k, kT, friction and x0: -kT/k^2, 1/k, 0, 0."""
    law = OverdampedLangevin(Harmonic(jnp.array(2.0)), x0=jnp.zeros(1), kT=jnp.array(0.7), friction=jnp.array(3.0))
    estimate = pliant.gradient(law, SQUARE, Implicit())
    within(flat(estimate.value), flat(estimate.standard_error) + 1e-12, np.array([-0.7 / 4, 0.0, 0.5, 0.0]))


def test_muller_brown() -> None:
    system = MullerBrownSystem()
    law, observable = system.law(), system.observable()
    truth = system.truth(law, observable, 1)
    estimate = pliant.gradient(law, observable, Implicit(), wrt=system.wrt)
    check(estimate, truth.gradient.A, value=truth.value, resolution=1e-2)


class Multiplicative(pliant.HasDrift):
    r"""$dx = -k x\,dt + \sqrt{2 (1 + c x^2)}\,dW$ (Itô): $\langle x^2 \rangle = 1 / (k - c)$, from its own moment equation."""

    k: jax.Array
    c: jax.Array
    noise = pliant.Normal(())

    def init(self, key: Any) -> Any:
        return jnp.zeros(())

    def drift(self, state: Any, t: Any) -> Any:
        return -self.k * state

    def diffusion(self, state: Any, t: Any) -> Any:
        return jnp.sqrt(2 * (1 + self.c * state**2))

    def step(self, state: Any, noise: Any, t: Any) -> Any:
        return state + 0.01 * self.drift(state, t) + 0.1 * self.diffusion(state, t) * noise


def test_noise_that_depends_on_the_state() -> None:
    estimate = pliant.gradient(Multiplicative(jnp.array(2.0), jnp.array(0.1)), TimeAverage(lambda x: x**2), Implicit())
    check(estimate, [-1 / 1.9**2, 1 / 1.9**2], value=1 / 1.9, resolution=1e-5)


def grid(**changes: Any) -> Any:
    given = {"law": OverdampedLangevin(Harmonic(jnp.array(1.0)), x0=jnp.zeros(1)), "observable": SQUARE, **changes}
    options = {name: given.pop(name) for name in ("method", "cells", "box", "periodic", "degree") if name in given}
    run_options = {"horizon": 8, "replicas": 4, "key": jax.random.key(0), "wrt": given.get("wrt")}
    return pliant.gradient(given["law"], given["observable"], Implicit(**options), **run_options)


class Weighted(OverdampedLangevin):
    def log_sample_weight(self, state: Any) -> Any:
        return jnp.sum(state.position)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"law": Weighted(x0=jnp.zeros(1), kT=jnp.array(1.0))}, "the states that Weighted visits are weighted"),
        ({"law": Flow()}, "Flow is deterministic: its steady state lives on an orbit or an attractor"),
        ({"law": OverdampedLangevin(DrivenTrap())}, "a law driven in time has no steady state"),
        ({"law": RING.law(), "wrt": RING.wrt, "method": "grid"}, "found no box .* it is periodic. Give the box"),
        ({"observable": FirstPassageTime()}, "FirstPassageTime is a functional of whole paths"),
    ],
)
def test_physics_that_refuses(changes: dict, message: str) -> None:
    with pytest.raises(pliant.NotApplicable, match=message):
        grid(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "fourier"}, "Argument `method` must be one of .* but it was 'fourier'"),
        ({"cells": 30}, "Argument `cells` must be a multiple of 4"),
        ({"cells": 0}, "Argument `cells` must be a whole number >= 1"),
        ({"periodic": True}, "Argument `box` must be given where `periodic` is"),
        ({"box": (0.0, 1.0)}, r"Argument `box` must hold \(\(low, high\), ...\) .* for each of 1 coordinates"),
        ({"box": ((1.0, 0.0),)}, "Argument `box` must hold .* low < high"),
    ],
)
def test_bad_input(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid(**changes)


def test_a_grid_too_coarse_says_so() -> None:
    estimate = grid(cells=8, box=((-8.0, 8.0),))
    assert estimate.verdict.level == "untrusted" and "raise `cells`" in estimate.verdict.reasons[0]


# The window, against the moments and transfer matrices of the very scheme.


def windowed(system: Any, estimator: Any, dt: float, burn_in: int, horizon: int, replicas: int) -> Any:
    law, observable = system.law(OverdampedLangevin, dt), system.observable(burn_in)
    estimate = run(law, observable, estimator, system.wrt, horizon, replicas)
    return estimate, system.truth(law, observable, horizon)


@pytest.mark.parametrize("system", [ShearSystem(k=1.3, rate=0.8), DrivenRing(), DoubleWellSystem()], ids=name)
def test_window(system: Any) -> None:
    estimate, truth = windowed(system, Implicit(method="window"), 0.05, 200, 400, 4000)
    check(estimate, truth.gradient, value=truth.value)
    assert not estimate.verdict.reasons, estimate.verdict


def sheared(estimator: Any) -> None:
    """The oracle of windows: k^2 x^2 in the shear flow, a part of whose derivative is explicit."""
    system, burn_in, horizon = ShearSystem(k=1.3, rate=0.8), 200, 500
    law, plain = system.law(OverdampedLangevin, 0.05), system.observable(burn_in)
    truth = system.truth(law, plain, horizon)
    exact = [1.3**2 * slope for slope in flat(truth.gradient)]
    exact[0] += 2 * 1.3 * float(truth.value)
    weighted = TimeAverage(lambda state, law: law.potential.potential.k**2 * state.position[0] ** 2, burn_in=burn_in)
    estimate = run(law, weighted, estimator, system.wrt, horizon, 6000)
    check(estimate, exact, value=1.3**2 * truth.value, resolution=0.15)


def test_the_window_passes_its_oracle() -> None:
    sheared(Implicit(method="window"))


def spoiled(**changes: Any) -> Any:
    """The window whose contributions are spoiled: fields by a function of themselves, methods by another."""
    methods = {name: changes.pop(name) for name in ("bias", "influence") if name in changes}
    kind = type("Spoiled", (_window.Windowed,), methods)

    class Mutant(Implicit):
        def replicate(self, problem: Any, rollout: Any) -> Any:
            fields = dict(vars(super().replicate(problem, rollout)))
            return kind(**fields | {name: jax.tree.map(change, fields[name]) for name, change in changes.items()})

    return Mutant


no_bias = lambda self: (0.0, jax.tree.map(lambda leaf: 0 * leaf[0], self.explicit))
nothing = lambda leaf: jnp.zeros_like(leaf)
MUTANTS = {
    "explicit derivative missing": spoiled(explicit=nothing)("window"),
    "sign": spoiled(product=lambda x: -x, score=lambda x: -x)("window"),
    "score of one age missing": spoiled(product=lambda x: x.at[1].set(0), score=lambda x: x.at[1].set(0))("window"),
    "short, without its bias": spoiled(bias=lambda self: (0.0, jax.tree.map(lambda e: 0 * e[0], self.explicit)))(
        "window", window=16
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS)
def test_broken_windows_fail(mutant: str) -> None:
    with pytest.raises(AssertionError):
        sheared(MUTANTS[mutant])


def test_a_short_window_widens_its_error_bar() -> None:
    """What it misses, more than half, lies within what it says that it misses."""
    system = ShearSystem(k=1.3, rate=0.8)
    estimate, truth = windowed(system, Implicit(method="window", window=16), 0.05, 200, 400, 4000)
    within(flat(estimate.value), flat(estimate.standard_error), flat(truth.gradient))
    assert "lengthen `window`" in estimate.verdict.reasons[0]


def test_an_uncentred_window_is_seen_in_the_variance() -> None:
    """O + 10 has the same gradient as O, and, centred, the same error."""
    system = ShearSystem(k=1.3, rate=0.8)
    law, wrt = system.law(OverdampedLangevin, 0.05), system.wrt
    shifted = TimeAverage(lambda state: state.position[0] ** 2 + 10.0, burn_in=200)
    good = run(law, shifted, Implicit("window"), wrt, 400, 1000)
    bad = run(law, shifted, spoiled(score=nothing)("window"), wrt, 400, 1000)
    assert np.all(flat(bad.standard_error) > 3 * flat(good.standard_error))


# Broken grids.


class Backwards(Implicit):
    """The potential of Poisson's equation with the wrong sign."""

    def solve(self, problem: Any) -> Any:
        density = _poisson_grid._density

        def negative(*arguments: Any) -> Any:
            solve, found = density(*arguments)
            return lambda right: -solve(right), found

        with mock.patch.object(_poisson_grid, "_density", negative):
            return super().solve(problem)


class Unseen(Implicit):
    """The observable looks at a law that is held: no explicit derivative."""

    def solve(self, problem: Any) -> Any:
        held = stop_gradient(problem.law())
        observable = TimeAverage(lambda state: weighted(state, held))
        return super().solve(Problem(problem.parameters, problem.rest, observable))


def weighted(state: Any, law: Any) -> Any:
    return law.potential.k**2 * jnp.sum(state.position**2)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [Implicit("grid"), Backwards("grid"), Unseen("grid")], ids=name)
def test_broken_grids_fail(estimator: Any) -> None:
    """d(k^2 <x^2>)/dk = kT on a spring."""
    law = OverdampedLangevin(Harmonic(jnp.array(0.8)), x0=jnp.zeros(1), kT=0.7)
    estimate = pliant.gradient(law, TimeAverage(weighted), estimator, wrt=lambda law: law.potential)
    if type(estimator) is Implicit:
        check(estimate, 0.7, value=0.56, resolution=1e-6)
    else:
        with pytest.raises(AssertionError):
            check(estimate, 0.7, value=0.56, resolution=1e-6)


# The Galerkin basis, against the moments and transfer matrices of the very scheme.


@pytest.mark.parametrize(
    ("system", "dt", "horizon"),
    [(ShearSystem(k=1.3, rate=0.8), 0.05, 600), (DoubleWellSystem(), 0.02, 1600)],
    ids=["shear", "double well"],
)
def test_galerkin(system: Any, dt: float, horizon: int) -> None:
    estimator = Implicit(method="galerkin", degree=4 if "shear" in system.name else None)
    estimate, truth = windowed(system, estimator, dt, 400, horizon, 1000)
    check(estimate, truth.gradient, value=truth.value)
    assert any("truncation: from a basis of" in note for note in estimate.verdict.notes)


def test_galerkin_with_momenta_every_parameter_and_a_stored_force() -> None:
    """BAOAB on a spring: <x^2> = kT/k at any dt, whatever friction and mass are."""
    law = BAOAB(Harmonic(jnp.array(1.3)), x0=jnp.ones(1), dt=0.3, kT=jnp.array(0.7), friction=jnp.array(1.5))
    observable = TimeAverage(lambda state: jnp.sum(state.position**2), burn_in=60)
    wrt = lambda law: (law.potential, law.kT, law.friction)
    estimate = run(law, observable, Implicit("galerkin", degree=3), wrt, 300, 1000)
    check(estimate, [-0.7 / 1.3**2, 1 / 1.3, 0.0], value=0.7 / 1.3, resolution=0.05)


def test_galerkin_in_five_dimensions() -> None:
    """Euler-Maruyama on a spring has the variance kT / (k - k^2 h / 2) in every coordinate."""
    k, h, kT, d = 1.3, 0.1, 0.7, 5
    law = OverdampedLangevin(Harmonic(jnp.array(k)), x0=jnp.zeros(d), dt=h, kT=kT)
    observable = TimeAverage(lambda state: jnp.sum(state.position**2), burn_in=60)
    estimate = run(law, observable, Implicit("galerkin", degree=3), lambda law: law.potential, 160, 128)
    stiff = k - k**2 * h / 2
    check(estimate, -d * kT * (1 - k * h) / stiff**2, value=d * kT / stiff)


def test_a_truncated_basis_widens_its_error_bar() -> None:
    """Degree two in a double well: most of the slow mode is missing, and within what is said to be missing."""
    estimate, truth = windowed(DoubleWellSystem(), Implicit("galerkin", degree=2), 0.02, 400, 1600, 500)
    assert "imprecise" in estimate.verdict.level
    within(flat(estimate.value), flat(estimate.standard_error), flat(truth.gradient))


class Transposed(Implicit):
    """The weak form of the adjoint: as if the flow could be reversed in time."""

    def replicate(self, problem: Any, rollout: Any) -> Any:
        found = super().replicate(problem, rollout)
        return dataclasses.replace(found, matrix=found.matrix.T)


class BackwardsProjected(Implicit):
    """The sign of the response."""

    def replicate(self, problem: Any, rollout: Any) -> Any:
        found = super().replicate(problem, rollout)
        return dataclasses.replace(found, force=jax.tree.map(lambda f: -f, found.force))


class UnseenProjected(Implicit):
    """No explicit derivative."""

    def replicate(self, problem: Any, rollout: Any) -> Any:
        found = super().replicate(problem, rollout)
        return dataclasses.replace(found, explicit=jax.tree.map(nothing, found.explicit))


class UncentredProjected(Implicit):
    """The constant is left in the equation's right-hand side, which then has no solution."""

    def replicate(self, problem: Any, rollout: Any) -> Any:
        found = super().replicate(problem, rollout)
        return dataclasses.replace(found, product=found.product + 10 * found.mean)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Implicit, Transposed, BackwardsProjected, UnseenProjected, UncentredProjected])
def test_broken_projections_fail(kind: type) -> None:
    if kind is Implicit:
        return projected(kind)
    with pytest.raises(AssertionError):
        projected(kind)


def projected(kind: type) -> None:
    """k^2 (x^2 + x) under a constant force in the shear flow: a mean that does not vanish, and an explicit part."""
    k, g, f, h = 1.3, 0.8, 0.5, 0.05
    field = NonConservative(Harmonic(jnp.array(k)), Flowing(jnp.array(g), jnp.array(f)))
    law = OverdampedLangevin(field, x0=jnp.zeros(2), dt=h, kT=1.0)
    function = lambda state, law: law.potential.potential.k**2 * (state.position[0] ** 2 + state.position[0])
    estimate = run(
        law, TimeAverage(function, burn_in=200), kind("galerkin", degree=3), lambda law: law.potential, 500, 3000
    )
    exact = jax.grad(lambda k, g, f: k**2 * flowing_average(k, g, f, h), (0, 1, 2))(k, g, f)
    check(estimate, exact, resolution=0.05)


class Flowing(eqx.Module):
    """The force (g y + f, f)."""

    rate: jax.Array
    push: jax.Array

    def __call__(self, position: Any) -> Any:
        return jnp.stack([self.rate * position[1], 0.0]) + self.push


def flowing_average(k: Any, g: Any, f: Any, h: float) -> Any:
    """<x^2 + x> of the stationary affine recursion z' = (1 - h K) z + h f + sqrt(2 h) R."""
    K = jnp.array([[1.0, 0.0], [0.0, 1.0]]) * k - jnp.array([[0.0, 1.0], [0.0, 0.0]]) * g
    step = jnp.eye(2) - h * K
    mean = jnp.linalg.solve(K, jnp.full(2, 1.0) * f)
    covariance = jnp.linalg.solve(jnp.eye(4) - jnp.kron(step, step), 2 * h * jnp.eye(2).ravel()).reshape(2, 2)
    return covariance[0, 0] + mean[0] ** 2 + mean[0]


class Jumping(OverdampedLangevin):
    jumps = True


def test_what_a_basis_cannot_serve() -> None:
    with pytest.raises(pliant.NotApplicable, match="has 10625 functions, more than 1500: lower `degree`"):
        grid(method="galerkin", degree=4, law=OverdampedLangevin(x0=jnp.zeros(20), kT=jnp.array(1.0)))
    with pytest.raises(pliant.NotApplicable, match="jumps with its parameters at fixed noise"):
        grid(method="galerkin", law=Jumping(Harmonic(jnp.array(1.0)), x0=jnp.zeros(1)))


def test_what_a_window_cannot_serve() -> None:
    with pytest.raises(pliant.NotApplicable, match="no window can cut it off; use OBABO or ABOBA"):
        grid(method="window", law=BAOAB(Harmonic(jnp.array(1.0)), x0=jnp.zeros(1)), wrt=lambda law: law.potential)
    estimate = run(OBABO(Harmonic(jnp.array(1.0)), x0=jnp.zeros(1), dt=0.2), TimeAverage(burn_in=100), Implicit(),
                   lambda law: law.potential, 200, 50)  # fmt: skip
    assert "a window of path scores (no grid: its " in estimate.verdict.notes[0]


# Coverage.


@pytest.mark.slow
@pytest.mark.parametrize(("method", "replicas"), [("window", 512), ("galerkin", 256)])
def test_coverage(method: str, replicas: int, capsys: Any) -> None:
    """Nominal 95 % intervals, truncation included, hold the exact answer in 93-97 % of 1000 repeats."""
    system, burn_in, horizon = HarmonicOscillator(k=1.3, kT=0.8), 80, 320
    law, observable = system.law(OverdampedLangevin, 0.1), system.observable(burn_in)
    problem = prepare.problem(law, observable.at_horizon(horizon), system.wrt)
    estimator = Implicit(method, degree=3).at_horizon(problem, horizon)
    settings = prepare.settings(problem, estimator, horizon, 1000 * replicas, jax.random.key(11), 1e9, "fused", None)
    found, _ = engine.gather(problem, estimator, settings, progress=False)
    truth = flat(system.truth(law, observable, horizon).gradient)
    z = []
    for first in range(0, 1000 * replicas, replicas):
        group = jax.tree.map(lambda leaf, first=first: leaf[first : first + replicas], found)
        mean, error = mean_and_error(flat(group.influence()))
        z.append((mean - truth) / np.hypot(error, flat(group.bias()[1])))
    share = float(np.mean(np.abs(z) <= 1.96))
    with capsys.disabled():
        print(f"\n{method}: {100 * share:.1f} % of 1000 repeats, mean z {np.mean(z):.2f}", end="")
    assert 0.93 <= share <= 0.97


def test_one_chain_has_no_other_scores_to_centre_on() -> None:
    law = OverdampedLangevin(x0=jnp.zeros(1), kT=jnp.array(1.0))
    with pytest.raises(pliant.NotApplicable, match="replicas >= 2, or Reweighting"):
        pliant.gradient(law, TimeAverage(burn_in=100), Implicit(method="window"), horizon=400, replicas=1,
                        key=jax.random.key(0), wrt=lambda law: law.kT, progress=False)  # fmt: skip
