"""Coupled differences: both marginals exact under any coupling, exact answers, variances, coverage, mutants."""

from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import flat, run
from scipy import stats
from test_coverage import REPEATS, TRANSIENT, central_difference, contributions, judge
from test_mutants import SYSTEM, transient

import pliant
from pliant import Evolve, Normal, NotApplicable
from pliant.core.rollout import Rollout
from pliant.dynamics import BAOAB, OverdampedLangevin
from pliant.estimators import CoupledFiniteDifference, FiniteDifference, coupled_finite_difference
from pliant.observables import Final, FirstPassageTime, PathFunctional
from pliant.systems import DoubleWellSystem

KINDS = {
    "synchronous": CoupledFiniteDifference(),
    "reflection": CoupledFiniteDifference(0.02, "reflection"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_average_over_a_transient(kind):
    transient(KINDS[kind])


UNDERDAMPED = BAOAB(SYSTEM.law().potential, x0=jnp.full(1, 1.5), dt=0.2, kT=0.7)


def test_synchronous_coupling_is_that_of_common_random_numbers():
    options = dict(horizon=7, replicas=8, key=jax.random.key(1), wrt=SYSTEM.wrt, keep_replicates=True, progress=False)
    law = UNDERDAMPED
    arrival = FirstPassageTime(lambda state: jnp.all(state.position < 1.0))
    found = [
        pliant.gradient(law, arrival, kind(0.1), **options) for kind in (CoupledFiniteDifference, FiniteDifference)
    ]
    np.testing.assert_allclose(flat(found[0].replicates), flat(found[1].replicates), rtol=1e-12)
    assert found[0].observable.value == found[1].observable.value


# Far apart in both means and spreads, in two coordinates, so that meeting and mirroring both happen.
LEFT = OverdampedLangevin(DoubleWellSystem().law().potential, x0=jnp.array([0.3, -0.2]), dt=0.05, kT=jnp.array(1.0))
RIGHT = eqx.tree_at(lambda law: (law.x0, law.kT), LEFT, (jnp.array([-0.1, 0.1]), jnp.array(1.3)))


def paths(law, observable, replicas=20_000, horizon=6):
    run = lambda replica: Rollout(jax.random.key(8), replica, horizon)(law, observable)
    return np.asarray(jax.jit(jax.vmap(run))(jnp.arange(replicas, dtype=jnp.uint32)))


def marginals_differ(reflected):
    """The largest z of first and second moments of the whole path of the second trajectory, and two KS distances."""
    whole = PathFunctional(lambda states: states.position.ravel()).at_horizon(6)
    with mock.patch.object(coupled_finite_difference, "reflected", reflected):
        pair = paths(coupled_finite_difference._Mirrored(LEFT, RIGHT), coupled_finite_difference._Both(whole))
    z = []
    for found, law in ((pair[:, 0], LEFT), (pair[:, 1], RIGHT)):
        alone = paths(law, whole)[::-1]
        # Columns 0 and 1 are the fixed start; two columns on is the same coordinate one step later.
        products = lambda x: np.concatenate([x[:, 2:], x[:, 2:] ** 2, x[:, 4:] * x[:, 2:-2]], axis=1)
        a, b = products(found), products(alone)
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(a))
        z.append(np.max(np.abs(a.mean(axis=0) - b.mean(axis=0)) / error))
        assert stats.ks_2samp(found[:, -1], alone[:, -1]).pvalue > 1e-4 or z[-1] > 4
    return max(z)


REFLECTED = coupled_finite_difference.reflected


def test_both_marginals_are_those_of_their_laws():
    """Moments of whole paths, products of neighbours in time included, against trajectories run alone."""
    assert marginals_differ(REFLECTED) < 4


def _always_meets(normal, apart, uniform):
    return normal + apart


def _meets_too_often(normal, apart, uniform):
    return REFLECTED(normal, apart, uniform**2)


def _half_a_mirror(normal, apart, uniform):
    found = REFLECTED(normal, apart, uniform)
    return jnp.where(jnp.all(found == normal + apart), found, 0.5 * (found + normal))


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [_always_meets, _meets_too_often, _half_a_mirror])
def test_couplings_that_spoil_a_marginal_are_seen(mutant):
    assert marginals_differ(mutant) > 4


def test_trajectories_meet_as_often_as_can_be():
    """One step from z apart in any dimension: the chance not to meet is the total variation, 2 Phi(|z| / 2) - 1."""
    z = jnp.array([0.6, -0.9, 0.3])
    draws = jax.random.normal(jax.random.key(0), (40_000, 3)), jax.random.uniform(jax.random.key(1), (40_000,))
    other = jax.vmap(REFLECTED, in_axes=(0, None, 0))(draws[0], z, draws[1])
    met = np.mean(np.all(np.asarray(other == draws[0] + z), axis=1))
    expected = 2 - 2 * stats.norm.cdf(np.linalg.norm(z) / 2)
    assert abs(met - expected) < 4 * np.sqrt(expected * (1 - expected) / 40_000)


