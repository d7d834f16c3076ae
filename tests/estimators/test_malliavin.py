"""Malliavin weights: exact answers for jumping observables in starts and noise amplitudes, coverage, mutants."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import check, flat, run
from scipy import special, stats
from test_coverage import REPEATS, coverage, report

import pliant
from pliant import NotApplicable, Potential
from pliant.core import engine, prepare
from pliant.dynamics import BAOAB, OverdampedLangevin
from pliant.estimators import BPTT, Malliavin, ScoreFunction, malliavin
from pliant.observables import Final, FirstPassageTime, TimeAverage
from pliant.potentials import DoubleWell, Harmonic
from pliant.systems import _affine

K, KT, X0, H, HORIZON, EDGE = 0.8, 0.7, 1.5, 0.1, 12, 0.9
LAW = OverdampedLangevin(Harmonic(jnp.array(K)), x0=jnp.full(1, X0), dt=jnp.array(H), kT=jnp.array(KT))
ABOVE = Final(lambda state: jnp.where(state.position[0] > EDGE, 1.0, 0.0))
SELECT = lambda law: (law.potential, law.x0, law.kT, law.dt)
# In the order of `SELECT`.
AT = dict(k=K, x0=X0, kT=KT, dt=H)


def chance(k=K, x0=X0, dt=H, kT=KT, horizon=HORIZON):
    """P(x_n > edge) on the Ornstein-Uhlenbeck process: Gaussian with the discrete moments."""
    a = 1 - k * dt
    mean, variance = x0 * a**horizon, 2 * kT * dt * (1 - a ** (2 * horizon)) / (1 - a**2)
    return 0.5 * special.erfc((EDGE - mean) / np.sqrt(2 * variance))


TRUTH = np.array([_affine.complex_step(lambda v, name=name: chance(**{name: v}), at) for name, at in AT.items()])


def indicator(estimator):
    """The oracle: the chance to end above an edge, by stiffness, start, temperature and time step."""
    check(run(LAW, ABOVE, estimator, SELECT, HORIZON, 60_000), TRUTH, value=chance(), resolution=0.03)


def test_pathwise_gives_zero_here():
    assert np.all(flat(run(LAW, ABOVE, BPTT(), SELECT, HORIZON, 64).value) == 0) and np.all(np.abs(TRUTH) > 0.05)


@pytest.mark.parametrize("window", [1, 5, None, 50])
def test_an_indicator_of_the_last_state(window):
    indicator(Malliavin(window))


def mean_weight(trace):
    """The mean of the temperature's weight in standard errors; `trace` times the Skorokhod correction."""
    law = OverdampedLangevin(Harmonic(jnp.array(K)), x0=jnp.full(1, X0), dt=H, kT=jnp.array(KT))
    problem = prepare.problem(law, ABOVE.at_horizon(HORIZON), lambda law: law.kT)
    settings = prepare.settings(problem, Malliavin(5), HORIZON, 20_000, jax.random.key(11), 1e9, "fused", None)
    weights = flat(engine.gather(problem, Malliavin(5), settings, progress=False)[0].score)
    # The correction is the same for all replicas: sum over the window of 1 / (2 kT (n - j)).
    weights = weights + (1 - trace) * np.sum(1 / np.arange(1, 6)) / (2 * KT)
    return weights.mean() / (weights.std() / np.sqrt(len(weights)))


def test_weights_have_mean_zero():
    """Centring would hide a constant that is left out, as the mean of the weight is taken off."""
    assert abs(mean_weight(trace=1)) < 4 < abs(mean_weight(trace=0))


def surviving(x0=X0, kT=KT, k=K, horizon=10, edge=0.4):
    """E[min(tau, T)] / dt for the first passage below `edge`, by Gauss quadrature of the surviving density."""
    nodes, weight = special.roots_legendre(240)
    x, weight = edge + 4 * (nodes + 1), 4 * weight
    spread = 4 * kT * H
    kernel = lambda to, start: np.exp(-((to - (1 - k * H) * start) ** 2) / spread) / np.sqrt(np.pi * spread)
    density, total = kernel(x, x0), 1.0
    transfer = weight * kernel(x[:, None], x[None, :])
    for _ in range(horizon - 1):
        total, density = total + weight @ density, transfer @ density
    return total


