"""Every estimator under every dynamics on the harmonic potential, against exact moments of the discrete scheme."""

import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import affine_truth, check, covariance_truth, run

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
HORIZON, DT = 20, 0.1


def name(value):
    return getattr(value, "__name__", type(value).__name__)


@pytest.mark.parametrize("estimator", (*PATHWISE, Girsanov()), ids=name)
@pytest.mark.parametrize("dynamics", DYNAMICS, ids=name)
def test_time_average_against_the_discrete_truth(dynamics, estimator):
    law, observable = OSCILLATOR.law(dynamics, DT), OSCILLATOR.observable(burn_in=5)
    truth = OSCILLATOR.truth(law, observable, HORIZON)
    estimate = run(law, observable, estimator, OSCILLATOR.wrt, HORIZON, 40_000)
    check(estimate, truth.gradient, value=truth.value)


@pytest.mark.parametrize("estimator", PATHWISE, ids=name)
def test_velocity_verlet_against_the_discrete_truth(estimator):
    law, observable = OSCILLATOR.law(VelocityVerlet, DT), OSCILLATOR.observable(burn_in=5)
    truth = OSCILLATOR.truth(law, observable, HORIZON)
    check(run(law, observable, estimator, OSCILLATOR.wrt, HORIZON, 20_000), truth.gradient, value=truth.value)


@pytest.mark.parametrize("estimator", (Girsanov(), Reweighting()), ids=name)
def test_velocity_verlet_has_no_densities(estimator):
    with pytest.raises(pliant.NotApplicable, match="Dirac delta" if isinstance(estimator, Girsanov) else "shell"):
        run(OSCILLATOR.law(VelocityVerlet, DT), OSCILLATOR.observable(), estimator, OSCILLATOR.wrt, HORIZON, 10)


def test_independent_finite_differences():
    """Against the exact central difference: at a step of a tenth it is off the derivative by more than the noise."""
    law, observable = OSCILLATOR.law(OverdampedLangevin, DT), OSCILLATOR.observable(burn_in=5)
    above, below = (affine_value(law, observable, k) for k in (1.1 * OSCILLATOR.k, 0.9 * OSCILLATOR.k))
    estimator = FiniteDifference(step=0.1, common_random_numbers=False)
    estimate = run(law, observable, estimator, OSCILLATOR.wrt, HORIZON, 200_000)
    check(estimate, (above - below) / (0.2 * OSCILLATOR.k), value=(above + below) / 2)


def affine_value(law, observable, k):
    import equinox as eqx

    changed = eqx.tree_at(lambda law: law.potential.k, law, jnp.array(k))
    return affine_truth(changed, observable, HORIZON, "k")[0]


