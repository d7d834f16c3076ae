"""The integrators: reversal, schemes that are equal, moments of the stationary state."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import name, within

import pliant
from pliant.dynamics import ABOBA, BAOAB, OBABO, Langevin, OverdampedLangevin, VelocityVerlet
from pliant.observables import TimeAverage
from pliant.potentials import DoubleWell, Harmonic


def langevin(splitting, **settings):
    return Langevin(
        DoubleWell(), x0=jnp.array([0.3, -0.7]), dt=0.1, kT=0.7, friction=0.8, splitting=splitting, **settings
    )


@pytest.mark.parametrize("splitting", ["BAOAB", "OBABO", "ABOBA", "OABAO", "BAOA", "BBAOOAB"])
def test_unstep_undoes_step(splitting):
    law = langevin(splitting, mass=jnp.array([1.0, 3.0]))
    reversed_to_start(law, jax.random.normal(jax.random.key(1), law.noise.shape))


def test_velocity_verlet_is_undone_and_reversible():
    law = VelocityVerlet(DoubleWell(), x0=jnp.array([0.3, -0.7]), dt=0.1)
    reversed_to_start(law, ())
    state = law.init(jax.random.key(0))
    there = law.step(state, (), 0)
    turned = eqx.tree_at(lambda phase: phase.velocity, there, -there.velocity)
    np.testing.assert_allclose(law.step(turned, (), 0).position, state.position, rtol=1e-13)


def reversed_to_start(law, noise):
    state = law.init(jax.random.key(0))
    back = law.unstep(law.step(state, noise, 3), noise, 3)
    assert jax.tree.structure(back) == jax.tree.structure(state)
    for found, expected in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("named", [BAOAB, OBABO, ABOBA], ids=name)
def test_named_splittings_are_langevin(named):
    law = named(DoubleWell(), x0=jnp.array([0.3, -0.7]), dt=0.1, kT=0.7, friction=0.8)
    general, noise = langevin(named.__name__), jax.random.normal(jax.random.key(1), law.noise.shape)
    key = jax.random.key(0)
    for found, expected in zip(
        jax.tree.leaves(law.step(law.init(key), noise, 0)),
        jax.tree.leaves(general.step(general.init(key), noise, 0)),
        strict=True,
    ):
        np.testing.assert_array_equal(found, expected)


def test_baoab_without_friction_is_velocity_verlet():
    settings = dict(x0=jnp.array([0.3]), v0=jnp.array([0.4]), dt=0.1)
    thermal, free = BAOAB(DoubleWell(), friction=1e-14, **settings), VelocityVerlet(DoubleWell(), **settings)
    a, b = (
        law.step(law.init(jax.random.key(0)), noise, 0) for law, noise in ((thermal, jnp.zeros((1, 1))), (free, ()))
    )
    np.testing.assert_allclose([a.position, a.velocity], [b.position, b.velocity], rtol=1e-12)


QUARTER = 0.8**2 / 4
MOMENTS = {
    "BAOAB": (1, 1 - QUARTER),
    "ABOBA": (1, 1 / (1 - QUARTER)),
    "OBABO": (1 / (1 - QUARTER), 1),
    "OABAO": (1 - QUARTER, 1),
}


@pytest.mark.parametrize("splitting", MOMENTS)
def test_stationary_moments_on_a_harmonic_potential(splitting):
    law = Langevin(Harmonic(), x0=jnp.zeros(8), dt=0.8, splitting=splitting)
    squares = TimeAverage(
        lambda state: jnp.stack([jnp.mean(state.position**2), jnp.mean(state.velocity**2)]), burn_in=64
    )
    estimate = pliant.expectation(law, squares, horizon=512, replicas=2000, key=jax.random.key(3), progress=False)
    error = np.asarray(estimate.standard_error)
    # A tenth of the difference between the schemes.
    assert np.all(error < 0.1 * QUARTER)
    within(np.asarray(estimate.value), error, np.array(MOMENTS[splitting]))


def test_leimkuhler_matthews_has_the_exact_variance():
    law = OverdampedLangevin(Harmonic(), x0=jnp.zeros(8), dt=0.5, scheme="leimkuhler_matthews")
    square = TimeAverage(lambda state: jnp.mean(state.position**2), burn_in=64)
    estimate = pliant.expectation(law, square, horizon=512, replicas=2000, key=jax.random.key(3), progress=False)
    # Euler-Maruyama would give 4/3.
    assert estimate.standard_error < 0.01
    within(np.asarray(estimate.value), np.asarray(estimate.standard_error), np.array(1.0))


@pytest.mark.parametrize("dynamics", [OverdampedLangevin, BAOAB, VelocityVerlet], ids=name)
def test_stability_limits_are_those_of_the_harmonic_oscillator(dynamics):
    law = dynamics(Harmonic(k=jnp.array(4.0)), x0=jnp.ones(3), mass=2.0)
    limit = law.step_limit(law.init(jax.random.key(0)))
    exact = 2 * 2.0 / 4.0 if dynamics is OverdampedLangevin else 2 / np.sqrt(4.0 / 2.0)
    np.testing.assert_allclose(limit, exact, rtol=1e-10)


@pytest.mark.parametrize(
    ("field", "value"), [("dt", 0.0), ("dt", -0.1), ("kT", -1.0), ("friction", 0.0), ("mass", -2.0)]
)
@pytest.mark.parametrize("dynamics", [OverdampedLangevin, BAOAB], ids=name)
def test_bad_numbers_are_refused_by_name(dynamics, field, value):
    with pytest.raises(ValueError, match=f"Argument `{field}` must be positive"):
        dynamics(Harmonic(), **{field: value})


@pytest.mark.parametrize("splitting", ["", "BAX", "AO", "BAB"])
def test_bad_words_are_refused(splitting):
    with pytest.raises(ValueError, match="Argument `splitting` must"):
        Langevin(Harmonic(), splitting=splitting)


@pytest.mark.parametrize("splitting", ["OABAO", "BABO"])
def test_words_with_a_lone_kick_refuse_path_weights(splitting):
    """A kick between drifts moves the support; so does the first of BABO, which no thermostat blurs."""
    reason = Langevin(Harmonic(), splitting=splitting).refusal(pliant.HasPathDensity)
    assert reason is not None and "singular" in reason