def test_a_passage_time_by_its_start_and_by_the_temperature():
    """A functional of the whole path, through the score in whose first step the start moves."""
    slope = lambda name, at: H * _affine.complex_step(lambda v: surviving(**{name: v}), at)
    arrival = FirstPassageTime(lambda state: jnp.all(state.position < 0.4))
    found = run(LAW, arrival, Malliavin(), lambda law: (law.potential, law.x0, law.kT), 10, 60_000)
    exact = [slope("k", K), slope("x0", X0), slope("kT", KT)]
    check(found, exact, value=H * surviving(), resolution=0.05)


def test_an_observable_that_sees_the_start_itself():
    """The start's own contribution is explicit: d<x_0 x_1>/dx_0 = 2 a x_0."""

    class FirstProduct(pliant.Observable):
        def start(self, law, state):
            return state.position[0]

        def update(self, carry, law, state, t):
            return jnp.where(t == 1, carry * state.position[0], carry)

        def result(self, carry):
            return carry

    found = run(LAW, FirstProduct(), Malliavin(), lambda law: law.x0, 3, 20_000)
    check(found, 2 * (1 - K * H) * X0)


class Quartic(Potential):
    """Two coupled coordinates, so that nothing commutes."""

    a: jax.Array

    def __call__(self, position):
        x, y = position
        return 0.25 * self.a * (x**4 + y**4) + 0.5 * (x**2 + y**2) + 0.6 * x**2 * y - 0.3 * x * y


QUARTIC = OverdampedLangevin(
    Quartic(jnp.array(1.0)), x0=jnp.array([0.7, -0.4]), dt=0.08, kT=jnp.array(0.8), friction=jnp.array(1.2)
)
PLANE = lambda law: (law.potential, law.x0, law.kT, law.friction)


def smooth(state):
    return jnp.stack([state.position[0] ** 2 + jnp.sin(state.position[1]), state.position[0] * state.position[1]])


@pytest.mark.slow
@pytest.mark.parametrize("window", [3, 10])
@pytest.mark.parametrize("observe", [Final, TimeAverage])
def test_two_coupled_coordinates(observe, window):
    """Against the pathwise derivative of a smooth observable of two components, both with their errors."""
    ours, pathwise = (
        run(QUARTIC, observe(smooth), estimator, PLANE, 10, 60_000) for estimator in (Malliavin(window), BPTT())
    )
    error = np.hypot(flat(ours.standard_error), flat(pathwise.standard_error))
    assert np.all(np.abs(flat(ours.value) - flat(pathwise.value)) < 4 * error)
    assert np.linalg.norm(error) < 0.05 * np.linalg.norm(flat(pathwise.value))


def gaussian_chance(x0, kT, b, horizon, dt, edge=0.0):
    """P(x_n > edge) in the double well (x^2 - 1)^2 + b x: trapezoids, the last step in closed form."""
    x = np.linspace(-3.5, 3.5, 1401)
    mean = lambda x: x - dt * (4 * x * (x**2 - 1) + b)
    kernel = lambda to, start: np.exp(-((to - mean(start)) ** 2) / (4 * kT * dt)) / np.sqrt(4 * np.pi * kT * dt)
    density, width = kernel(x, x0), x[1] - x[0]
    transfer = width * kernel(x[:, None], x[None, :])
    for _ in range(horizon - 2):
        density = transfer @ density
    return width * np.sum(density * 0.5 * special.erfc((edge - mean(x)) / np.sqrt(4 * kT * dt)))


def test_the_chance_to_have_crossed_a_barrier():
    """Nonlinear, with a jump: by tilt, start and temperature, against quadrature."""
    at = dict(b=0.5, x0=0.3, kT=0.9)
    truth = gaussian_chance(**at, horizon=20, dt=0.04)
    slopes = [
        _affine.complex_step(lambda v, name=name: gaussian_chance(**(at | {name: v}), horizon=20, dt=0.04), at[name])
        for name in at
    ]
    well = DoubleWell(a=jnp.array(1.0), b=jnp.array(0.5))
    law = OverdampedLangevin(well, x0=jnp.full(1, 0.3), dt=0.04, kT=jnp.array(0.9))
    crossed = Final(lambda state: jnp.where(state.position[0] > 0, 1.0, 0.0))
    found = run(law, crossed, Malliavin(), lambda law: (law.potential.b, law.x0, law.kT), 20, 60_000)
    check(found, slopes, value=truth, resolution=0.05)


