"""The loop: a trajectory of one replica as nested scans, its noise drawn block by block.

Outer loops walk over blocks of steps; each block draws its noise at once (cheap: XLA vectorises over the block) and
an inner loop walks over its steps. Under reverse mode a block is a checkpoint: only its first state is kept, and its
noise is drawn again. An estimator is handed a `Rollout` and never writes a loop of its own.
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt32

from pliant.core.laws import Evolve, State
from pliant.core.noise import NoiseSource
from pliant.core.observable import Observable
from pliant.core.trees import state_dtype, strong

Start = Callable[[Evolve, State], PyTree]
Update = Callable[..., PyTree]


class Rollout(eqx.Module):
    """One replica's trajectory, ready to be run under any law with the same noise.

    **Fields**: `key`, `replica`: what the noise is a function of, beside the step; `horizon` steps; `block`: steps per
    draw of noise, a matter of speed alone; `generator`: "fused" or "jax".
    """

    key: PRNGKeyArray
    replica: UInt32[Array, ""]
    horizon: int = eqx.field(static=True)
    block: int = eqx.field(static=True, default=50)
    generator: str = eqx.field(static=True, default="fused")

    def __call__(
        self, law: Evolve, observable: Observable, *, checkpoint: bool = False, stream: Any = 0
    ) -> Float[Array, "*shape"]:
        """The observable of one trajectory of `law`.

        `checkpoint` bounds the memory of reverse mode by about the square root of the horizon, for one more forward
        run. Equal `stream` means the same noise and initial draw: common random numbers.
        """
        return observable.result(self.carry(law, observable, checkpoint=checkpoint, stream=stream))

    def carry(self, law: Evolve, observable: Observable, *, checkpoint: bool = False, stream: Any = 0) -> PyTree:
        """The observable's final carry, before `result`."""

        def update(carry: PyTree, law: Evolve, state: State, noise: PyTree, next_state: State, t: Any) -> PyTree:
            return observable.update(carry, law, next_state, t + 1)

        return self.fold(law, observable.start, update, checkpoint=checkpoint, stream=stream)

    def fold(
        self,
        law: Evolve,
        start: Start,
        update: Update,
        *,
        after_block: Callable[[PyTree], PyTree] = lambda carry: carry,
        checkpoint: bool = False,
        stream: Any = 0,
    ) -> PyTree:
        """The general fold: `carry = start(law, x_0)`, then `carry = update(carry, law, x_t, w_t, x_{t+1}, t)`.

        `after_block`: what is done to the carry once per block of steps rather than at every step.
        """
        key = jax.random.fold_in(self.key, stream)
        state = strong(law.init(jax.random.fold_in(jax.random.fold_in(key, 1), self.replica)))
        source = NoiseSource(law.noise, key, self.replica, state_dtype(state), self.generator)
        streams = source.streams()
        block = -(-self.block // source.group) * source.group

        def advance(carry: PyTree, noise: PyTree, t: Any) -> PyTree:
            state, folded = carry
            # Results of mixed weak types would change the loop's carry.
            next_state = strong(law.step(state, noise, t))
            return next_state, strong(update(folded, law, state, noise, next_state, t))

        if checkpoint:
            advance = jax.checkpoint(advance)

        def run_block(carry: PyTree, first: Any, steps: int) -> PyTree:
            groups = -(-steps // source.group)
            raw = source.blocks(streams, first // source.group, groups)
            state, folded = _scan_groups(advance, source, carry, raw, first, steps)
            return state, strong(after_block(folded))

        carry = (state, strong(start(law, state)))
        whole, rest = divmod(self.horizon, block)
        carry = _scan_blocks(lambda c, first: run_block(c, first, block), carry, whole, block, checkpoint)
        if rest:
            last = jax.checkpoint(run_block, static_argnums=2) if checkpoint else run_block
            carry = last(carry, jnp.int32(whole * block), rest)
        return carry[1]


def _scan_groups(advance: Callable, source: NoiseSource, carry: PyTree, raw: list, first: Any, steps: int) -> PyTree:
    """Walk over the steps of a block; a group's steps stand one after another in the loop's body."""

    def body(carry: PyTree, group: tuple) -> tuple[PyTree, None]:
        raw, t = group
        for position in range(source.group):
            carry = advance(carry, source.unpack(raw, position), t + position)
        return carry, None

    whole, rest = divmod(steps, source.group)
    times = first + source.group * jnp.arange(whole, dtype=jnp.int32)
    carry, _ = lax.scan(body, carry, ([array[:whole] for array in raw], times), length=whole)
    for position in range(rest):
        noise = source.unpack([array[whole] for array in raw], position)
        carry = advance(carry, noise, first + whole * source.group + position)
    return carry


def _scan_blocks(run: Callable, carry: PyTree, blocks: int, block: int, checkpoint: bool) -> PyTree:
    """Walk over whole blocks, nested once more where a single level of checkpoints would hold too many states."""

    def body(carry: PyTree, first: Any) -> tuple[PyTree, None]:
        return run(carry, first), None

    def walk(carry: PyTree, firsts: Array) -> tuple[PyTree, None]:
        return lax.scan(jax.checkpoint(body) if checkpoint else body, carry, firsts)

    firsts = block * jnp.arange(blocks, dtype=jnp.int32)
    if not checkpoint or blocks <= 4 * block:
        return walk(carry, firsts)[0]
    width = math.isqrt(blocks)
    nested = blocks // width * width
    carry, _ = lax.scan(jax.checkpoint(walk), carry, firsts[:nested].reshape(-1, width))
    return walk(carry, firsts[nested:])[0]


def block_length(horizon: int, numbers_per_step: int, replicas: int) -> int:
    """Steps per block such that a block's noise stays in a core's cache, dividing the horizon where one does."""
    # Measured on CPUs: from 10 steps a block on, more are no better. Eight blocks at least: what is done once per
    # block, such as marking the first half of a trajectory, needs to be near enough to its place.
    most = int(min(max(60_000 // max(numbers_per_step * replicas, 1), 8), 64, max(horizon // 8, 2)))
    divisors = [s for s in range(most, most // 2, -1) if horizon % s == 0 and s % 2 == 0]
    return divisors[0] if divisors else most + most % 2
