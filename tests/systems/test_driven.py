"""Steady states without detailed balance: their truths, what samples them, and the covariance formula that fails there."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import check, flat, run, within

import pliant
from pliant.dynamics import BAOAB, OverdampedLangevin, VelocityVerlet
from pliant.estimators import Girsanov, Reweighting
from pliant.observables import TimeAverage
from pliant.potentials import Cosine, DrivenTrap, Harmonic, NonConservative
from pliant.systems import DrivenRing, ShearSystem
from pliant.systems._truth import Truth

RING, SHEAR = DrivenRing(), ShearSystem(k=1.3, rate=2.0, kT=0.7)


# The truths, by other routes.


def by_fourier(amplitude: float, drive: float, kT: float, modes: int = 40) -> np.ndarray:
    """<cos 2x> and the velocity from the Fokker-Planck equation in Fourier space: another discretisation, another solver."""
    wave = 2 * np.arange(-modes, modes + 1)
    shift = np.eye(len(wave), k=-1)  # multiplies by exp(2 i x)
    sine = (shift - shift.T) / 2j
    drift = 2 * amplitude * sine + drive * np.eye(len(wave))
    generator = -1j * wave[:, None] * drift - kT * np.diag(wave**2)
    right = np.zeros(len(wave), complex)
    generator[modes, :], right[modes] = np.eye(len(wave))[modes], 1.0
    density = np.linalg.solve(generator, right)
    return np.real([density[modes + 1], (drift @ density)[modes]])


@pytest.mark.parametrize(("amplitude", "drive", "kT"), [(1.0, 4.0, 1.0), (2.0, 1.0, 0.6), (0.7, -2.0, 1.4)])
def test_the_ring_against_fourier_modes(amplitude: float, drive: float, kT: float) -> None:
    system, h = DrivenRing(A=amplitude, f=drive, kT=kT), 1e-4
    truth = system.stationary(system.law())
    np.testing.assert_allclose(truth.value, by_fourier(amplitude, drive, kT), rtol=1e-10)
    by_amplitude = by_fourier(amplitude + h, drive, kT) - by_fourier(amplitude - h, drive, kT)
    by_drive = by_fourier(amplitude, drive + h, kT) - by_fourier(amplitude, drive - h, kT)
    np.testing.assert_allclose(truth.gradient.potential.amplitude, by_amplitude / (2 * h), rtol=1e-6)
    np.testing.assert_allclose(truth.gradient.drive, by_drive / (2 * h), rtol=1e-6)


def test_without_drive_the_ring_is_in_balance() -> None:
    system = DrivenRing(f=0.0)
    truth = system.stationary(system.law())
    x = np.linspace(0, np.pi, 400, endpoint=False)
    density = np.exp(-np.cos(2 * x))
    mean, square = (density @ np.cos(2 * x) ** n / density.sum() for n in (1, 2))
    np.testing.assert_allclose(truth.value, [mean, 0.0], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(truth.gradient.potential.amplitude[0], -(square - mean**2), rtol=1e-12)


def late(system: Any, dt: float, time: float = 5.0) -> Truth:
    law, steps = system.law(dt=dt), int(time / dt)
    truth = system.truth(law, system.observable(burn_in=steps - 1), steps)
    assert truth is not None and truth.of == "discretised"
    return truth


def test_the_discretised_ring_tends_to_the_continuum_in_first_order() -> None:
    exact = flat_truth(RING.stationary(RING.law()))
    errors = [flat_truth(late(RING, dt)) - exact for dt in (0.02, 0.01, 0.005)]
    # Without its first order an error falls by four as dt is halved.
    coarse, fine = 2 * errors[1] - errors[0], 2 * errors[2] - errors[1]
    np.testing.assert_allclose(coarse / fine, 4.0, rtol=0.1)
    assert np.all(np.abs(fine) < 1e-3)


def flat_truth(truth: Truth) -> np.ndarray:
    return np.concatenate([flat(truth.value), flat(truth.gradient)])


def test_the_shear_tends_to_its_closed_form() -> None:
    k, g, D = 1.3, 2.0, 0.7
    exact = [
        D / k * (1 + g**2 / (2 * k**2)),
        -D / k**2 - 3 * D * g**2 / (2 * k**4),
        D * g / k**3,
    ]
    coarse, fine = (flat_truth(late(SHEAR, dt, 12.0)) - exact for dt in (0.02, 0.01))
    assert np.all(np.abs(2 * fine - coarse) < 2e-3 * np.abs(exact))


# What the dynamics samples.


@pytest.mark.parametrize(("system", "dt", "horizon"), [(RING, 0.05, 24), (SHEAR, 0.1, 24)], ids=["ring", "shear"])
def test_path_scores_against_the_discretised_truth(system: Any, dt: float, horizon: int) -> None:
    law, observable = system.law(dt=dt), system.observable(burn_in=16)
    truth = system.truth(law, observable, horizon)
    estimate = run(law, observable, Girsanov(), system.wrt, horizon, 60_000)
    check(estimate, truth.gradient, value=truth.value)


@pytest.mark.parametrize("system", [RING, SHEAR], ids=["ring", "shear"])
def test_the_steady_state_is_sampled(system: Any) -> None:
    law, observable = system.law(dt=0.02), system.observable(burn_in=300)
    truth = system.truth(law, observable, 600)
    estimate = pliant.expectation(law, observable, horizon=600, replicas=2000, key=jax.random.key(0), progress=False)
    assert np.all(np.asarray(estimate.standard_error) < 0.02 * np.linalg.norm(truth.value))
    within(np.asarray(estimate.value), np.asarray(estimate.standard_error), np.asarray(truth.value))


# The covariance formula.


class Forced(OverdampedLangevin):
    """Detailed balance taken for granted: the Boltzmann density of the potential, drive or no drive."""

    def refusal(self, capability: type) -> str | None:
        return None

    def log_density(self, state: Any) -> jax.Array:
        return -self.potential.potential(state.position) / self.kT


def test_the_covariance_formula_is_several_fold_wrong_on_the_ring() -> None:
    system = DrivenRing()
    law = Forced(system.law().potential, x0=jnp.zeros(1), dt=0.01)
    cosine = TimeAverage(lambda state: jnp.cos(2 * state.position[0]), burn_in=300)
    estimate = run(law, cosine, Reweighting(), lambda law: law.potential.potential, 900, 1000)
    right = float(late(system, 0.01).gradient.potential.amplitude[0])
    found, error = float(estimate.value.amplitude), float(estimate.standard_error.amplitude)
    # -Var(cos 2x) / kT in the true steady state.
    assert abs(found - -0.483) < 4 * error + 0.02
    assert found / right > 3.5 and abs(found - right) > 30 * error


@pytest.mark.parametrize("dynamics", [OverdampedLangevin, BAOAB])
def test_the_covariance_formula_is_refused_with_the_physics(dynamics: Any) -> None:
    law = dynamics(NonConservative(Harmonic(), jnp.array(0.5)))
    with pytest.raises(pliant.NotApplicable, match="without detailed balance.*use Implicit, Girsanov"):
        run(law, TimeAverage(), Reweighting(), lambda law: law.potential, 8, 8)


# The force field.


def test_a_uniform_drive_on_a_spring_shifts_its_centre() -> None:
    """It happens to be a gradient: x is that of a spring at f / k."""
    law = OverdampedLangevin(NonConservative(Harmonic(jnp.array(2.0)), jnp.array(0.5)), dt=0.1)
    place = TimeAverage(lambda state: state.position[0], burn_in=50)
    estimate = pliant.expectation(law, place, horizon=150, replicas=1000, key=jax.random.key(0), progress=False)
    within(np.asarray(estimate.value), np.asarray(estimate.standard_error), np.asarray(0.25))


class Ramp(DrivenTrap):
    """A drive that grows with time, told by `at` as a driven potential tells it."""

    def at(self, time: Any) -> Any:
        return lambda position: time * jnp.ones_like(position)

    def __call__(self, position: Any) -> Any:
        return jnp.zeros_like(position)


@pytest.mark.parametrize("dynamics", [OverdampedLangevin, BAOAB, VelocityVerlet])
def test_protocols_reach_potential_and_drive(dynamics: Any) -> None:
    trap, uniform = DrivenTrap(jnp.array([0.0, 2.0]), jnp.array(3.0)), jnp.array(0.5)
    moving = dynamics(NonConservative(trap, uniform), x0=jnp.ones(1), dt=0.1)
    np.testing.assert_allclose(moving._force(jnp.ones(1), 5), -3.0 * (1 - 1.0) + 0.5, atol=1e-14)
    ramped = dynamics(NonConservative(Harmonic(), Ramp()), x0=jnp.ones(1), dt=0.1)
    np.testing.assert_allclose(ramped._force(jnp.ones(1), 5), -1.0 + 0.5, rtol=1e-14)
    for law in (moving, ramped) if dynamics is not VelocityVerlet else ():
        assert "driven in time" in str(law.refusal(pliant.HasStationaryDensity))
    assert not hasattr(NonConservative(Harmonic()), "at")


def test_stability_limits_need_no_energy() -> None:
    law = OverdampedLangevin(NonConservative(Harmonic(jnp.array(4.0)), jnp.array(0.5)), x0=jnp.ones(3), mass=2.0)
    np.testing.assert_allclose(law.step_limit(law.init(jax.random.key(0))), 2 * 2.0 / 4.0, rtol=1e-10)


def test_a_drive_of_the_wrong_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="Argument `drive` must give a force of the position's shape"):
        NonConservative(Cosine(), jnp.ones(3)).force(jnp.zeros(1))


def test_work_asks_for_an_energy() -> None:
    law = OverdampedLangevin(NonConservative(DrivenTrap()), dt=0.1)
    with pytest.raises(ValueError, match="no energy"):
        pliant.expectation(law, pliant.observables.Work(), horizon=4, replicas=4, key=jax.random.key(0))
