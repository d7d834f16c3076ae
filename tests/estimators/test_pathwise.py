"""What pathwise estimators share: to round-off the same numbers, in any mode."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import name

import pliant
from pliant.dynamics import BAOAB, OverdampedLangevin
from pliant.estimators import BPTT, FiniteDifference, ForwardSensitivity
from pliant.systems import DoubleWellSystem

WELL = DoubleWellSystem()


def replicates(law, estimator, wrt, horizon=30, **options):
    estimate = pliant.gradient(
        law,
        WELL.observable(burn_in=3),
        estimator,
        horizon=horizon,
        replicas=12,
        key=jax.random.key(1),
        wrt=wrt,
        keep_replicates=True,
        progress=False,
        **options,
    )
    return np.stack([np.asarray(leaf) for leaf in jax.tree.leaves(estimate.replicates)])


@pytest.mark.parametrize("dynamics", [OverdampedLangevin, BAOAB], ids=name)
def test_reverse_forward_and_checkpointed_modes_agree(dynamics):
    """Replica by replica, in potential and noise amplitude, at a horizon that no block of noise divides."""
    law = eqx.tree_at(lambda law: law.kT, WELL.law(dynamics, 0.05), jnp.array(1.0))
    wrt = lambda law: (law.potential, law.kT)
    forward = replicates(law, ForwardSensitivity(), wrt, horizon=31)
    for estimator in (BPTT(checkpoint=True), BPTT(checkpoint=False)):
        np.testing.assert_allclose(replicates(law, estimator, wrt, horizon=31), forward, rtol=1e-11, atol=1e-13)


def test_common_random_numbers_approach_the_pathwise_derivative():
    law = WELL.law(OverdampedLangevin, 0.05)
    forward = replicates(law, ForwardSensitivity(), WELL.wrt)
    near, far = (replicates(law, FiniteDifference(step=step), WELL.wrt) for step in (1e-4, 2e-4))
    np.testing.assert_allclose(near, forward, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(far - forward, 4 * (near - forward), rtol=0.01, atol=1e-10)


@pytest.mark.parametrize("options", [{"memory": 2e4}, {"generator": "jax"}], ids=str)
def test_settings_of_the_run(options):
    """Chunks change nothing; another generator changes every number."""
    law = WELL.law(OverdampedLangevin, 0.05)
    plain, other = replicates(law, BPTT(), WELL.wrt), replicates(law, BPTT(), WELL.wrt, **options)
    if "memory" in options:
        np.testing.assert_allclose(other, plain, rtol=1e-12)
    else:
        assert np.all(other != plain)


def test_one_replica_is_said_to_have_no_error_bar():
    estimate = pliant.gradient(
        WELL.law(),
        WELL.observable(),
        BPTT(),
        horizon=8,
        replicas=1,
        key=jax.random.key(0),
        wrt=WELL.wrt,
        progress=False,
    )
    assert np.isnan(float(estimate.standard_error.a)) and not estimate.verdict.trusted
