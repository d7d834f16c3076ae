"""Steps in blocks of noise: walked forward, and backward with the same noise drawn again.

Outer loops walk over blocks of steps; each block draws its noise at once (cheap: XLA vectorises over the block) and
an inner loop walks over its steps.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PyTree

from pliant.core.noise import NoiseSource, Streams

Step = Callable[[PyTree, PyTree, Any], PyTree]


class Blocks(eqx.Module):
    """The steps of one replica: what is done at a step is a function `(carry, noise, t) -> carry`.

    **Fields**: `source` of the noise and its `streams`; `block`: steps per draw, a multiple of the source's group.
    First steps must be multiples of that group.
    """

    source: NoiseSource
    streams: list[Streams]
    block: int = eqx.field(static=True)

    def walk(
        self,
        advance: Step,
        carry: PyTree,
        steps: int,
        first: Any = 0,
        *,
        after_block: Callable[[PyTree], PyTree] = lambda carry: carry,
        checkpoint: bool = False,
    ) -> PyTree:
        """The carry after `steps` steps from step `first` on; under reverse mode a block may be a checkpoint."""
        if checkpoint:
            advance = jax.checkpoint(advance)

        def run_block(carry: PyTree, begin: Any, length: int) -> PyTree:
            return after_block(self._forward(advance, carry, begin, length))

        whole, rest = divmod(steps, self.block)
        levels = 0 if not checkpoint else 1 if whole <= 4 * self.block else 2
        carry = _scan_blocks(
            lambda c, begin: run_block(c, begin, self.block), carry, self._begins(first, whole), levels
        )
        if rest:
            last = jax.checkpoint(run_block, static_argnums=2) if checkpoint else run_block
            carry = last(carry, jnp.int32(first + whole * self.block), rest)
        return carry

    def walk_back(
        self,
        rebuild: Step,
        retreat: Callable,
        carry: tuple[PyTree, PyTree],
        steps: int,
        first: Any,
        *,
        at_once: bool = False,
    ) -> tuple[PyTree, PyTree]:
        """A state and what rides along, after the same steps taken in reverse order, the last one first.

        `rebuild(state, noise, t)` is the state before a step, `retreat(riding, before, after, noise, t)` what rides along
        there. A block's states are rebuilt first, and kept until what rides along has passed; or step by step, `at_once`.
        """
        whole, rest = divmod(steps, self.block)
        backward = self._backward_at_once if at_once else self._backward
        if rest:
            carry = backward(rebuild, retreat, carry, first + whole * self.block, rest)

        def body(carry: tuple, begin: Any) -> tuple[tuple, None]:
            return backward(rebuild, retreat, carry, begin, self.block), None

        return lax.scan(body, carry, self._begins(first, whole), reverse=True)[0]

    def _begins(self, first: Any, whole: int) -> Array:
        return first + self.block * jnp.arange(whole, dtype=jnp.int32)

    def _forward(self, advance: Step, carry: PyTree, begin: Any, steps: int) -> PyTree:
        """Walk over the steps of a block; a group's steps stand one after another in the loop's body."""
        groups, last = self._draw(begin, steps)

        def body(carry: PyTree, group: tuple[list, Any]) -> tuple[PyTree, None]:
            for noise, t in self._steps(*group, self.source.group):
                carry = advance(carry, noise, t)
            return carry, None

        carry, _ = lax.scan(body, carry, groups)
        for noise, t in last:
            carry = advance(carry, noise, t)
        return carry

    def _backward(self, rebuild: Step, retreat: Callable, carry: tuple, begin: Any, steps: int) -> tuple:
        groups, last = self._draw(begin, steps)
        state, riding = _back(rebuild, retreat, carry, last)

        def walk(state: PyTree, group: tuple[list, Any]) -> tuple[PyTree, list]:
            visited = [state]
            for noise, t in reversed(list(self._steps(*group, self.source.group))):
                visited.append(rebuild(visited[-1], noise, t))
            return visited[-1], visited[:0:-1]

        def ride(carry: tuple, xs: tuple[tuple[list, Any], list]) -> tuple[tuple, None]:
            (after, riding), (group, befores) = carry, xs
            for (noise, t), before in reversed(list(zip(self._steps(*group, self.source.group), befores, strict=True))):
                after, riding = before, retreat(riding, before, after, noise, t)
            return (after, riding), None

        _, befores = lax.scan(walk, state, groups, reverse=True)
        return lax.scan(ride, (state, riding), (groups, befores), reverse=True)[0]

    def _backward_at_once(self, rebuild: Step, retreat: Callable, carry: tuple, begin: Any, steps: int) -> tuple:
        groups, last = self._draw(begin, steps)

        def body(carry: tuple, group: tuple[list, Any]) -> tuple[tuple, None]:
            return _back(rebuild, retreat, carry, list(self._steps(*group, self.source.group))), None

        return lax.scan(body, _back(rebuild, retreat, carry, last), groups, reverse=True)[0]

    def _draw(self, begin: Any, steps: int) -> tuple[tuple[list, Any], list]:
        """The noise of a block: whole groups with their times, and the steps of what is left, one by one."""
        group = self.source.group
        raw = self.source.blocks(self.streams, begin // group, -(-steps // group))
        whole, rest = divmod(steps, group)
        times = begin + group * jnp.arange(whole, dtype=jnp.int32)
        left = self._steps([array[whole] for array in raw], begin + whole * group, rest) if rest else ()
        return ([array[:whole] for array in raw], times), list(left)

    def _steps(self, raw: list[Array], t: Any, count: int) -> Iterator[tuple[PyTree, Any]]:
        for position in range(count):
            yield self.source.unpack(raw, position), t + position


def _back(rebuild: Step, retreat: Callable, carry: tuple, steps: list[tuple[PyTree, Any]]) -> tuple:
    """The state and what rides along before these steps, the last of them undone first."""
    after, riding = carry
    for noise, t in reversed(steps):
        before = rebuild(after, noise, t)
        after, riding = before, retreat(riding, before, after, noise, t)
    return after, riding


def _scan_blocks(run: Callable, carry: PyTree, begins: Array, levels: int) -> PyTree:
    """Walk over whole blocks with no checkpoints, one level of them, or two where one would hold too many states."""

    def body(carry: PyTree, begin: Any) -> tuple[PyTree, None]:
        return run(carry, begin), None

    def walk(carry: PyTree, begins: Array) -> tuple[PyTree, None]:
        return lax.scan(jax.checkpoint(body) if levels else body, carry, begins)

    if levels < 2:
        return walk(carry, begins)[0]
    width = math.isqrt(len(begins))
    nested = len(begins) // width * width
    carry, _ = lax.scan(jax.checkpoint(walk), carry, begins[:nested].reshape(-1, width))
    return walk(carry, begins[nested:])[0]
