"""Systems whose truth comes from another engine, or from a system they contain."""

import jax
import numpy as np
import pytest
from oracle_checks import flat

import pliant
from pliant.dynamics import BAOAB, VelocityVerlet
from pliant.estimators import Reweighting
from pliant.systems import DoubleWellBath, DoubleWellSystem, LennardJones3, LennardJones7, LennardJones13


def sampled(system, replicas, seed=0):
    """The value and gradient of a system by Reweighting under BAOAB at its defaults, and its truth."""
    default = system.defaults["BAOAB"]
    law, observable = system.law(BAOAB, default["dt"]), system.observable(default["burn_in"])
    estimate = pliant.gradient(
        law, observable, Reweighting(), horizon=default["horizon"], replicas=replicas, key=jax.random.key(seed),
        wrt=system.wrt, progress=False,
    )  # fmt: skip
    return estimate, system.truth(law, observable, default["horizon"])


def deviations(estimate, truth):
    """Of the observable and of every derivative, in standard errors of both."""
    found = flat((estimate.observable.value, estimate.value))
    error = np.hypot(
        flat((estimate.observable.standard_error, estimate.standard_error)),
        flat((truth.value_error, truth.gradient_error)),
    )
    return (found - flat((truth.value, truth.gradient))) / error


@pytest.mark.parametrize("system", [LennardJones3(), pytest.param(LennardJones7(), marks=pytest.mark.slow)])
def test_clusters_against_metropolis_walkers(system):
    """Langevin dynamics of this library and the Metropolis walkers in numpy sample the same density."""
    assert np.all(np.abs(deviations(*sampled(system, 128))) < 4)


def test_a_bath_leaves_the_double_well_as_it_is():
    estimate, truth = sampled(DoubleWellBath(), 256)
    alone, law = DoubleWellSystem(), DoubleWellSystem().law(BAOAB, 0.05)
    same = alone.truth(law, alone.observable(1), 10)
    np.testing.assert_allclose(flat((truth.value, truth.gradient)), flat((same.value, same.gradient)), rtol=1e-12)
    assert np.all(np.abs(deviations(estimate, truth)) < 4)


@pytest.mark.parametrize("system", [LennardJones13(), DoubleWellBath()])
def test_no_truth_where_energy_is_kept(system):
    law = system.law(VelocityVerlet, 0.001)
    assert system.truth(law, system.observable(1), 10) is None
