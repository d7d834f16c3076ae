"""Dual numbers: how automatic differentiation works, by hand, on a step of Euler's method.

A number u travels with its derivative u' as (u, u'): (u, u') + (v, v') = (u + v, u' + v') and (u, u') (v, v') = (u v, u' v +
u v'). The decay y' = -p y^2 makes the step y1 = y0 - h p y0^2; started from (p, 1), (y0, 0) and (h, 0) it ends with
(y0 - h p y0^2, -h y0^2), and nobody has differentiated anything (Wengert, Commun. ACM 7, 463 (1964)).

It is the derivative of the scheme. The equation has y = y0 / (1 + p y0 T) and dy/dp = -y0^2 T / (1 + p y0 T)^2, from which many
steps differ in the first order of h: exact differentiation does not mend a coarse simulation.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from _page import plot
from rich.console import Console
from rich.table import Table

import pliant

P, Y0, H, T = 0.7, 2.0, 0.1, 2.0


@dataclasses.dataclass(frozen=True)
class Dual:
    """A value and its derivative by one parameter."""

    value: float
    slope: float = 0.0

    def __add__(self, other: "Dual") -> "Dual":
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other: "Dual") -> "Dual":
        return Dual(self.value * other.value, self.slope * other.value + self.value * other.slope)

    def __neg__(self) -> "Dual":
        return Dual(-self.value, -self.slope)


def by_hand() -> list[tuple[str, Dual, str]]:
    """One step: what is computed, as a dual number, and its derivative in letters."""
    p, y0, h = Dual(P, 1.0), Dual(Y0), Dual(H)
    square = y0 * y0
    rate = p * square
    change = -(h * rate)
    return [
        ("p", p, "1"),
        ("y0^2", square, "0"),
        ("p y0^2", rate, "y0^2"),
        ("-h p y0^2", change, "-h y0^2"),
        ("y1 = y0 - h p y0^2", y0 + change, "-h y0^2"),
    ]


def decayed(p: Dual, steps: int, time: float = T) -> Dual:
    """y after `steps` steps: the same code serves numbers and dual numbers."""
    y, h = Dual(Y0), Dual(time / steps)
    for _ in range(steps):
        y = y + -(h * p * y * y)
    return y


def decayed_in_jax(p: jax.Array, steps: int) -> jax.Array:
    return jax.lax.fori_loop(0, steps, lambda _, y: y - T / steps * p * y * y, jnp.asarray(Y0, p.dtype))


def exact(time: float | np.ndarray = T) -> float | np.ndarray:
    return -(Y0**2) * time / (1 + P * Y0 * time) ** 2


def show_steps() -> None:
    table = Table("expression", "value", "derivative by p", "in letters")
    for expression, number, letters in by_hand():
        table.add_row(expression, f"{number.value:.6g}", f"{number.slope:.6g}", letters)
    Console(width=120).print(table)


def main() -> None:
    show_steps()
    last = by_hand()[-1][1]
    assert last.value == Y0 - H * P * Y0**2 and np.isclose(last.slope, -H * Y0**2, rtol=1e-15)
    # Every operation has a derivative: there is nothing for the linter to find.
    assert not pliant.lint(lambda p: decayed_in_jax(p, 20), P).findings
    table, errors = Table("steps", "dual numbers", "jax.jvp", "off the equation's"), []
    for steps in (20, 40, 80, 160):
        ours = decayed(Dual(P, 1.0), steps)
        value, slope = jax.jvp(lambda p, steps=steps: decayed_in_jax(p, steps), (jnp.array(P),), (jnp.array(1.0),))
        errors.append(ours.slope - exact())
        table.add_row(str(steps), f"{ours.slope:.8f}", f"{slope:.8f}", f"{errors[-1]:.2e}")
        # The same to rounding, that of the precision JAX runs in.
        rounding = 4 * steps * jnp.finfo(slope.dtype).eps
        assert abs(ours.slope - slope) < rounding and abs(ours.value - value) < rounding
    Console(width=120).print(table)
    print(f"exact derivative of the equation: {exact():.8f}")
    # First order: half the step, half the error, up to the second order.
    assert all(abs(coarse / fine - 2) < 0.1 for coarse, fine in zip(errors, errors[1:], strict=False))
    times = np.linspace(0.1, 4.0, 40)
    curves = {f"{n} steps": [decayed(Dual(P, 1.0), n, t).slope for t in times] for n in (8, 16, 64)}
    plot("dual_numbers", "dy/dp of a decay at time T", times.tolist(), {**curves, "exact": exact(times).tolist()}, "T")


if __name__ == "__main__":
    main()
