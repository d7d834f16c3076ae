"""Energy-sampling Hamiltonian dynamics: its shell, its two stationary laws, its turns, and its derivatives."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from dynamics_checks import WellAndSprings, assert_undone, check_gradients, local_error, well_moments
from oracle_checks import check, within

import pliant
from pliant.core.errors import CapabilityError
from pliant.core.laws import HasDrift
from pliant.core.rollout import Rollout
from pliant.dynamics import ESH
from pliant.dynamics._energy_shell import kick
from pliant.estimators import BPTT, Reweighting
from pliant.observables import TimeAverage
from pliant.potentials import Harmonic

START = jnp.array([0.9, -0.4, 0.6])
KT = 0.8


def esh(**settings):
    return ESH(WellAndSprings(), **{**dict(x0=START, dt=0.1, kT=KT), **settings})


def drawn(law, seed=1):
    keys = jax.random.split(jax.random.key(seed), 2)
    return tuple(jax.random.normal(key, noise.shape) for key, noise in zip(keys, law.noise, strict=False))


@pytest.mark.parametrize("refresh", [None, 0.3, 50.0])
@pytest.mark.parametrize("shape", [(2,), (3,), (3, 3)])
def test_unstep_undoes_step(refresh, shape):
    x0 = 0.3 + jnp.arange(1.0, 1 + np.prod(shape)).reshape(shape) / 5
    law = ESH(lambda x: jnp.sum(x**4) + jnp.sum(x) ** 2, x0=x0, dt=0.1, refresh=refresh)
    assert_undone(law, drawn(law))


def test_strong_kicks_keep_their_digits():
    """A kick by 20 against the direction, and the way back: 1 + u.e by subtraction would lose all of it."""
    direction, log_speed = kick(jnp.array([1.0, 1e-9]), jnp.zeros(()), jnp.array([-20.0, 0.0]))
    # tan(angle / 2) to the push falls by e^{-20}, from 1e-9 / (0.5e-18).
    before, after = 2e9, 2e9 * np.exp(-20.0)
    exact = np.array([after**2 - 1, 2 * after]) / (1 + after**2)
    # The length of the direction is known to 1e-16, which the turn by half a circle enlarges by 1e6 here.
    np.testing.assert_allclose(direction, exact, rtol=1e-9)
    np.testing.assert_allclose(log_speed, 20 + np.log((1 + after**2) / (1 + before**2)), rtol=1e-13)
    back = kick(direction, log_speed, jnp.array([20.0, 0.0]))
    np.testing.assert_allclose(back[0], [1.0, 1e-9], rtol=1e-8)
    np.testing.assert_allclose(back[1], 0.0, atol=1e-8)
    single = jax.tree.map(lambda x: x.astype(jnp.float32) if eqx.is_array(x) else x, esh(dt=100.0))
    moved = single.step(single.init(jax.random.key(0)), (), 0)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(moved))


def boosted(direction, log_speed, push):
    """A kick as what it is, a Lorentz boost of (u, 1): a matrix exponential, smooth in every push."""
    n = push.size
    boost = jnp.zeros((n + 1, n + 1)).at[:n, n].set(push).at[n, :n].set(push)
    moved = jax.scipy.linalg.expm(boost) @ jnp.append(direction, 1.0)
    return moved[:n] / moved[n], log_speed + jnp.log(moved[n])


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.0, 1e-6, 1e-3, 0.3, 3.0])
def test_derivatives_of_a_kick_are_those_of_a_boost(size):
    """First ones in both modes, and second ones; pushed anywhere, along the direction and against it."""
    pointing, start = jnp.array([0.6, -0.3, 0.8]), jnp.array(0.2)
    pushes = jnp.array([[0.5, 0.7, 0.1], [0.6, -0.3, 0.8], [-0.6, 0.3, -0.8]])
    pushes = size * pushes / jnp.linalg.norm(pushes, axis=1, keepdims=True)

    def of(kicked):
        def moved(pointing, start, push):
            return jnp.concatenate(
                [jnp.atleast_1d(x) for x in kicked(pointing / jnp.linalg.norm(pointing), start, push)]
            )

        every, axes = (0, 1, 2), (None, None, 0)
        found = moved, jax.jacfwd(moved, every), jax.jacrev(moved, every), jax.hessian(moved, every)
        return [jax.vmap(f, axes)(pointing, start, pushes) for f in found]

    ours, exact = of(kick), of(boosted)
    # Second derivatives are quotients by the push.
    for mine, true, digits in zip(ours, exact, (1e-13, 1e-11, 1e-11, 1e-8), strict=True):
        jax.tree.map(lambda x, y, digits=digits: np.testing.assert_allclose(x, y, rtol=digits, atol=digits), mine, true)


def test_a_vanishing_gradient_gives_the_free_motion_and_its_exact_derivative():
    law = ESH(Harmonic(), x0=jnp.zeros(2), dt=0.1, v0=jnp.array([0.6, 0.8]))
    state = law.init(jax.random.key(0))
    np.testing.assert_allclose(law.step(state, (), 0).position, [0.06, 0.08], rtol=1e-14)

    def first_kick(push):
        pushed = eqx.tree_at(lambda s: s.force, state, push)
        return law.step(pushed, (), 0).position

    u = np.array([0.6, 0.8])
    half_kick = 0.5 * 0.1 / 2
    exact = 0.1 * half_kick * (np.eye(2) - np.outer(u, u))
    np.testing.assert_allclose(jax.jacfwd(first_kick)(jnp.zeros(2)), exact, rtol=1e-12, atol=1e-17)
    slopes = jax.grad(lambda law: jnp.sum(law.step(law.init(jax.random.key(0)), (), 0).position))(law)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def test_the_step_is_of_order_two_in_its_own_drift():
    errors = [local_error(esh(dt=jnp.array(dt), v0=jnp.array([0.3, 1.0, -0.5]))) for dt in (0.08, 0.04)]
    assert 6.5 < errors[0] / errors[1] < 10


def test_the_energy_wanders_by_order_two_and_turns_leave_it_alone():
    spreads = []
    for dt in (0.08, 0.04):
        law = esh(dt=dt)
        state = law.init(jax.random.key(4))
        walk = jax.jit(lambda s, law=law: jax.lax.scan(lambda s, t: (law.step(s, (), t),) * 2, s, jnp.arange(400)))
        energy = jax.vmap(law.conserved)(walk(state)[1])
        spreads.append(float(jnp.max(jnp.abs(energy[: round(4 / dt)] - law.conserved(state)))))
    assert 3.0 < spreads[0] / spreads[1] < 5.5
    turned = esh(refresh=2.0, dt=0.1)
    state = turned.init(jax.random.key(4))
    plain = dataclasses.replace(turned, refresh=None).step(state, (), 0)
    after = turned.step(state, drawn(turned), 0)
    np.testing.assert_allclose(turned.conserved(after), turned.conserved(plain), rtol=1e-14)
    np.testing.assert_allclose(jnp.linalg.norm(after.direction), 1.0, rtol=1e-14)
    assert jnp.linalg.norm(after.direction - plain.direction) > 0.1


@pytest.mark.parametrize("size", [2, 4])
def test_turns_forget_the_direction_at_their_rate(size):
    law = ESH(lambda x: 0.0 * jnp.sum(x), x0=jnp.zeros(size), dt=0.25, refresh=0.8, v0=jnp.eye(size)[0])
    overlap = TimeAverage(lambda s: s.direction[0], burn_in=3)
    found = pliant.expectation(law, overlap, horizon=4, replicas=40_000, key=jax.random.key(0), progress=False)
    assert found.standard_error < 0.004
    within(np.asarray(found.value), np.asarray(found.standard_error), np.array(np.exp(-0.8)))


class Unweighted(pliant.Observable):
    """The plain average over visited states, second half of the horizon alone."""

    half: int = eqx.field(static=True)

    def start(self, law, state):
        return jnp.zeros_like(state.position)

    def update(self, carry, law, state, t):
        return carry + jnp.where(t > self.half, state.position**2, 0.0) / self.half

    def result(self, carry):
        return carry


@pytest.mark.parametrize("refresh", [None, 0.3], ids=["deterministic", "refreshed"])
def test_weighted_states_are_canonical_and_plain_ones_are_hotter(refresh):
    # Coupled: without noise, coordinates that do not meet would not share their energy.
    law = ESH(WellAndSprings(coupling=1.0), x0=START, dt=0.05, kT=KT, refresh=refresh)
    run = lambda observable: pliant.expectation(
        law, observable, horizon=16_000, replicas=64, key=jax.random.key(1), progress=False
    )
    hotter = KT * 3 / 2
    for observable, kT in (
        (TimeAverage(lambda s: s.position**2, burn_in=4_000), KT),
        (Unweighted(8_000), hotter),
    ):
        found, truth = run(observable), well_moments(law.potential, kT)
        error = np.asarray(found.standard_error)
        # Far below the difference between the two laws.
        assert np.all(error < 0.03 * truth)
        within(np.asarray(found.value), error, truth)
        # Each of the two, taken for the other, fails.
        mistaken = well_moments(law.potential, KT + hotter - kT)
        assert np.all(np.abs(np.asarray(found.value) - mistaken)[:2] > 4 * error[:2])


def test_reweighting_gives_the_canonical_derivative():
    """d<x_i^2>/dk_i = -kT/k_i^2 of every spring, from covariances over weighted states."""
    law = esh(dt=0.05, refresh=0.3)
    observable = TimeAverage(lambda s: s.position[1:] ** 2, burn_in=1000)
    estimate = pliant.gradient(
        law, observable, Reweighting(), horizon=20_000, replicas=64, key=jax.random.key(2),
        wrt=lambda law: law.potential.k, progress=False,
    )  # fmt: skip
    check(estimate, np.diag(-KT / np.asarray(law.potential.k) ** 2), value=KT / np.asarray(law.potential.k))


@pytest.mark.parametrize("refresh", [None, jnp.array(0.4)], ids=["deterministic", "refreshed"])
def test_gradients_of_every_parameter(refresh):
    law = esh(dt=jnp.array(0.1), kT=jnp.array(KT), v0=jnp.array([0.5, -0.2, 0.9]), refresh=refresh)
    check_gradients(law, horizon=40)


@pytest.mark.slow
def test_pathwise_gradients_through_the_engine_are_finite_from_the_origin():
    law = ESH(Harmonic(k=jnp.array(1.0)), x0=jnp.zeros(2), refresh=0.5)
    found = pliant.gradient(
        law, TimeAverage(), BPTT(), horizon=20, replicas=16, key=jax.random.key(0),
        wrt=lambda law: law.potential, progress=False,
    )  # fmt: skip
    assert np.isfinite(found.value.k)


def test_weights_are_relative_to_the_start_and_never_silently_wrong():
    average = lambda law: Rollout(jax.random.key(0), jnp.uint32(0), 400, 20)(law, TimeAverage().at_horizon(400))
    far = dict(dt=0.5, x0=jnp.array([40.0, 5.0]))  # 812 kT up: weights to e^406
    slow, fast = ESH(Harmonic(), v0=jnp.array([0.0, 1.0]), **far), ESH(Harmonic(), v0=jnp.array([0.0, 1e100]), **far)
    np.testing.assert_allclose(average(slow), average(fast), rtol=1e-10)
    assert np.isfinite(average(slow))
    assert not np.isfinite(average(ESH(Harmonic(), dt=0.5, x0=jnp.array([60.0, 5.0]))))


def test_refusals():
    with pytest.raises(ValueError, match="Append harmonic coordinates"):
        ESH(Harmonic(), x0=jnp.zeros(1))
    with pytest.raises(ValueError, match="`v0` must not be zero"):
        esh(v0=jnp.zeros(3))
    with pytest.raises(ValueError, match="`refresh` must be positive"):
        esh(refresh=-1.0)
    assert "no diagonal diffusion" in (esh(refresh=1.0).refusal(HasDrift) or "")
    assert esh().refusal(HasDrift) is None
    with pytest.raises(CapabilityError, match="deterministic"):
        from pliant.estimators import Girsanov

        pliant.gradient(esh(), TimeAverage(), Girsanov(), horizon=4, replicas=4, key=jax.random.key(0))


def test_the_stability_limit_is_that_of_a_spring():
    law = ESH(Harmonic(k=jnp.array(4.0)), x0=jnp.ones(3), kT=0.5)
    np.testing.assert_allclose(law.step_limit(law.init(jax.random.key(0))), 2 * np.sqrt(3 * 0.5 / 4), rtol=1e-10)
