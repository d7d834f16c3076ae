"""Averages over weighted states: equal to the plain ratio, at any level of the weights, in parts too."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pliant
from pliant.core.averages import in_batches, whole_and_first_half
from pliant.core.errors import NotApplicable
from pliant.core.rollout import Rollout
from pliant.core.weighted import WeightedMean, weighs_samples
from pliant.dynamics import BAOAB, OverdampedLangevin
from pliant.estimators import BPTT, Reweighting
from pliant.observables import Final, TimeAverage
from pliant.potentials import Harmonic


class Tilted(OverdampedLangevin):
    """Brownian motion whose states weigh e^{tilt x}, from any level."""

    tilt: jax.Array = eqx.field(default_factory=lambda: jnp.array(1.3))
    level: float = 0.0

    def log_sample_weight(self, state):
        return self.tilt * state.position[0] + self.level


def tilted(level=0.0):
    return Tilted(Harmonic(), x0=jnp.ones(1), dt=0.1, level=level)


@pytest.mark.parametrize("level", [0.0, -50.0, 50.0])
def test_a_weighted_mean_is_the_plain_ratio(level):
    logs = np.random.default_rng(0).normal(0, 20, 50)
    values = np.random.default_rng(1).normal(size=50)
    mean = WeightedMean.empty(jnp.zeros(()), jnp.zeros(()))
    for i, (x, w) in enumerate(zip(values, logs, strict=True)):
        mean = mean.add(jnp.asarray(x), jnp.asarray(w + level), 0.0 if i < 10 else 0.5)
    weights = np.exp(logs[10:] - logs[10:].max())
    np.testing.assert_allclose(mean.mean, weights @ values[10:] / weights.sum(), rtol=1e-10)


def trajectory(law, horizon=40):
    rollout = Rollout(jax.random.key(3), jnp.uint32(0), horizon, 10)
    store = lambda c, law, s, n, after, t: c.at[t].set(after.position[0])
    return rollout, rollout.fold(law, lambda law, s: jnp.zeros(horizon), store)


@pytest.mark.parametrize("level", [0.0, 50.0])
def test_time_averages_halves_and_batches_are_weighted(level):
    law = tilted(level)
    rollout, x = trajectory(law)
    w = np.exp(1.3 * x)
    ratio = lambda part: np.sum(w[part] * x[part] ** 2) / np.sum(w[part])
    observable = TimeAverage(burn_in=8).at_horizon(40)
    np.testing.assert_allclose(rollout(law, observable), ratio(slice(8, 40)), rtol=1e-10)
    every = TimeAverage().at_horizon(40)
    parts = whole_and_first_half(rollout, law, every, every.term)
    np.testing.assert_allclose(parts, [ratio(slice(0, 40)), ratio(slice(0, 20)), ratio(slice(20, 40))], rtol=1e-10)
    batches = in_batches(rollout, law, every, every.term, 4)
    np.testing.assert_allclose(batches, [ratio(slice(i, i + 10)) for i in range(0, 40, 10)], rtol=1e-10)


def test_weights_out_of_range_give_no_number():
    found = pliant.expectation(tilted(5e4), TimeAverage(), horizon=8, replicas=8, key=jax.random.key(0), progress=False)
    assert np.isnan(found.value)


def test_derivatives_flow_through_the_weights():
    rollout, x = trajectory(tilted())
    found = jax.grad(lambda law: rollout(law, TimeAverage().at_horizon(40), checkpoint=True))(tilted())
    w = np.exp(1.3 * np.asarray(x))
    w = w / w.sum()
    np.testing.assert_allclose(found.tilt, w @ x**3 - (w @ x) * (w @ x**2), rtol=1e-10)


def test_laws_without_weights_keep_their_plain_carry():
    assert not weighs_samples(BAOAB()) and weighs_samples(tilted())
    law = BAOAB()
    state = law.init(jax.random.key(0))
    observable = TimeAverage().at_horizon(4)
    assert observable.start(law, state).shape == ()
    text = str(jax.make_jaxpr(lambda c: observable.update(c, law, state, 1))(jnp.zeros(())))
    assert " exp " not in text


def test_an_instant_of_weighted_states_is_no_stationary_average():
    run = lambda estimator: pliant.gradient(
        tilted(), Final(), estimator, horizon=4, replicas=4, key=jax.random.key(0), wrt=lambda law: law.potential
    )
    with pytest.raises(NotApplicable, match="a single instant cannot balance"):
        run(Reweighting())
    assert np.isfinite(run(BPTT()).value.k)
