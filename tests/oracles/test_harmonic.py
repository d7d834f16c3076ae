"""Every estimator under every dynamics on the harmonic potential, against exact moments of the discrete scheme."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import affine_truth, check, covariance_truth, name, run

import pliant
from pliant.dynamics import ABOBA, BAOAB, OBABO, Langevin, OverdampedLangevin, VelocityVerlet
from pliant.estimators import BPTT, FiniteDifference, ForwardSensitivity, Girsanov, Reweighting
from pliant.observables import Final, TimeAverage
from pliant.potentials import Harmonic
from pliant.systems import HarmonicOscillator, OrnsteinUhlenbeck
from pliant.systems._system import squared_distance

DYNAMICS = (OverdampedLangevin, BAOAB, OBABO, ABOBA)
PATHWISE = (FiniteDifference(), ForwardSensitivity(), BPTT())
OSCILLATOR = HarmonicOscillator(k=1.3, kT=0.8, mass=1.5, friction=0.7, x0=1.2)
HORIZON, DT = 24, 0.1


def clay(law, *parameters):
    """The law with some of its numbers as arrays, and a `wrt` that selects them."""
    select = lambda law: tuple(getattr(law, parameter) for parameter in parameters)
    return eqx.tree_at(select, law, tuple(jnp.array(value) for value in select(law))), select


@pytest.mark.parametrize("estimator", PATHWISE, ids=name)
@pytest.mark.parametrize("dynamics", (*DYNAMICS, VelocityVerlet), ids=name)
def test_pathwise_in_every_parameter(dynamics, estimator):
    noisy = ("kT", "mass") if dynamics is VelocityVerlet else ("kT", "mass", "friction")
    law, select = clay(OSCILLATOR.law(dynamics, DT), *noisy)
    observable = OSCILLATOR.observable(burn_in=4)
    truths = [affine_truth(law, observable, HORIZON, parameter) for parameter in ("k", *noisy)]
    estimate = run(law, observable, estimator, lambda law: (law.potential, select(law)), HORIZON, 40_000)
    check(estimate, [slope for _, slope in truths], value=truths[0][0])


@pytest.mark.parametrize("dynamics", DYNAMICS, ids=name)
def test_path_scores_of_the_force(dynamics):
    law, observable = OSCILLATOR.law(dynamics, DT), OSCILLATOR.observable(burn_in=4)
    truth = OSCILLATOR.truth(law, observable, HORIZON)
    estimate = run(law, observable, Girsanov(), OSCILLATOR.wrt, HORIZON, 40_000)
    check(estimate, truth.gradient, value=truth.value)


@pytest.mark.parametrize("splitting", ["ABO", "AOBOA", "BOAOB"])
def test_path_scores_of_other_words(splitting):
    law = Langevin(
        Harmonic(k=jnp.array(1.3)), x0=jnp.ones(1), dt=0.2, kT=0.8, mass=1.5, friction=0.7, splitting=splitting
    )
    value, slope = affine_truth(law, Final(squared_distance), 10, "k")
    estimate = run(law, Final(squared_distance), Girsanov(), OSCILLATOR.wrt, 10, 40_000)
    check(estimate, slope, value=value, resolution=0.2)


@pytest.mark.parametrize("dynamics", [OverdampedLangevin, OBABO, ABOBA], ids=name)
def test_path_scores_of_noise_and_mass(dynamics):
    law, select = clay(OSCILLATOR.law(dynamics, 0.5), "kT", "mass", "friction")
    observable = Final(squared_distance)
    truths = [affine_truth(law, observable, 4, parameter) for parameter in ("kT", "mass", "friction")]
    estimate = run(law, observable, Girsanov(), select, 4, 100_000)
    check(estimate, [slope for _, slope in truths], value=truths[0][0])


def test_likelihood_ratio_of_baoab_has_the_published_value():
    """k = m = friction = kT = 1, x0 = 1, v0 = 0, dt = 0.1, T = 2: d<x_T^2>/dk = -0.6764."""
    system, observable = HarmonicOscillator(v0=0.0), Final(squared_distance)
    law = system.law(BAOAB, 0.1)
    truth = system.truth(law, observable, 20)
    np.testing.assert_allclose(truth.gradient.k, -0.6764, atol=5e-5)
    check(run(law, observable, Girsanov(), system.wrt, 20, 40_000), truth.gradient, value=truth.value)


@pytest.mark.parametrize("estimator", (Girsanov(), Reweighting()), ids=name)
def test_velocity_verlet_has_no_densities(estimator):
    with pytest.raises(pliant.NotApplicable, match="Dirac delta" if isinstance(estimator, Girsanov) else "shell"):
        run(OSCILLATOR.law(VelocityVerlet, DT), OSCILLATOR.observable(), estimator, OSCILLATOR.wrt, HORIZON, 10)


def test_independent_finite_differences():
    """Against the exact central difference: at a step of a tenth it is off the derivative by more than the noise."""
    law, observable = OSCILLATOR.law(OverdampedLangevin, DT), OSCILLATOR.observable(burn_in=4)
    at = lambda k: affine_truth(eqx.tree_at(lambda law: law.potential.k, law, k), observable, HORIZON, "k")[0]
    above, below = at(1.1 * OSCILLATOR.k), at(0.9 * OSCILLATOR.k)
    estimator = FiniteDifference(step=0.1, common_random_numbers=False)
    estimate = run(law, observable, estimator, OSCILLATOR.wrt, HORIZON, 200_000)
    check(estimate, (above - below) / (0.2 * OSCILLATOR.k), value=(above + below) / 2)


@pytest.mark.parametrize("estimator", (BPTT(), Girsanov()), ids=name)
def test_final_value_that_depends_on_the_parameter(estimator):
    """O = k x^2 at the horizon: d<O>/dk = <x^2> + k d<x^2>/dk."""
    system = OrnsteinUhlenbeck(k=0.4, x0=2.0)
    law = system.law(dt=0.2)
    truth = system.truth(law, Final(squared_distance), 10)
    observable = Final(lambda state, law: law.potential.k * jnp.sum(state.position**2))
    estimate = run(law, observable, estimator, system.wrt, 10, 100_000)
    check(estimate, truth.value + 0.4 * truth.gradient.k, value=0.4 * truth.value)


@pytest.mark.parametrize("dynamics", DYNAMICS, ids=name)
def test_reweighting_against_the_covariance_of_the_discrete_samples(dynamics):
    law, observable = OSCILLATOR.law(dynamics, 0.3), OSCILLATOR.observable(burn_in=20)
    exact = covariance_truth(law, observable, 64)
    check(run(law, observable, Reweighting(), OSCILLATOR.wrt, 64, 20_000), exact)


@pytest.mark.parametrize("scheme", ["leimkuhler_matthews", "BAOAB"])
def test_reweighting_against_the_stationary_truth(scheme):
    """Both schemes sample the harmonic density exactly: d<x^2>/dk = -kT / k^2 whatever the step."""
    potential, x0 = Harmonic(k=jnp.array(1.3)), jnp.zeros(1)
    if scheme == "BAOAB":
        law = BAOAB(potential, x0=x0, dt=0.4, kT=0.8)
    else:
        law = OverdampedLangevin(potential, x0=x0, dt=0.4, kT=0.8, scheme=scheme)
    observable = TimeAverage(squared_distance, burn_in=56)
    check(run(law, observable, Reweighting(), OSCILLATOR.wrt, 256, 5_000), -0.8 / 1.3**2, value=0.8 / 1.3)


def test_one_long_chain():
    law = OverdampedLangevin(Harmonic(k=jnp.array(1.3)), dt=0.4, kT=0.8, scheme="leimkuhler_matthews")
    observable = TimeAverage(squared_distance, burn_in=64)
    check(run(law, observable, Reweighting(), OSCILLATOR.wrt, 256_064, 1), -0.8 / 1.3**2, value=0.8 / 1.3)
