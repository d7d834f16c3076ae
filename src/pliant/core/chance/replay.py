"""Runs of a program that list what could have come out otherwise, and runs with one draw swapped.

Everything random in a JAX program is a function of keys, so that a second run with the same keys is the same run, but for
what follows from the draw that was swapped: the coupling that makes differences of the two small comes for free.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pliant.core.chance.chains import Source
from pliant.core.chance.events import Digit, Drawn, Edge, Noise, Threshold
from pliant.core.chance.interpreter import Interpreter

# By how many roundings two ways to the same uniform may differ.
_ROUNDING = 16
# What is folded into a draw's key for the numbers that its alternatives need.
_FRESH = 0x5EA


class Units(eqx.Module):
    r"""What could have come out otherwise: $\sum_j \partial a_j\,(f(\text{plus}_j) - f(\text{minus}_j))$; arrays of one axis.

    **Fields**: `site`, `iteration`, `element`: which draw; `drawn`: what came out; `plus`, `minus`: what takes its place;
    `amplitude` $a_j$; `noise_...`: the uniform that is moved to where it switches the comparison (site -1: none).
    """

    site: Int[Array, " n"]
    iteration: Int[Array, " n"]
    element: Int[Array, " n"]
    drawn: Int[Array, " n"]
    plus: Int[Array, " n"]
    minus: Int[Array, " n"]
    amplitude: Float[Array, " n"]
    noise_site: Int[Array, " n"]
    noise_iteration: Int[Array, " n"]
    noise_element: Int[Array, " n"]
    noise_uniform: Float[Array, " n"]


class Swap(eqx.Module):
    """One draw and what takes its place: scalars, as in `Units`."""

    site: Int[Array, ""]
    iteration: Int[Array, ""]
    element: Int[Array, ""]
    value: Int[Array, ""]
    noise_site: Int[Array, ""]
    noise_iteration: Int[Array, ""]
    noise_element: Int[Array, ""]
    noise_uniform: Float[Array, ""]


class Recorder(Interpreter):
    """Lists what could have come out otherwise; `weak`: by pairs of a weak derivative."""

    weak: bool = False

    def taped(self, draw: Callable[[], Any]) -> Any:
        self.tape.append(draw())
        return self.tape[-1]

    def keep_tape(self, numbers: list[Any]) -> None:
        if self.taping:
            self.tape.append(numbers)

    def at_draw(self, drawn: Drawn) -> Any:
        family, count = drawn.family, drawn.value.shape[0]
        alternatives = family.weak if self.weak else family.swaps
        keys = jax.vmap(lambda key: jax.random.fold_in(key, _FRESH))(drawn.key)
        plus, minus, amplitude = jax.vmap(alternatives)(keys, drawn.value, *drawn.parameters)
        element = jnp.arange(count, dtype=jnp.int32)
        wide = lambda array: jnp.broadcast_to(array[:, None], plus.shape)
        self._write(drawn, wide(element), wide(drawn.value), plus, minus, amplitude, (-1, 0, 0, 0.0))
        return drawn.value

    def at_digit(self, digit: Digit) -> Any:
        k = digit.value
        self._edge(digit, k, k - 1, digit.low)
        self._edge(digit, k + 1, k, digit.high)
        return k

    def _edge(self, digit: Digit, plus: Any, minus: Any, edge: Edge) -> None:
        element = jnp.arange(plus.shape[0], dtype=jnp.int32)
        possible = edge.beside > 0
        amplitude = jnp.where(possible, edge.above / jnp.where(possible, edge.beside, 1.0), 0.0)
        self._write(digit, element, digit.value, plus, minus, amplitude, _moved(digit.noise, edge.uniform))

    def at_threshold(self, threshold: Threshold) -> Any:
        value = threshold.value.astype(jnp.int32)
        element, one, zero = jnp.arange(value.shape[0], dtype=jnp.int32), jnp.ones_like(value), jnp.zeros_like(value)
        self._write(threshold, element, value, one, zero, threshold.chance, _moved(threshold.noise, threshold.uniform))
        return threshold.value

    def _write(
        self,
        met: Drawn | Threshold | Digit,
        element: Any,
        drawn: Any,
        plus: Any,
        minus: Any,
        amplitude: Any,
        noise: tuple,
    ) -> None:
        whole = lambda x: jnp.broadcast_to(jnp.asarray(x, jnp.int32), amplitude.shape).reshape(-1)
        *place, uniform = noise
        columns: list[Any] = [
            *map(whole, (met.site, met.iteration, element, drawn, plus, minus)),
            amplitude.reshape(-1),
        ]
        columns += map(whole, place)
        columns.append(jnp.broadcast_to(jnp.asarray(uniform, amplitude.dtype), amplitude.shape).reshape(-1))
        fields = [field.name for field in dataclasses.fields(Units)]
        self.book.append(Units(**dict(zip(fields, columns, strict=True))))


def _moved(noise: Noise, uniform: Any) -> tuple:
    """Which number of the noise is put where."""
    return noise.source.site, noise.iteration, noise.element, jax.lax.stop_gradient(uniform)


class WeakRecorder(Recorder):
    """Lists pairs of weak derivatives."""

    weak = True


class Scorer(Interpreter):
    """Lists the log probabilities of what came out."""

    def at_draw(self, drawn: Drawn) -> Any:
        self.book.append(jax.vmap(drawn.family.log_probability)(drawn.value, *drawn.parameters))
        return drawn.value

    def at_threshold(self, threshold: Threshold) -> Any:
        self._note(jnp.where(threshold.value, threshold.chance, 1 - threshold.chance))
        return threshold.value

    def at_digit(self, digit: Digit) -> Any:
        self._note(digit.chance)
        return digit.value

    def _note(self, chance: Any) -> None:
        possible = chance > 0
        self.book.append(jnp.where(possible, jnp.log(jnp.where(possible, chance, 1.0)), 0.0))


class Swapper(Interpreter):
    """Runs the program with one draw swapped, its other numbers from the tape of the run before."""

    def __init__(self, swap: Swap, tape: list[Any], *arguments: Any):
        super().__init__(*arguments)
        self.swap, self.tape = swap, list(tape)

    def taped(self, draw: Callable[[], Any]) -> Any:
        return self.tape.pop(0)

    def tape_of_loop(self) -> list[Any]:
        return self.tape.pop(0) if self.taping else []

    def at_draw(self, drawn: Drawn) -> Any:
        return self._swapped(drawn, drawn.value)

    def at_threshold(self, threshold: Threshold) -> Any:
        """Where the noise was moved, its thresholds are met in order: see `_past`."""
        past, _ = self._past(threshold, threshold.uniform)
        value = jnp.where(self._hangs_on(threshold.noise), past == threshold.rises, threshold.value)
        return self._swapped(threshold, value)

    def at_digit(self, digit: Digit) -> Any:
        value, hangs = digit.value, self._hangs_on(digit.noise)
        for edge, above in ((digit.low, 0), (digit.high, 1)):
            past, met = self._past(digit, edge.uniform)
            value = jnp.where(hangs & met, digit.value + above - jnp.where(past == digit.rises, 0, 1), value)
        return self._swapped(digit, value)

    def _hangs_on(self, noise: Noise) -> Any:
        """Which elements are functions of the number that was moved."""
        here = (self.swap.noise_site == noise.source.site) & (self.swap.noise_iteration == noise.iteration)
        return here & (self.swap.noise_element == noise.element)

    def _past(self, met: Threshold | Digit, uniform: Any) -> tuple[Any, Any]:
        """Whether the number that was moved lies above these uniforms, and whether it lies at them.

        Several places may switch at once, as where a program compares twice. They are passed one after the other, in the
        order of the program: the changes of all of them then add up to the change from below to above.
        """
        moved = self.swap.noise_uniform.astype(uniform.dtype)
        at = jnp.abs(uniform - moved) <= _ROUNDING * jnp.finfo(uniform.dtype).eps * moved
        element = jnp.arange(uniform.shape[0], dtype=jnp.int32)
        same_pass = (met.iteration == self.swap.iteration) & (element < self.swap.element)
        earlier = (met.iteration < self.swap.iteration) | same_pass
        before = (met.site < self.swap.site) | ((met.site == self.swap.site) & earlier)
        return jnp.where(at, before, moved > uniform), at

    def _swapped(self, met: Any, value: Any) -> Any:
        here = (self.swap.site == met.site) & (self.swap.iteration == met.iteration)
        at = here & (self.swap.element == jnp.arange(value.shape[0], dtype=jnp.int32))
        return jnp.where(at, self.swap.value.astype(value.dtype), value)

    def at_uniform(self, source: Source, uniform: Any, element: Any) -> Any:
        here = (self.swap.noise_site == source.site) & (self.swap.noise_iteration == source.iteration)
        numbers = jnp.arange(uniform.size, dtype=jnp.int32).reshape(uniform.shape)
        return jnp.where(here & (self.swap.noise_element == numbers), element, uniform)

    def _moved(self, drawn: Any) -> Any:
        return jnp.full_like(drawn, self.swap.noise_uniform)
