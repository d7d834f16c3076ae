"""What a look of the linter costs over one forward derivative of the program that it looks at."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from _measure import Row, Times
from jax import lax

from pliant.lint._lint import lint

KEY = jax.random.key(0)
GOAL = 15.0


def diffusion(stiffness: Any) -> Any:
    """1000 particles, 1000 steps."""
    kicks = 0.1 * jax.random.normal(KEY, (1000, 1000))
    step = lambda x, kick: (x - 0.01 * (stiffness * x + x**3) + kick, None)
    return jnp.mean(lax.scan(step, jnp.zeros(1000), kicks)[0] ** 2)


def orbit(mass: Any) -> Any:
    """A Runge-Kutta solution over 5000 steps."""

    def force(state: Any) -> Any:
        return jnp.concatenate([state[2:], -mass * state[:2] / jnp.sum(state[:2] ** 2) ** 1.5])

    def step(state: Any, _: Any) -> Any:
        a = force(state)
        b = force(state + 0.005 * a)
        c = force(state + 0.005 * b)
        d = force(state + 0.01 * c)
        return state + 0.01 * (a + 2 * b + 2 * c + d) / 6, None

    return jnp.sum(lax.scan(step, jnp.array([1.0, 0.0, 0.0, 1.0]), None, length=5000)[0])


def network(weights: Any) -> Any:
    """Four layers on 2048 inputs."""
    layer = jax.random.normal(KEY, (2048, 64))
    for matrix in weights:
        layer = jnp.tanh(layer @ matrix)
    return jnp.mean(layer**2)


def pairs(positions: Any) -> tuple[Any, Any]:
    """Inverse sixth powers of all distances, and what counts of them."""
    apart = positions[:, None] - positions[None]
    squares = jnp.sum(apart**2, axis=-1) + jnp.eye(len(positions))
    return squares, jnp.triu(1 / squares**6 - 1 / squares**3, 1)


def lennard_jones(positions: Any) -> Any:
    """Of 512 atoms."""
    return 4 * jnp.sum(pairs(positions)[1])


def truncated(positions: Any) -> Any:
    """The same, cut off."""
    squares, energies = pairs(positions)
    return 4 * jnp.sum(jnp.where(squares < 6.25, energies, 0.0))


def smooth_counts(width: Any) -> Any:
    """A bin that 10^5 events are in by degrees."""
    x = width * jax.random.normal(KEY, (100_000,))
    return jnp.sum(jax.nn.sigmoid((x + 0.1) / 0.05) - jax.nn.sigmoid((x - 0.1) / 0.05))


def counts(width: Any) -> Any:
    """A histogram of 10^5 events."""
    x = width * jax.random.normal(KEY, (100_000,))
    return jnp.histogram(x, jnp.linspace(-3.0, 3.0, 51))[0] @ jnp.linspace(-1.0, 1.0, 50) ** 2


def metropolis(stiffness: Any) -> Any:
    """256 chains, 1000 steps."""

    def step(x: Any, key: Any) -> Any:
        first, second = jax.random.split(key)
        proposed = x + jax.random.normal(first, x.shape)
        taken = jax.random.uniform(second, x.shape) < jnp.exp(-0.5 * stiffness * (proposed**2 - x**2))
        return jnp.where(taken, proposed, x), None

    return jnp.mean(lax.scan(step, jnp.zeros(256), jax.random.split(KEY, 1000))[0] ** 2)


def queue(rate: Any) -> Any:
    """Waiting times in 200 queues of 2000 customers."""
    gaps, work = jax.random.exponential(KEY, (2, 2000, 200))
    step = lambda wait, now: (jnp.maximum(wait + now[1] - now[0] / rate, 0.0), wait)
    return jnp.mean(lax.scan(step, jnp.zeros(200), (gaps, work))[1])


def barrier(volatility: Any) -> Any:
    """A call on 2000 paths of 252 days, which is lost above a barrier."""
    days = -0.5 * volatility**2 / 252 + volatility / 252**0.5 * jax.random.normal(KEY, (252, 2000))
    path = 100 * jnp.exp(jnp.cumsum(days, axis=0))
    return jnp.mean(jnp.where(jnp.max(path, axis=0) < 130, jnp.maximum(path[-1] - 100, 0.0), 0.0))


def readout(gain: Any) -> Any:
    """2000 events in 64 channels, digitised, with a threshold."""
    charge, noise = jax.random.normal(KEY, (2, 2000, 64))
    digits = jnp.floor(100 * (gain * jnp.abs(charge) + 0.1 * noise))
    return jnp.mean(jnp.where(digits > 30, digits, 0.0) ** 2)


def rows() -> Iterator[Row]:
    """Smooth programs, which the goal is for, and programs with edges, which cost more by the edge."""
    atoms = 1.2 * jnp.stack(jnp.meshgrid(*[jnp.arange(8.0)] * 3), -1).reshape(-1, 3)
    atoms += 0.05 * jax.random.normal(KEY, atoms.shape)
    one = jnp.asarray(1.0)
    yield _row(diffusion, one)
    yield _row(orbit, one)
    yield _row(network, 0.1 * jax.random.normal(KEY, (4, 64, 64)))
    yield _row(lennard_jones, atoms)
    yield _row(smooth_counts, one)
    yield _row(queue, 0.8 * one)
    yield _row(barrier, 0.2 * one)
    for function, at in ((truncated, atoms), (counts, one), (metropolis, one), (readout, one)):
        yield _row(function, at)


def _row(function: Callable, at: Any) -> Row:
    compiled = jax.jit(lambda x, v: jax.jvp(function, (x,), (v,)))

    def derivative() -> Any:
        # In the precision that the linter works in.
        with jax.enable_x64(True):
            return compiled(double, double)

    with jax.enable_x64(True):
        double = at.astype(jnp.float64)
    times = Times({"lint": lambda: lint(function, at), "jvp": derivative}, rounds=3, repeats=1)
    found = ", ".join(finding.severity for finding in lint(function, at)) or "nothing"
    row = times.at_most(f"a later `lint` of {function.__name__} over one jvp", "lint", "jvp", GOAL)
    row.measured += f"; found: {found}"
    return row
