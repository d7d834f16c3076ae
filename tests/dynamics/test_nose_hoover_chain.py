"""Nosé-Hoover chains: the extended law of motion, what it conserves, what it samples, and its derivatives."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dynamics_checks import WellAndSprings, assert_undone, check_gradients, local_error, well_moments
from oracle_checks import within

import pliant
from pliant.core.errors import CapabilityError
from pliant.dynamics import NoseHooverChain
from pliant.estimators import Girsanov
from pliant.observables import TimeAverage
from pliant.potentials import Harmonic

START = jnp.array([0.9, -0.4, 0.6])


def chain(**settings):
    default = dict(x0=START, dt=0.05, kT=0.8, mass=jnp.array([1.0, 2.0, 0.5]), tau=0.4)
    return NoseHooverChain(WellAndSprings(), **{**default, **settings})


def run(law, steps, state=None):
    state = law.init(jax.random.key(4)) if state is None else state
    return jax.jit(lambda s: jax.lax.scan(lambda s, t: (law.step(s, (), t),) * 2, s, jnp.arange(steps)))(state)


@pytest.mark.parametrize("weights", [1, 3, 5])
@pytest.mark.parametrize("links", [1, 2, 4])
def test_unstep_undoes_step(weights, links):
    assert_undone(chain(suzuki_yoshida=weights, chain=links, respa=2), ())


def test_reversed_velocities_lead_back():
    law = chain()
    there, _ = run(law, 20)
    turned = eqx.tree_at(lambda s: (s.velocity, s.chain), there, (-there.velocity, tuple(-v for v in there.chain)))
    back, _ = run(law, 20, turned)
    np.testing.assert_allclose(back.position, START, rtol=1e-11)


@pytest.mark.parametrize("weights", [1, 3, 5])
def test_the_step_is_of_order_two_in_its_own_drift(weights):
    """One step against a classical Runge-Kutta solution of `drift`: the local error falls by eight, or more."""
    errors = [local_error(chain(dt=jnp.array(dt), suzuki_yoshida=weights)) for dt in (0.04, 0.02)]
    assert 6.5 < errors[0] / errors[1] < 10


def test_the_conserved_energy_wanders_by_order_two():
    spreads = []
    for dt in (0.04, 0.02):
        law = chain(dt=dt)
        _, states = run(law, round(4 / dt))
        energy = jax.vmap(law.conserved)(states)
        spreads.append(float(jnp.max(jnp.abs(energy - law.conserved(law.init(jax.random.key(4)))))))
    assert 3.0 < spreads[0] / spreads[1] < 5.5
    assert spreads[1] < 0.02


def test_masses_count_the_degrees_of_freedom():
    np.testing.assert_allclose(chain(kT=2.0, tau=0.5).chain_masses, [3 * 2.0 * 0.25, 2.0 * 0.25, 2.0 * 0.25])
    particles = NoseHooverChain(Harmonic(), x0=jnp.zeros((4, 3)), momentum_conserved=True)
    assert particles.freedoms == 9
    assert NoseHooverChain(Harmonic(), x0=jnp.zeros((4, 3)), degrees_of_freedom=6).freedoms == 6


class Springs(pliant.Potential):
    """Particles tied to one another alone, quartic so that the motion mixes."""

    def __call__(self, position):
        apart = position[:, None] - position[None]
        square = jnp.sum(apart**2, axis=-1)
        return 0.25 * jnp.sum(square + 0.5 * square**2)


def test_conserved_momentum_stays_zero_and_leaves_two_thirds_of_the_heat():
    masses = jnp.array([1.0, 2.0, 3.0])
    law = NoseHooverChain(
        Springs(), x0=jnp.eye(3, 2), dt=0.05, kT=0.7, mass=masses, tau=0.5, momentum_conserved=True
    )  # fmt: skip
    state, _ = run(law, 50)
    np.testing.assert_allclose(masses @ state.velocity, 0.0, atol=1e-13)
    kinetic = TimeAverage(lambda s: jnp.sum(masses[:, None] * s.velocity**2), burn_in=200)
    found = pliant.expectation(law, kinetic, horizon=4000, replicas=64, key=jax.random.key(0), progress=False)
    assert found.standard_error < 0.02
    # Second order in dt: the kinetic energy at whole steps is off by less than the noise here.
    within(np.asarray(found.value), np.asarray(found.standard_error), np.array(4 * 0.7))


def canonical(**settings):
    """Mean squares of positions and of velocities over kT / m, and what they should be."""
    law = chain(dt=0.02, **settings)
    law = eqx.tree_at(lambda law: law.potential, law, WellAndSprings(coupling=1.0))
    observable = TimeAverage(lambda s: jnp.concatenate([s.position**2, law.mass * s.velocity**2]), burn_in=1000)
    found = pliant.expectation(law, observable, horizon=20_000, replicas=128, key=jax.random.key(1), progress=False)
    truth = np.concatenate([well_moments(law.potential, 0.8), np.full(3, 0.8)])
    assert np.all(found.standard_error < 0.015 * truth)
    return np.asarray(found.value), np.asarray(found.standard_error), truth


@pytest.mark.parametrize("links", [2, 3])
def test_canonical_moments(links):
    within(*canonical(chain=links))


def test_a_wrong_count_of_the_degrees_of_freedom_shows():
    found, error, truth = canonical(degrees_of_freedom=2)
    assert np.all(np.abs(found - truth)[3:] > 10 * error[3:])


def test_gradients_of_every_parameter():
    law = chain(
        dt=jnp.array(0.05), kT=jnp.array(0.8), tau=jnp.array(0.4), v0=jnp.array([0.5, -0.2, 0.1]), respa=2
    )  # fmt: skip
    check_gradients(law, horizon=40)


def test_path_weights_are_refused():
    with pytest.raises(CapabilityError, match="deterministic"):
        pliant.gradient(chain(), TimeAverage(), Girsanov(), horizon=4, replicas=4, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (dict(tau=0.0), "`tau` must be positive"),
        (dict(chain=0), "`chain` must be a whole number"),
        (dict(respa=0), "`respa` must be a whole number"),
        (dict(suzuki_yoshida=2), "`suzuki_yoshida` must be 1, 3 or 5"),
        (dict(momentum_conserved=True), "`momentum_conserved` needs particles"),
        (dict(degrees_of_freedom=0), "`degrees_of_freedom` must be at least 1"),
    ],
)
def test_bad_settings_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        chain(**settings)
