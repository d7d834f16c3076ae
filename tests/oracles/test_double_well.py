"""Every estimator on the double well, against quadrature of the discretised dynamics and of the stationary density."""

import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import check, flat, name, run

from pliant.dynamics import BAOAB, OverdampedLangevin, VelocityVerlet
from pliant.estimators import BPTT, FiniteDifference, ForwardSensitivity, Girsanov, Reweighting
from pliant.observables import Final, TimeAverage
from pliant.systems import DoubleWellSystem
from pliant.systems._system import squared_distance

WELL = DoubleWellSystem(a=1.0, b=0.5, kT=1.0, x0=1.0)
HORIZON, DT = 32, 0.02


@pytest.mark.parametrize("estimator", [FiniteDifference(), ForwardSensitivity(), BPTT(), Girsanov()], ids=name)
def test_time_average_against_the_discrete_truth(estimator):
    law, observable = WELL.law(OverdampedLangevin, DT), WELL.observable(burn_in=4)
    truth = WELL.truth(law, observable, HORIZON)
    estimate = run(law, observable, estimator, WELL.wrt, HORIZON, 100_000)
    check(estimate, truth.gradient, value=truth.value)


@pytest.mark.parametrize("estimator", [ForwardSensitivity(), BPTT()], ids=name)
def test_velocity_verlet_against_the_discrete_truth(estimator):
    law, observable = WELL.law(VelocityVerlet, 0.05), WELL.observable()
    truth = WELL.truth(law, observable, HORIZON)
    assert np.all(flat((truth.value_error, truth.gradient_error)) < 1e-9)
    check(run(law, observable, estimator, WELL.wrt, HORIZON, 40_000), truth.gradient, value=truth.value)


def test_final_value_by_path_score():
    law, observable = WELL.law(OverdampedLangevin, DT), Final(squared_distance)
    truth = WELL.truth(law, observable, HORIZON)
    estimate = run(law, observable, Girsanov(), WELL.wrt, HORIZON, 400_000)
    check(estimate, truth.gradient, value=truth.value)


def test_reweighting_against_the_stationary_truth():
    """BAOAB at a tenth of its stability limit, after six relaxation times."""
    law, observable = WELL.law(BAOAB, 0.05), WELL.observable(burn_in=200)
    truth = WELL.truth(law, observable, 1000)
    assert truth.of == "exact stationary"
    estimate = run(law, observable, Reweighting(), WELL.wrt, 1000, 2000)
    check(estimate, truth.gradient, value=truth.value)


@pytest.mark.parametrize(
    ("kT", "value", "slope"),
    [
        (1.0, 0.832745487128, -0.027092302768),
        (1 / 3, 0.889294015587, 0.100703500490),
        (1 / 5, 0.936833940412, 0.077463572315),
    ],
)
def test_stationary_numbers(kT, value, slope):
    """Quadrature against values worked out independently for U = (x^2 - 1)^2."""
    system = DoubleWellSystem(b=0.0, kT=kT)
    truth = system.truth(system.law(BAOAB, 0.01), system.observable(), 10)
    np.testing.assert_allclose([truth.value, truth.gradient.a], [value, slope], rtol=1e-10, atol=0)
    np.testing.assert_allclose(truth.gradient.b, 0.0, atol=1e-14)


def test_tilt_of_the_mean_position():
    """d<x>/db = -beta <x^2> without tilt."""
    system = DoubleWellSystem(b=0.0, kT=0.8)
    law, observable = system.law(BAOAB, 0.05), system.observable(burn_in=200)
    mean = TimeAverage(lambda state: jnp.sum(state.position), burn_in=200)
    estimate = run(law, mean, Reweighting(), lambda law: law.potential.b, 1000, 2000)
    check(estimate, -system.truth(law, observable, 1000).value / 0.8)
