"""Metropolis chains: detailed balance, exact averages, unbiased path scores, and jumps that pathwise gradients miss."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import check, name, run, within

import pliant
from pliant.dynamics import Metropolis
from pliant.dynamics._shared import Position
from pliant.estimators import BPTT, ForwardSensitivity, Girsanov, Reweighting
from pliant.observables import Final, TimeAverage
from pliant.potentials import DoubleWell, DrivenTrap, Harmonic

KINDS = [("random_walk", "metropolis"), ("random_walk", "barker"), ("mala", "metropolis"), ("mala", "barker")]
PARAMETERS = ("a", "b", "kT", "scale")


def chain(proposal: str, acceptance: str, kind: type = Metropolis, **settings: Any) -> Metropolis:
    well = DoubleWell(a=jnp.array(1.0), b=jnp.array(0.5))
    given = dict(x0=jnp.array([0.5]), kT=jnp.array(0.8), scale=jnp.array(0.6)) | settings
    return kind(well, proposal=proposal, acceptance=acceptance, **given)


# The kernel on a grid, written again.


class Kernel:
    """The chain in a (x^2 - 1)^2 + b x as a matrix of chances between grid points, rejections on its diagonal."""

    def __init__(self, proposal: str, acceptance: str, points: int = 1201):
        self.proposal, self.acceptance = proposal, acceptance
        # The start, 0.5, is a point of the grid.
        self.x, self.spacing = np.linspace(-3.0, 3.0, points, retstep=True)

    def matrix(self, a: float, b: float, kT: float, scale: float) -> np.ndarray:
        """Columns: from; rows: to."""
        x = self.x
        energy, slope = a * (x**2 - 1) ** 2 + b * x, 4 * a * x * (x**2 - 1) + b
        mean = x - 0.5 * scale**2 * slope / kT if self.proposal == "mala" else x
        forward = np.exp(-0.5 * ((x[:, None] - mean[None, :]) / scale) ** 2) / (np.sqrt(2 * np.pi) * scale)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.exp((energy[None, :] - energy[:, None]) / kT) * forward.T / forward
        ratio = np.nan_to_num(ratio, nan=0.0, posinf=1e300)
        chance = np.minimum(ratio, 1.0) if self.acceptance == "metropolis" else ratio / (1 + ratio)
        moves = forward * chance * self.spacing
        return moves + np.diag(1 - moves.sum(axis=0))

    def average(self, horizon: int, **at: float) -> float:
        """The expectation of x_T^2 from x = 0.5."""
        matrix, mass = self.matrix(**at), np.isclose(self.x, 0.5).astype(float)
        assert mass.sum() == 1.0
        for _ in range(horizon):
            mass = matrix @ mass
        return float(mass @ self.x**2)

    def truth(self, horizon: int) -> tuple[float, list[float]]:
        at, h = dict(a=1.0, b=0.5, kT=0.8, scale=0.6), 1e-4
        slopes = [
            (self.average(horizon, **at | {key: at[key] + h}) - self.average(horizon, **at | {key: at[key] - h}))
            / (2 * h)
            for key in PARAMETERS
        ]
        return self.average(horizon, **at), slopes


@pytest.mark.parametrize(("proposal", "acceptance"), KINDS)
def test_detailed_balance(proposal: str, acceptance: str) -> None:
    """pi(x) q(y|x) alpha(x, y) is symmetric, from the law's own densities."""
    law = chain(proposal, acceptance, x0=jnp.zeros(2))
    x, y = jax.random.normal(jax.random.key(0), (2, 50, 2))

    def flow(x: Any, y: Any) -> Any:
        return law.log_density(Position(x)) + law._log_proposal(x, y) + law._log_chances(x, y)[0]

    np.testing.assert_allclose(jax.vmap(flow)(x, y), jax.vmap(flow)(y, x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("proposal", "acceptance"), KINDS)
def test_the_kernel_keeps_the_boltzmann_density(proposal: str, acceptance: str) -> None:
    kernel = Kernel(proposal, acceptance)
    density = np.exp(-((kernel.x**2 - 1) ** 2 + 0.5 * kernel.x) / 0.8)
    moved = kernel.matrix(1.0, 0.5, 0.8, 0.6) @ density
    np.testing.assert_allclose(moved, density, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("proposal", "acceptance"), KINDS)
def test_stationary_averages_have_no_error_of_a_step(proposal: str, acceptance: str) -> None:
    x = np.linspace(-4, 4, 4001)
    density = np.exp(-((x**2 - 1) ** 2 + 0.5 * x) / 0.8)
    exact = np.array([x, x**2]) @ density / density.sum()
    both = TimeAverage(lambda state: jnp.concatenate([state.position, state.position**2]), burn_in=150)
    law = chain(proposal, acceptance, scale=0.8)
    estimate = pliant.expectation(law, both, horizon=450, replicas=2000, key=jax.random.key(4), progress=False)
    assert np.all(np.asarray(estimate.standard_error) < 0.02)
    within(np.asarray(estimate.value), np.asarray(estimate.standard_error), exact)


class AlwaysAccepts(Metropolis):
    """A mutant: the proposal's own chain."""

    def _log_ratio(self, position: Any, proposed: Any) -> Any:
        return 30.0 + 0.0 * super()._log_ratio(position, proposed)


class NoProposalRatio(Metropolis):
    """A mutant: the densities of proposal and way back count as equal."""

    def _log_ratio(self, position: Any, proposed: Any) -> Any:
        return (self.potential(position) - self.potential(proposed)) / self.kT


@pytest.mark.parametrize("mutant", [AlwaysAccepts, NoProposalRatio], ids=name)
def test_broken_acceptance_fails_the_averages(mutant: type) -> None:
    square = TimeAverage(lambda state: state.position[0] ** 2, burn_in=50)
    law = mutant(Harmonic(jnp.array(1.0)), x0=jnp.zeros(1), scale=1.0, proposal="mala")
    estimate = pliant.expectation(law, square, horizon=150, replicas=2000, key=jax.random.key(4), progress=False)
    with pytest.raises(AssertionError):
        within(np.asarray(estimate.value), np.asarray(estimate.standard_error), np.ones(()))


def test_many_coordinates_and_a_scale_for_each() -> None:
    law = Metropolis(Harmonic(jnp.array([1.0, 4.0])), x0=jnp.zeros(2), scale=jnp.array([1.5, 0.8]))
    squares = TimeAverage(lambda state: state.position**2, burn_in=100)
    estimate = pliant.expectation(law, squares, horizon=400, replicas=1000, key=jax.random.key(4), progress=False)
    within(np.asarray(estimate.value), np.asarray(estimate.standard_error), np.array([1.0, 0.25]))


# Path scores.

HORIZON = 4


def everything(law: Metropolis) -> tuple:
    return law.potential.a, law.potential.b, law.kT, law.scale


@pytest.mark.parametrize(("proposal", "acceptance"), [kind for kind in KINDS if kind[1] == "barker"])
def test_path_scores_in_every_parameter(proposal: str, acceptance: str) -> None:
    value, slopes = Kernel(proposal, acceptance).truth(HORIZON)
    law = chain(proposal, acceptance)
    estimate = run(law, Final(lambda state: state.position[0] ** 2), Girsanov(), everything, HORIZON, 200_000)
    check(estimate, slopes, value=value)


def test_path_scores_of_the_metropolis_rule() -> None:
    """Temperature and proposal scale, whose scores have a finite variance under this rule."""
    value, slopes = Kernel("random_walk", "metropolis").truth(HORIZON)
    law = chain("random_walk", "metropolis")
    estimate = run(law, Final(lambda state: state.position[0] ** 2), Girsanov(), lambda law: (law.kT, law.scale), HORIZON,
                   200_000)  # fmt: skip
    check(estimate, slopes[2:], value=value)


class AcceptedAlone(Metropolis):
    """A mutant: the score of a rejected move is left out."""

    def path_step(self, memory: Any, state: Any, noise: Any, next_state: Any, t: Any) -> Any:
        memory, log_density = super().path_step(memory, state, noise, next_state, t)
        accepted = jnp.any(next_state.position != state.position)
        return memory, jnp.where(accepted, log_density, 0.0)


class WithoutRejection(Metropolis):
    """A mutant: a rejected move is as likely as its proposal, without the chance to reject."""

    def _log_chances(self, position: Any, proposed: Any, rejected: Any = False) -> Any:
        taken, refused = super()._log_chances(position, proposed, rejected)
        return taken, 0.0 * refused


class WithoutChances(Metropolis):
    """A mutant: the density of proposals alone."""

    def path_step(self, memory: Any, state: Any, noise: Any, next_state: Any, t: Any) -> Any:
        held = jax.lax.stop_gradient(self._mean(state.position) + self.scale * noise[0])
        return memory, self._log_proposal(state.position, held)


class FreeProposal(Metropolis):
    """A mutant: the proposal moves with the parameters, as if the path were not fixed."""

    def path_step(self, memory: Any, state: Any, noise: Any, next_state: Any, t: Any) -> Any:
        proposed = self._mean(state.position) + self.scale * noise[0]
        accepted = jnp.any(next_state.position != state.position)
        taken, refused = self._log_chances(state.position, proposed, ~accepted)
        return memory, self._log_proposal(state.position, proposed) + jnp.where(accepted, taken, refused)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [AcceptedAlone, WithoutRejection, WithoutChances, FreeProposal], ids=name)
