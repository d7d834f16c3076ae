"""The reversible adjoint gives the numbers of backpropagation, the continuous one those of the continuum.

`Adjoint("reversible")` is held against BPTT replica by replica: it inherits BPTT's oracles and coverage.
"""

import json
import subprocess
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import check, flat, run

import pliant
from pliant import dynamics
from pliant.core import engine, prepare, reversal
from pliant.core.blocks import Blocks
from pliant.core.errors import CapabilityError, NotApplicable
from pliant.core.laws import HasDrift, Invertible
from pliant.core.reversal import carry_matters
from pliant.dynamics import BAOAB, Langevin, OverdampedLangevin, VelocityVerlet
from pliant.estimators import BPTT, Adjoint, _continuous, _reversible
from pliant.observables import Final, FirstPassageTime, PathFunctional, TimeAverage, Work
from pliant.potentials import DoubleWell, DrivenTrap, Harmonic

KEY = jax.random.key(4)
SQUARE = lambda state: jnp.sum(state.position**2)
WELL = DoubleWell(a=jnp.array(1.0), b=jnp.array(0.1))
WRT: Any = lambda law: law.potential
INVERTIBLE = {
    name: kind
    for name, kind in dynamics.components().items()
    if isinstance(kind, type) and issubclass(kind, Invertible)
}


def clay(law: Any) -> Any:
    """Every number of a law made a parameter."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, float) else leaf, law)


def gradient(law: Any, observable: Any, estimator: Any, horizon: int, **options: Any) -> Any:
    given = {"replicas": 2, "key": KEY, "keep_replicates": True, "progress": False, **options}
    return pliant.gradient(law, observable, estimator, horizon=horizon, **given)


def agree(law: Any, observable: Any, horizon: int, tolerance: float = 1e-9, **options: Any) -> None:
    """Every parameter's gradient of every replica, to a part of the largest of that parameter."""
    theirs = gradient(law, observable, BPTT(), horizon, **options)
    ours = gradient(law, observable, Adjoint(), horizon, **options)
    for mine, right in zip(jax.tree.leaves(ours.replicates), jax.tree.leaves(theirs.replicates), strict=True):
        np.testing.assert_allclose(mine, right, rtol=0, atol=tolerance * np.max(np.abs(right)) + 1e-300)
    np.testing.assert_allclose(ours.observable.value, theirs.observable.value, rtol=1e-12)


def trapped(kind: type, dt: float = 0.02) -> Any:
    """A law on two coordinates of a double well, with every number a parameter."""
    return clay(kind(WELL, x0=jnp.array([0.3, -0.7]), dt=dt))


@pytest.mark.slow
@pytest.mark.parametrize("name", INVERTIBLE)
def test_it_equals_backpropagation_over_ten_thousand_steps(name):
    """Gradients by potential, dt, temperature, friction, mass, thermostat and start.

    Over 20 units of time: in ten times as many the chain of thermostats is chaotic enough for gradients of 1e29, of
    which no digit is defined in double precision, by any method.
    """
    agree(trapped(INVERTIBLE[name], dt=0.002), TimeAverage(SQUARE, burn_in=7), 10_000)


def test_states_of_many_parts_are_rebuilt_in_the_same_loop(monkeypatch):
    """As all are here: noise in pairs of steps, with one step left over."""
    monkeypatch.setattr(reversal, "_MANY_PARTS", 1)
    monkeypatch.setattr(Blocks, "_backward", None)
    agree(clay(BAOAB(WELL, x0=jnp.zeros(1), dt=0.02)), TimeAverage(SQUARE), 333)


def test_what_nothing_reads_is_not_walked_back():
    """The heat that has gone into a bath, unless the observable asks for it."""
    law = trapped(dynamics.NoseHooverChain)
    conserved = TimeAverage(lambda state, law: law.conserved(state))
    for observable, left in ((TimeAverage(SQUARE), ["bath"]), (conserved, [])):
        problem, state = prepare.problem(law, observable.at_horizon(21), lambda law: law), law.init(KEY)
        marks = jax.tree.unflatten(jax.tree.structure(state), _reversible.accounts(problem, state))
        assert [name for name, mark in vars(marks).items() if mark is True] == left
    agree(law, conserved, 21)