class SineMap(Evolve):
    """x' = r sin x + s w: chaotic, so that common noise parts any two trajectories for good."""

    r: jax.Array
    spread: float = 0.5
    noise = Normal((1,))

    def init(self, key):
        return jnp.ones(1)

    def step(self, state, noise, t):
        return self.r * jnp.sin(state) + self.spread * noise


def sine_truth(r, horizon, spread=0.5):
    """E[x_T^2] by trapezoids over the product of transition densities."""
    x = np.linspace(-9, 9, 1201)
    kernel = lambda start: np.exp(-((x - r * np.sin(start)) ** 2) / (2 * spread**2)) / np.sqrt(2 * np.pi * spread**2)
    density = kernel(1.0)
    transfer = np.stack([kernel(start) for start in x], axis=1) * (x[1] - x[0])
    for _ in range(horizon - 1):
        density = transfer @ density
    return (x[1] - x[0]) * (density @ x**2)


def test_in_chaos_reflection_keeps_what_common_noise_loses():
    """The variance of common noise is that of independent runs; reflection has less than an eighth of that."""
    horizon, step, r = 60, 0.002, 4.0
    law = SineMap(jnp.array(r))
    square = Final(lambda state: jnp.sum(state**2))
    exact = (sine_truth(r * (1 + step), horizon) - sine_truth(r * (1 - step), horizon)) / (2 * step * r)
    spread = {}
    for name, kind in {
        "independent": FiniteDifference(step, common_random_numbers=False),
        "synchronous": CoupledFiniteDifference(step),
        "reflection": CoupledFiniteDifference(step, "reflection"),
    }.items():
        found = run(law, square, kind, lambda law: law.r, horizon, 20_000)
        spread[name] = float(found.standard_error)
        assert abs(float(found.value) - exact) < 4 * spread[name]
    assert spread["synchronous"] > 0.7 * spread["independent"] and spread["reflection"] < 0.35 * spread["synchronous"]


def test_on_the_double_well_common_noise_is_as_good():
    """At twenty relaxation times: trajectories that a barrier has parted meet again, under either coupling."""
    law = DoubleWellSystem(a=2.0).law(OverdampedLangevin, 0.02)
    error = {}
    for name, kind in {
        "independent": FiniteDifference(0.005, common_random_numbers=False),
        "synchronous": CoupledFiniteDifference(0.005),
        "reflection": CoupledFiniteDifference(0.005, "reflection"),
    }.items():
        found = run(law, Final(lambda state: state.position[0]), kind, lambda law: law.potential.b, 800, 4000)
        error[name] = float(found.standard_error)
    assert max(error["synchronous"], error["reflection"]) < 0.2 * error["independent"], error


def test_laws_that_cannot_be_mirrored_are_refused():
    options = dict(horizon=3, replicas=4, key=jax.random.key(0), wrt=SYSTEM.wrt, progress=False)
    reflect = CoupledFiniteDifference(coupling="reflection")
    for law in (UNDERDAMPED, OverdampedLangevin(SYSTEM.law().potential, scheme="leimkuhler_matthews")):
        with pytest.raises(NotApplicable, match="cannot meet in one step"):
            pliant.gradient(law, Final(), reflect, **options)

    class Cubic(SineMap):
        def step(self, state, noise, t):
            return self.r * state + noise**3

    with pytest.raises(NotApplicable, match="does not enter the step additively"):
        pliant.gradient(Cubic(jnp.array(0.5)), Final(jnp.sum), reflect, **(options | {"wrt": None}))


@pytest.mark.parametrize("bad", [{"step": 0.0}, {"coupling": "maximal"}], ids=str)
def test_bad_arguments(bad):
    with pytest.raises(ValueError, match=f"`{next(iter(bad))}`"):
        CoupledFiniteDifference(**bad)


class TwiceTheSlope(CoupledFiniteDifference):
    """The difference over the step in place of twice the step."""

    def replicate(self, problem, rollout):
        found = super().replicate(problem, rollout)
        return eqx.tree_at(lambda f: f.gradient, found, jax.tree.map(lambda g: 2 * g, found.gradient))


def test_twice_the_slope_fails():
    with pytest.raises(AssertionError):
        transient(TwiceTheSlope())


@pytest.mark.slow
@pytest.mark.parametrize("coupling", ["synchronous", "reflection"])
def test_coverage(coupling, capsys):
    case = TRANSIENT["double well"]
    found = contributions(case, CoupledFiniteDifference(0.2, coupling), REPEATS * case.replicas)
    judge(
        capsys, f"CoupledFiniteDifference {coupling}, double well", found, central_difference(case, 0.2), case.replicas
    )