def test_the_score_of_every_step_is_noisier_in_the_temperature():
    """Its variance in kT grows as 1/dt, that of the weight as the logarithm: less than half the error at 100 steps."""
    law = OverdampedLangevin(Harmonic(jnp.array(K)), x0=jnp.full(1, X0), dt=0.012, kT=jnp.array(KT))
    error = [
        float(run(law, ABOVE, estimator, lambda law: law.kT, 100, 20_000).standard_error)
        for estimator in (Malliavin(), ScoreFunction())
    ]
    assert error[0] < 0.5 * error[1], error


# Mutants: one term of the formula spoiled.


def with_twice_the_spread(problem, tangent, share, state, noise, t):
    return ORIGINAL(problem, tangent / 2, share, state, noise, t)


def of_the_tangent_before(problem, tangent, share, state, noise, t):
    """The noise is not moved by what it does itself."""
    own = malliavin._moved(problem, jnp.zeros_like(tangent), share, state, noise, t)
    return ORIGINAL(problem, tangent - own, share, state, noise, t)


ORIGINAL = malliavin._by_parts


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [with_twice_the_spread, of_the_tangent_before])
def test_spoiled_weights_fail(mutant, monkeypatch):
    monkeypatch.setattr(malliavin, "_by_parts", mutant)

    class Fresh(Malliavin):
        """A type of its own: nothing compiled for the original serves it."""

        replicate = lambda self, problem, rollout: Malliavin.replicate(self, problem, rollout)

    with pytest.raises(AssertionError):
        indicator(Fresh(5))


MOVED = malliavin._moved


def without_the_start(problem, tangent, share, state, noise, t):
    return MOVED(problem, jnp.where(t == 0, 0.0, tangent), share, state, noise, t)


def without_parameters(problem, tangent, share, state, noise, t):
    return MOVED(problem, tangent, 0.0 * share, state, noise, t)


def of_the_mean_alone(problem, tangent, share, state, noise, t):
    """The tangent forgets that the amplitude of the noise moves the state."""
    return MOVED(problem, tangent, share, state, jnp.zeros_like(noise), t)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [without_the_start, without_parameters, of_the_mean_alone])
def test_spoiled_tangents_fail(mutant, monkeypatch):
    monkeypatch.setattr(malliavin, "_moved", mutant)

    class Fresh(Malliavin):
        replicate = lambda self, problem, rollout: Malliavin.replicate(self, problem, rollout)

    with pytest.raises(AssertionError):
        indicator(Fresh(5))


class Doubling(pliant.Evolve):
    """The noise multiplies the state."""

    r: jax.Array
    noise = pliant.Normal((1,))

    def init(self, key):
        return jnp.ones(1)

    def step(self, state, noise, t):
        return state * (1 + self.r * noise)


def test_laws_without_additive_noise_are_refused():
    options = dict(horizon=3, replicas=4, key=jax.random.key(0), progress=False)
    with pytest.raises(NotApplicable, match="on BAOAB: its state is of"):
        pliant.gradient(BAOAB(Harmonic()), Final(), Malliavin(), **options, wrt=lambda law: law.potential)
    with pytest.raises(NotApplicable, match="depends on the state"):
        pliant.gradient(Doubling(jnp.array(0.1)), Final(jnp.sum), Malliavin(), **options)
    with pytest.raises(ValueError, match="`window`"):
        Malliavin(0)


@pytest.mark.slow
@pytest.mark.parametrize("window", [4, None])
def test_coverage(window, capsys):
    """An indicator, by stiffness, start, temperature and time step."""
    size = 1024
    problem = prepare.problem(LAW, ABOVE.at_horizon(HORIZON), SELECT)
    settings = prepare.settings(
        problem, Malliavin(window), HORIZON, REPEATS * size, jax.random.key(11), 1e9, "fused", None
    )
    found = engine.gather(problem, Malliavin(window), settings, progress=False)[0]
    groups = jax.tree.map(lambda leaf: leaf.reshape(REPEATS, size, *leaf.shape[1:]), found)
    tree = SELECT(jax.jit(jax.vmap(lambda group: group.influence()))(groups))
    values = np.concatenate([np.reshape(leaf, (REPEATS, size, 1)) for leaf in jax.tree.leaves(tree)], axis=-1)
    share, bias = coverage(values, TRUTH)
    report(capsys, f"Malliavin, window {window}", [(size, share)], stats.skew(values.reshape(-1, 4)), bias)
    assert np.all(np.abs(bias) < 0.2) and np.all((share >= 0.93) & (share <= 0.97)), share