@pytest.mark.slow
@pytest.mark.parametrize("friction", [0.0001, 3.0, 300.0])
def test_friction_sets_how_often_a_state_is_kept(friction):
    """Over 80 to 6000 relaxation times, where undoing without kept states loses every digit."""
    law = clay(BAOAB(WELL, x0=jnp.zeros(1), dt=0.02, friction=friction))
    agree(law, Final(lambda state: jnp.stack([state.position[0], state.velocity[0] ** 2])), 1001)


@pytest.mark.parametrize(
    ("growth", "every"), [(0.01, 500), (0.0, 10_000), (1e-9, 10_000), (0.011, 200), (1.0, 5), (40.0, 1)]
)
def test_steps_between_kept_states(growth, every):
    assert _reversible.steps_between(growth) == every


class Largest(pliant.Observable):
    """The largest first coordinate, times the potential's a."""

    def start(self, law, state):
        return state.position[0]

    def update(self, carry, law: Any, state, t):
        return jnp.maximum(carry, law.potential.a * state.position[0])

    def result(self, carry):
        return carry


MATTERS = {"Largest": (Largest(), True), "FirstPassageTime": (FirstPassageTime(), True), "Work": (Work(), True),
           "TimeAverage": (TimeAverage(SQUARE), False), "Final": (Final(SQUARE), False),
           "PathFunctional": (PathFunctional(every=3), False)}  # fmt: skip


@pytest.mark.parametrize("name", MATTERS)
def test_whether_the_derivative_of_a_fold_depends_on_its_carry(name):
    observable, matters = MATTERS[name]
    law = clay(BAOAB(DrivenTrap(), x0=jnp.zeros(1))) if name == "Work" else trapped(BAOAB)
    problem = prepare.problem(law, observable.at_horizon(9), lambda law: law)
    assert carry_matters(problem, law.init(KEY)) == matters


@pytest.mark.parametrize("name", ["Largest", "Work", "PathFunctional", "of the law"])
def test_any_fold_is_served(name):
    law = trapped(BAOAB)
    if name == "Work":
        agree(clay(BAOAB(DrivenTrap(), x0=jnp.zeros(1), dt=0.05)), Work(), 41)
    elif name == "of the law":
        energy = lambda state, law: jnp.stack([law.potential(state.position), law.kT * state.velocity[1]])
        agree(law, TimeAverage(energy, burn_in=5), 41)
    else:
        agree(law, MATTERS[name][0], 41)


@pytest.mark.slow
def test_chosen_parameters_and_any_spacing():
    law = trapped(BAOAB)
    wrt = lambda law: (law.friction, law.potential.b)
    right = flat(gradient(law, TimeAverage(SQUARE), BPTT(), 333, wrt=wrt).replicates)
    for every in (1, 2, 33, 100, 1000):
        found = flat(gradient(law, TimeAverage(SQUARE), Adjoint(every=every), 333, wrt=wrt).replicates)
        np.testing.assert_allclose(found, right, rtol=1e-9)


# Mutants: each must be off by far more than the tolerance.


class Forceless(BAOAB):
    """Steps are undone without the force."""

    def unstep(self, next_state, noise, t):
        free = eqx.tree_at(lambda law: law.potential, self, Harmonic(jnp.array(0.0)))
        return BAOAB.unstep(free, eqx.tree_at(lambda s: s.force, next_state, 0 * next_state.force), noise, t)


def leave_out(step: int) -> type:
    """The law's cotangent of one step forgotten."""

    class Forgetful(_reversible.Unstep):
        def pull(self, active, leaves, before, after, noise, t, cotangent):
            by_law, by_state = super().pull(active, leaves, before, after, noise, t, cotangent)
            return jax.tree.map(lambda leaf: jnp.where(t == step, 0 * leaf, leaf), by_law), by_state

    return Forgetful


