"""What a gradient costs: operations counted against hand counts, memory against what must be held."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pliant.diagnostics import peak_memory, seconds_per_gradient, signal_to_noise_per_flop
from pliant.diagnostics._flops import flops
from pliant.dynamics import BAOAB, OverdampedLangevin
from pliant.estimators import BPTT, Adjoint, ForwardSensitivity
from pliant.observables import Final
from pliant.potentials import DoubleWell

LAW = OverdampedLangevin(DoubleWell(a=jnp.array(1.0), b=jnp.array(0.0)), x0=jnp.zeros(1), dt=0.01, kT=1.0)
POSITION = Final(lambda state: jnp.sum(state.position))


def test_operations_counted_by_hand() -> None:
    vector, matrix = jnp.ones(100), jnp.ones((100, 50))
    assert flops(lambda x: 2.0 * x + x, (vector,)) == 200
    assert flops(lambda x, a: x @ a, (vector, matrix)) == pytest.approx(2 * 100 * 50, rel=0.01)
    assert flops(jnp.exp, (vector,)) == 100


def test_a_loop_counts_as_often_as_it_runs() -> None:
    def loop(x: jax.Array, steps: int) -> jax.Array:
        return lax.scan(lambda c, _: (c * c + 1.0, None), x, length=steps)[0]

    counts = [flops(lambda x, n=n: loop(x, n), (jnp.ones(10),)) for n in (1, 7, 70)]
    np.testing.assert_allclose(counts, [20, 140, 1400])
    nested = flops(lambda x: lax.scan(lambda c, _: (loop(c, 7), None), x, length=3)[0], (jnp.ones(10),))
    assert nested == 3 * 140
    branches = flops(lambda x: lax.cond(x[0] > 0, lambda y: y + 1.0, lambda y: y * 2.0 + 1.0, x), (jnp.ones(10),))
    assert 20 <= branches <= 22


def test_operations_of_a_gradient_grow_with_horizon_and_not_with_replicas() -> None:
    def count(horizon: int, replicas: int) -> float:
        return signal_to_noise_per_flop(LAW, Final(), ForwardSensitivity(), horizon=horizon, replicas=replicas)[1]

    assert count(400, 32) / count(200, 32) == pytest.approx(2, rel=0.1)
    assert count(200, 64) / count(200, 32) == pytest.approx(1, rel=0.1)


def test_efficiency_does_not_depend_on_the_number_of_replicas() -> None:
    found = [
        signal_to_noise_per_flop(
            LAW, POSITION, ForwardSensitivity(), horizon=20, replicas=replicas, wrt=lambda law: law.potential.b
        )[0]
        for replicas in (500, 4000)
    ]
    # At this short horizon the derivative hardly varies: its relative error at 500 replicas is below 10 %.
    assert found[0] == pytest.approx(found[1], rel=0.3)


def test_memory_of_all_states_and_of_checkpoints() -> None:
    def grown(estimator: BPTT) -> int:
        sizes = [peak_memory(LAW, Final(), estimator, horizon=h, replicas=64) for h in (1000, 4000)]
        return sizes[1] - sizes[0]

    state = 64 * LAW.x0.dtype.itemsize
    # All states of 3000 more steps must be held, a handful of numbers each; checkpoints hold their square root.
    assert 3000 * state <= grown(BPTT(checkpoint=False)) <= 12 * 3000 * state
    assert grown(BPTT(checkpoint=True)) < 0.1 * 3000 * state


def test_seconds_are_those_of_a_run() -> None:
    seconds, spread = seconds_per_gradient(LAW, Final(), BPTT(), horizon=500, replicas=64, repeats=5)
    assert 0 < seconds < 10
    assert 0 <= spread < seconds + 1


def test_estimators_are_made_ready_as_gradient_makes_them():
    """An adjoint learns from law and horizon how often to keep a state: more friction, more states."""

    def planned(friction: float) -> int:
        law = BAOAB(LAW.potential, x0=jnp.zeros(1), dt=0.01, kT=1.0, friction=friction)
        return peak_memory(law, Final(), Adjoint(), horizon=4000, replicas=64, wrt=lambda law: law.potential)

    assert planned(20.0) > planned(0.1) + 64 * 2 * 8