def test_broken_path_scores_fail(mutant: type) -> None:
    value, slopes = Kernel("mala", "barker").truth(HORIZON)
    law = chain("mala", "barker", mutant)
    estimate = run(law, Final(lambda state: state.position[0] ** 2), Girsanov(), everything, HORIZON, 200_000)
    with pytest.raises(AssertionError):
        check(estimate, slopes, value=value)


def test_reweighting_is_exact() -> None:
    """d<x^2>/dk = -kT/k^2 and d<x^2>/dkT = 1/k, whatever the scale."""
    law = Metropolis(Harmonic(jnp.array(1.3)), x0=jnp.zeros(1), kT=jnp.array(0.8), scale=1.5)
    square = TimeAverage(lambda state: state.position[0] ** 2, burn_in=50)
    estimate = run(law, square, Reweighting(), lambda law: (law.potential, law.kT), 350, 4000)
    check(estimate, [-0.8 / 1.3**2, 1 / 1.3], value=0.8 / 1.3)
    assert "exactly" in estimate.verdict.notes[0]


# What it refuses, and what the verdict says.


@pytest.mark.parametrize("estimator", [BPTT(), ForwardSensitivity()], ids=name)
def test_pathwise_estimators_are_not_trusted(estimator: Any) -> None:
    """They miss the jumps of the accept step: in the temperature of a random walk they see nothing at all."""
    law = chain("random_walk", "metropolis")
    estimate = run(law, TimeAverage(lambda state: state.position[0] ** 2), estimator, lambda law: law.kT, 16, 64)
    assert estimate.verdict.level == "untrusted"
    assert any("the law's step is discontinuous" in reason for reason in estimate.verdict.reasons)
    assert float(estimate.value) == 0.0