def other_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise of the wrong steps on the way back."""
    right = Blocks._backward
    wrong = lambda self, rebuild, retreat, carry, begin, steps: right(
        self, rebuild, retreat, carry, begin + self.source.group, steps
    )
    monkeypatch.setattr(Blocks, "_backward", wrong)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", ["noise of other steps", "no force", "first step", "last step"])
def test_mutants_fail(mutant, monkeypatch):
    law = trapped(Forceless if mutant == "no force" else BAOAB)
    if mutant == "noise of other steps":
        other_noise(monkeypatch)
    elif mutant != "no force":
        monkeypatch.setattr(_reversible, "Unstep", leave_out({"first step": 0, "last step": 39}[mutant]))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        # A key of its own: compiled programs do not know that a class was exchanged.
        agree(law, TimeAverage(SQUARE, burn_in=30), 40, generator="jax")
    jax.clear_caches()


# What is said.


def test_a_law_that_cannot_be_undone_is_refused_with_advice():
    law = OverdampedLangevin(WELL, x0=jnp.zeros(1))
    with pytest.raises(
        CapabilityError, match=r"`Adjoint` needs `Invertible`.*nonlinear equation.*BPTT\(checkpoint=True\)"
    ):
        gradient(law, Final(SQUARE), Adjoint(), 10)


def test_round_off_that_has_grown_is_said():
    law = BAOAB(WELL, x0=jnp.zeros(1), dt=0.02, friction=2.0)
    lost = gradient(law, Final(SQUARE), Adjoint(every=1000), 1000, wrt=WRT).verdict
    assert any("undoing the steps missed kept states by" in reason for reason in lost.reasons)
    kept = gradient(law, Final(SQUARE), Adjoint(), 1000, wrt=WRT).verdict
    assert not any("missed kept" in reason for reason in kept.reasons)
    assert any("missed the states that it was to rebuild by at most" in note for note in kept.notes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"kind": "backsolve"}, "`kind` must be one of reversible, continuous"),
        ({"every": 0}, "`every` must be None or"),
    ],
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        Adjoint(**arguments)


# What it costs.


def planned(kind: type, horizon: int) -> int:
    """Bytes of temporary memory as XLA plans them, for 64 replicas."""
    problem = prepare.problem(kind(WELL, x0=jnp.zeros(1), dt=0.01), TimeAverage(SQUARE).at_horizon(horizon), WRT)
    estimator = Adjoint().at_horizon(problem, horizon)
    settings = prepare.settings(problem, estimator, horizon, 64, KEY, 1e9, "fused", 1)
    run, arguments = engine.program(problem, estimator, settings)
    planned: Any = jax.jit(run).lower(*arguments).compile().memory_analysis()
    return planned.temp_size_in_bytes


def test_memory_does_not_grow_with_the_horizon():
    """Without friction not at all; with it by the kept states, one of 24 bytes every 500 steps."""
    assert planned(VelocityVerlet, 10_000) <= planned(VelocityVerlet, 1000) + 4096
    assert planned(BAOAB, 10_000) <= planned(BAOAB, 1000) + 64 * 24 * 20 + 4096


_MILLION = """
import jax, json
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp, pliant
from pliant.atlas.measure import process_peak
from pliant.dynamics import BAOAB
from pliant.estimators import Adjoint
from pliant.observables import TimeAverage
from pliant.potentials import DoubleWell
law = BAOAB(DoubleWell(a=jnp.array(1.0), b=jnp.array(0.0)), x0=jnp.zeros(1), dt=0.01)
average = TimeAverage(lambda state: jnp.sum(state.position**2))
estimate = pliant.gradient(law, average, Adjoint(), horizon=1_000_000, replicas=64, key=jax.random.key(0),
                           wrt=lambda law: law.potential, progress=False)
