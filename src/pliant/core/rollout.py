"""The loop: a trajectory of one replica as nested scans, its noise drawn block by block.

Under reverse mode a block is a checkpoint: only its first state is kept, and its noise is drawn again. An estimator is
handed a `Rollout` and never writes a loop of its own.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt32

from pliant.core.blocks import Blocks
from pliant.core.laws import Evolve, State
from pliant.core.noise import NoiseSource
from pliant.core.observable import Observable
from pliant.core.trees import state_dtype, strong

Start = Callable[[Evolve, State], PyTree]
Update = Callable[..., PyTree]


class Rollout(eqx.Module):
    """One replica's trajectory, ready to be run under any law with the same noise.

    **Fields**: `key`, `replica`: what the noise is a function of, beside the step; `horizon` steps; `block`: steps per
    draw of noise, a matter of speed alone; `generator`: "fused" or "jax"; `marked`: whether a program
    shows which of its numbers are noise.
    """

    key: PRNGKeyArray
    replica: UInt32[Array, ""]
    horizon: int = eqx.field(static=True)
    block: int = eqx.field(static=True, default=50)
    generator: str = eqx.field(static=True, default="fused")
    marked: bool = eqx.field(static=True, default=False)

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
        if observable.last_only:
            state, _ = self._run(law, _nothing, _nothing, checkpoint=checkpoint, stream=stream)
            return strong(observable.update(None, law, state, self.horizon))

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
        return self._run(law, start, update, after_block=after_block, checkpoint=checkpoint, stream=stream)[1]

    def _run(
        self,
        law: Evolve,
        start: Start,
        update: Update,
        *,
        after_block: Callable[[PyTree], PyTree] = lambda carry: carry,
        checkpoint: bool = False,
        stream: Any = 0,
    ) -> tuple[State, PyTree]:
        """The last state and the final carry of the fold."""
        law = law.prepared()
        state = self.initial(law, stream)

        def advance(carry: PyTree, noise: PyTree, t: Any) -> PyTree:
            state, folded = carry
            # Results of mixed weak types would change the loop's carry.
            next_state = strong(law.step(state, noise, t))
            return next_state, strong(update(folded, law, state, noise, next_state, t))

        return self.blocks(law, state, stream).walk(
            advance,
            (state, strong(start(law, state))),
            self.horizon,
            after_block=lambda carry: (carry[0], strong(after_block(carry[1]))),
            checkpoint=checkpoint,
        )

    def initial(self, law: Evolve, stream: Any = 0) -> State:
        """The initial state."""
        key = jax.random.fold_in(jax.random.fold_in(self.key, stream), 1)
        return strong(law.init(jax.random.fold_in(key, self.replica)))

    def blocks(self, law: Evolve, state: State, stream: Any = 0) -> Blocks:
        """The steps with their noise, for states like `state`."""
        key = jax.random.fold_in(self.key, stream)
        source = NoiseSource(law.noise, key, self.replica, state_dtype(state), self.generator, self.marked)
        return Blocks(source, source.streams(), -(-self.block // source.group) * source.group)


def _nothing(*_: Any) -> tuple[()]:
    return ()


def block_length(horizon: int, numbers_per_step: int, replicas: int) -> int:
    """Steps per block such that a block's noise stays in a core's cache, dividing the horizon where one does."""
    # Measured on CPUs: from 10 steps a block on, more are no better. Eight blocks at least: what is done once per
    # block, such as marking the first half of a trajectory, needs to be near enough to its place.
    most = int(min(max(60_000 // max(numbers_per_step * replicas, 1), 8), 64, max(horizon // 8, 2)))
    divisors = [s for s in range(most, most // 2, -1) if horizon % s == 0 and s % 2 == 0]
    return divisors[0] if divisors else most + most % 2