class Silent(Metropolis):
    """It does not say that it jumps."""

    @property
    def jumps(self) -> bool:
        return False


def test_the_probe_finds_the_accept_step_by_itself() -> None:
    law = chain("random_walk", "metropolis", Silent)
    estimate = run(law, TimeAverage(lambda state: state.position[0] ** 2), BPTT(), everything, 64, 64)
    assert any("it jumps by about" in reason for reason in estimate.verdict.reasons)


def test_a_weight_sampled_by_metropolis_jumps_as_well() -> None:
    class Well(pliant.Weigh):
        a: jax.Array

        def log_weight(self, x: Any) -> Any:
            return -jnp.sum(self.a * (x**2 - 1) ** 2)

        def sampler(self) -> Any:
            return Metropolis(lambda x: -self.log_weight(x), x0=jnp.zeros(1))

    estimate = pliant.gradient(Well(jnp.array(1.0)), Final(), BPTT(), horizon=8, replicas=8, key=jax.random.key(0))
    assert any("the law's step is discontinuous" in reason for reason in estimate.verdict.reasons)


def test_a_proposal_without_an_energy_is_rejected() -> None:
    law = Metropolis(lambda x: jnp.sum(jnp.log(x)), x0=jnp.ones(1))
    noise = (jnp.array([-3.0]), jnp.array(0.0))
    assert float(law.step(law.init(jax.random.key(0)), noise, 0).position[0]) == 1.0


@pytest.mark.parametrize(("field", "value"), [("kT", -1.0), ("scale", 0.0)])
def test_bad_numbers_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"Argument `{field}` must be positive"):
        Metropolis(Harmonic(), **{field: value})


@pytest.mark.parametrize("field", ["proposal", "acceptance"])
def test_unknown_names_are_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"Argument `{field}` must be one of"):
        Metropolis(Harmonic(), **{field: "gibbs"})


def test_a_driven_potential_has_no_stationary_state() -> None:
    assert "driven in time" in str(Metropolis(DrivenTrap()).refusal(pliant.HasStationaryDensity))


def test_the_start_has_no_path_density() -> None:
    law = eqx.tree_at(lambda law: law.kT, Metropolis(Harmonic()), jnp.array(1.0))
    with pytest.raises(pliant.NotApplicable, match="`x0`"):
        run(law, Final(), Girsanov(), lambda law: law.x0, 4, 8)