print(json.dumps([process_peak(), estimate.verdict.notes]))
"""


@pytest.mark.slow
def test_a_million_steps_stay_under_a_gibibyte():
    """The whole process; of the long gradients themselves nothing is asked: over barriers they explode."""
    done = subprocess.run([sys.executable, "-c", _MILLION], check=True, capture_output=True, text=True)
    peak, notes = json.loads(done.stdout)
    assert peak < 2**30
    assert any("missed the states that it was to rebuild by at most" in note for note in notes)


# The continuous adjoint.


CONTINUOUS = Adjoint("continuous")


SPRING = Harmonic(jnp.array(1.0))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "potential", "order"), [(VelocityVerlet, WELL, 2), (BAOAB, WELL, 2), (OverdampedLangevin, SPRING, 1)]
)
def test_the_order_of_its_bias(kind, potential, order):
    """Against the discrete adjoint on the same noise, over a fifth of a unit of time: that of the scheme.

    On the double well overdamped motion has no way back even from there: backward it is at infinity in 1/(8 x^2).
    """
    law = kind(potential, x0=jnp.array([0.6]), dt=0.02, kT=0.5)
    coarse, fine = CONTINUOUS.bias(law, Final(SQUARE), horizon=10, replicas=16_384, key=KEY, wrt=WRT, halvings=1)
    assert abs(fine.order - order) < 0.2, f"{coarse}; {fine}"
    assert np.linalg.norm(fine.standard_error) < 0.1 * np.linalg.norm(fine.difference), f"{coarse}; {fine}"


class Geometric(HasDrift):
    """Geometric Brownian motion dx = mu x dt + sigma x dW (Itô) by Euler-Maruyama: E[x_T] = x_0 exp(mu T)."""

    mu: jax.Array
    sigma: jax.Array
    dt: float = 0.01

    @property
    def noise(self):
        return pliant.Normal(())

    def init(self, key):
        return jnp.ones(())

    def step(self, state, noise, t):
        return state + self.dt * self.mu * state + self.sigma * state * jnp.sqrt(self.dt) * noise

    def drift(self, state, t):
        return self.mu * state

    def diffusion(self, state, t):
        return self.sigma * state


def geometric(estimator: Any) -> None:
    """d E[x_T^2] / d mu = 2 T exp((2 mu + sigma^2) T), and by sigma 2 sigma T times the same."""
    law = Geometric(jnp.array(0.3), jnp.array(0.6), dt=1 / 256)
    estimate = run(law, Final(lambda x: x**2), estimator, lambda law: law, 128, 20_000)
    growth = np.exp((2 * 0.3 + 0.6**2) * 0.5)
    check(estimate, [2 * 0.5 * growth, 2 * 0.6 * 0.5 * growth], resolution=0.1)


def test_noise_that_depends_on_the_state_is_taken_in_stratonovichs_sense():
    geometric(CONTINUOUS)


@pytest.mark.slow
def test_the_mutant_without_the_drift_of_ito_fails(monkeypatch):
    monkeypatch.setattr(_continuous, "_correction", lambda law, state, t: 0 * state)
    jax.clear_caches()
    with pytest.raises(AssertionError):
        geometric(CONTINUOUS)
    jax.clear_caches()


def test_a_dissipative_flow_is_said_to_have_no_way_back():
    law = OverdampedLangevin(Harmonic(jnp.array(1.0)), x0=jnp.ones(1), dt=0.01)
    long = gradient(law, Final(SQUARE), CONTINUOUS, 1000, wrt=WRT).verdict
    assert long.level == "untrusted"
    assert any("the equation missed the initial state by" in reason for reason in long.reasons)
    short = gradient(law, Final(SQUARE), CONTINUOUS, 20, wrt=WRT).verdict
    assert not any("missed the initial state" in reason for reason in short.reasons)
    assert any("continuous equation behind the scheme, off" in note for note in short.notes)


@pytest.mark.parametrize("case", ["force", "carry", "equation"])
def test_what_the_continuous_adjoint_cannot_serve(case):
    law, observable = trapped(BAOAB), Final(lambda state: state.force[0])
    if case == "carry":
        observable = Largest()
    elif case == "equation":
        law, observable = _NoEquation(), Final(lambda x: x)
    words = {"force": "looks at .force", "carry": "depends on its carry", "equation": "needs `HasDrift`"}[case]
    with pytest.raises(NotApplicable, match=words):
        gradient(law, observable, CONTINUOUS, 10)


class _NoEquation(pliant.Evolve):
    a: jax.Array = eqx.field(default_factory=lambda: jnp.array(1.0))

    @property
    def noise(self):
        return ()

    def init(self, key):
        return jnp.ones(())

    def step(self, state, noise, t):
        return self.a * state


def test_two_thermostats_share_the_brownian_increment():
    """OBABO draws two noises a step: together they are the increment of a step's variance."""
    law = Langevin(WELL, x0=jnp.zeros(1), dt=0.04, splitting="OBABO")
    increments = law.increments(jnp.array([[1.0], [2.0]]))
    np.testing.assert_allclose(increments.velocity, [0.2 / np.sqrt(2) * 3.0])
