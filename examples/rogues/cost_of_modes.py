"""The cost of a gradient: forward mode and differences pay for every parameter, reverse mode once for all of them.

A ring of N nonlinear springs, each with a stiffness of its own, swings for a few steps; the gradient of its final energy by
all N stiffnesses. Forward mode runs once with one dual number a parameter, differences N + 1 times, and reverse mode runs
once forward and once back: never more than a small multiple of the function, whatever N (Baur and Strassen, Theor. Comput.
Sci. 22, 317 (1983); Griewank and Walther, Evaluating Derivatives (2008), section 4.6, for the bounds).

Counted are the operations of the programs that XLA is given. Seconds are shown too, and decide nothing: they depend on the
machine, and on how well a batch of dual numbers fills it.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from _page import plot
from rich.console import Console
from rich.table import Table

import pliant

COUNTS, STEPS, DT = np.array([4, 32, 256]), 3, 0.1


def energy(stiffness: jax.Array) -> jax.Array:
    """What is left in the springs of a ring after some steps."""
    stretch, velocity = jnp.ones_like(stiffness), jnp.zeros_like(stiffness)
    for _ in range(STEPS):
        force = -stiffness * (stretch + stretch**3)
        velocity = velocity + DT * (2 * force - jnp.roll(force, 1) - jnp.roll(force, -1))
        stretch = stretch + DT * velocity
    return jnp.sum(velocity**2 + stiffness * stretch**2) / 2


def differences(stiffness: jax.Array) -> jax.Array:
    step = 1e-3
    runs = jax.vmap(energy)(stiffness + step * jnp.eye(len(stiffness), dtype=stiffness.dtype))
    return (runs - energy(stiffness)) / step


WAYS: dict[str, Callable] = {
    "finite differences": differences,
    "forward mode": jax.jacfwd(energy),
    "reverse mode": jax.grad(energy),
}


def operations(function: Callable, argument: jax.Array) -> float:
    return jax.jit(function).lower(argument).cost_analysis()["flops"]


def seconds(function: Callable, argument: jax.Array, repeats: int = 10) -> float:
    """The fastest of some runs."""
    compiled = jax.jit(function)
    compiled(argument).block_until_ready()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        compiled(argument).block_until_ready()
        found.append(time.perf_counter() - started)
    return min(found)


def relative(measure: Callable) -> dict[str, np.ndarray]:
    """What each way costs in units of the function itself, for every number of parameters."""
    arguments = [jnp.linspace(1.0, 2.0, count) for count in COUNTS]
    alone = np.array([measure(energy, argument) for argument in arguments])
    return {name: np.array([measure(way, argument) for argument in arguments]) / alone for name, way in WAYS.items()}


def show_costs(counted: dict[str, np.ndarray], measured: dict[str, np.ndarray]) -> None:
    table = Table("in units of the function", *(f"N = {count}" for count in COUNTS))
    for what, costs in (("operations", counted), ("seconds", measured)):
        for name, values in costs.items():
            table.add_row(f"{name}, {what}", *(f"{value:.1f}" for value in values))
    Console(width=120).print(table)


def main() -> None:
    stiffness = jnp.linspace(1.0, 2.0, 16)
    assert not pliant.lint(energy, stiffness).findings
    gradients = {name: jax.jit(way)(stiffness) for name, way in WAYS.items()}
    np.testing.assert_allclose(gradients["forward mode"], gradients["reverse mode"], rtol=1e-4)
    np.testing.assert_allclose(gradients["finite differences"], gradients["reverse mode"], atol=2e-2)
    counted = relative(operations)
    show_costs(counted, relative(seconds))
    forward, reverse, differenced = (counted[name] for name in ("forward mode", "reverse mode", "finite differences"))
    # Each further parameter costs as much as the one before, and at least one run; in reverse mode nothing.
    for costs in (forward, differenced):
        each = np.diff(costs) / np.diff(COUNTS)
        assert np.all((each > 1) & (each < 3)) and np.ptp(each) < 0.02
    assert np.all(reverse < 5) and np.ptp(reverse) < 0.1
    curves = {name: values.tolist() for name, values in counted.items()}
    plot("cost_of_modes", "The cost of a gradient by N parameters", COUNTS.tolist(), curves, "N",
         "operations / those of the function", logarithmic="xy")  # fmt: skip


if __name__ == "__main__":
    main()