@pytest.mark.parametrize("estimator", (*PATHWISE, Girsanov()), ids=name)
def test_final_value_against_the_closed_form(estimator):
    system, observable = OrnsteinUhlenbeck(x0=2.0), Final(squared_distance)
    law = system.law(dt=0.2)
    truth = system.truth(law, observable, HORIZON // 2)
    check(run(law, observable, estimator, system.wrt, HORIZON // 2, 40_000), truth.gradient, value=truth.value)


@pytest.mark.parametrize("splitting", ["BAOAB", "OABAO", "BAOA", "ABO", "AOBOA", "BOAOB"])
def test_path_scores_of_other_words(splitting):
    law = Langevin(
        Harmonic(k=jnp.array(1.3)), x0=jnp.ones(1), dt=0.2, kT=0.8, mass=1.5, friction=0.7, splitting=splitting
    )
    observable = Final(squared_distance)
    if law.refusal(pliant.HasPathDensity) is not None:
        assert splitting == "OABAO"
        return
    value, slope = affine_truth(law, observable, 10, "k")
    check(run(law, observable, Girsanov(), OSCILLATOR.wrt, 10, 40_000), slope, value=value, resolution=0.2)


def test_likelihood_ratio_of_baoab_has_the_published_value():
    """k = m = friction = kT = 1, x0 = 1, v0 = 0, dt = 0.1, T = 2: d<x_T^2>/dk = -0.6764."""
    system, observable = HarmonicOscillator(v0=0.0), Final(squared_distance)
    law = system.law(BAOAB, 0.1)
    truth = system.truth(law, observable, 20)
    np.testing.assert_allclose(truth.gradient.k, -0.6764, atol=5e-5)
    check(run(law, observable, Girsanov(), system.wrt, 20, 40_000), truth.gradient, value=truth.value)


@pytest.mark.parametrize("parameter", ["kT", "friction", "mass"])
@pytest.mark.parametrize("dynamics", [OverdampedLangevin, OBABO], ids=name)
def test_noise_and_mass_parameters_pathwise(dynamics, parameter):
    law, observable = with_array(OSCILLATOR.law(dynamics, DT), parameter), OSCILLATOR.observable()
    value, slope = affine_truth(law, observable, HORIZON, parameter)
    estimate = run(law, observable, ForwardSensitivity(), lambda law: getattr(law, parameter), HORIZON, 20_000)
    check(estimate, slope, value=value)


@pytest.mark.parametrize("parameter", ["kT", "friction", "mass"])
@pytest.mark.parametrize("dynamics", [OverdampedLangevin, OBABO, ABOBA], ids=name)
def test_noise_and_mass_parameters_by_path_score(dynamics, parameter):
    law, observable = with_array(OSCILLATOR.law(dynamics, 0.5), parameter), Final(squared_distance)
    value, slope = affine_truth(law, observable, 4, parameter)
    estimate = run(law, observable, Girsanov(), lambda law: getattr(law, parameter), 4, 100_000)
    check(estimate, slope, value=value, resolution=0.3)


def with_array(law, parameter):
    import equinox as eqx

    return eqx.tree_at(lambda law: getattr(law, parameter), law, jnp.array(getattr(law, parameter)))


@pytest.mark.parametrize("dynamics", DYNAMICS, ids=name)
def test_reweighting_against_the_covariance_of_the_discrete_samples(dynamics):
    law, observable = OSCILLATOR.law(dynamics, 0.3), OSCILLATOR.observable(burn_in=20)
    exact = covariance_truth(law, observable, 60)
    check(run(law, observable, Reweighting(), OSCILLATOR.wrt, 60, 20_000), exact)


@pytest.mark.parametrize("scheme", ["leimkuhler_matthews", "BAOAB"])
def test_reweighting_against_the_stationary_truth(scheme):
    """Both schemes sample the harmonic density exactly: d<x^2>/dk = -kT / k^2 whatever the step."""
    potential, x0 = Harmonic(k=jnp.array(1.3)), jnp.zeros(1)
    if scheme == "BAOAB":
        law = BAOAB(potential, x0=x0, dt=0.4, kT=0.8)
    else:
        law = OverdampedLangevin(potential, x0=x0, dt=0.4, kT=0.8, scheme=scheme)
    observable = TimeAverage(squared_distance, burn_in=50)
    check(run(law, observable, Reweighting(), OSCILLATOR.wrt, 250, 5_000), -0.8 / 1.3**2, value=0.8 / 1.3)


def test_one_long_chain():
    law = OverdampedLangevin(Harmonic(k=jnp.array(1.3)), dt=0.4, kT=0.8, scheme="leimkuhler_matthews")
    observable = TimeAverage(squared_distance, burn_in=50)
    check(run(law, observable, Reweighting(), OSCILLATOR.wrt, 200_050, 1), -0.8 / 1.3**2, value=0.8 / 1.3)


def test_explicit_dependence_of_the_observable():
    """O = k x^2 at the horizon: d<O>/dk = <x^2> + k d<x^2>/dk, for all kinds of estimators."""
    system = OrnsteinUhlenbeck(k=1.5)
    law, plain = system.law(dt=0.2), Final(squared_distance)
    truth = system.truth(law, plain, 10)
    exact = float(truth.value + 1.5 * truth.gradient.k)
    weighted = Final(lambda state, law: law.potential.k * jnp.sum(state.position**2))
    for estimator in (BPTT(), Girsanov()):
        check(run(law, weighted, estimator, system.wrt, 10, 100_000), exact)
