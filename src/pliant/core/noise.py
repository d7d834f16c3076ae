"""Noise that a law declares and the engine draws: a pure function of (key, replica, step).

A law declares its noise instead of drawing it. From that one declaration come pathwise derivatives (the noise is
held), common random numbers (the same noise twice), reversal (the noise drawn again) and speed (drawn in blocks).
"""

import abc
import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree, UInt32

from pliant.core import random
from pliant.core.chance.recognised import recognised
from pliant.core.fusion import once

# Steps of a law with little noise are drawn in pairs, so that no half of a pair of normals is thrown away.
_ALWAYS_WHOLE = 32

Streams = tuple[random.Words, ...]


class Noise(eqx.Module):
    """A block of independent random numbers per step, of one fixed law without parameters.

    `dtype=None` takes the dtype of the law's state. `law`: what its numbers are called where they are marked in a program.
    """

    law: ClassVar[str]

    shape: tuple[int, ...] = eqx.field(static=True, default=())
    dtype: Any = eqx.field(static=True, default=None)

    @property
    def size(self) -> int:
        """How many random numbers a step takes."""
        return math.prod(self.shape)

    @abc.abstractmethod
    def pair(self, first: random.Words, second: random.Words, dtype: jnp.dtype) -> Array:
        """Two variates from random words, as the parts of one complex number."""

    @abc.abstractmethod
    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        """The same law from `jax.random`."""


class Normal(Noise):
    """Independent standard normals."""

    law: ClassVar[str] = "normal"

    def pair(self, first: random.Words, second: random.Words, dtype: jnp.dtype) -> Array:
        return random.normal_pair(first, second, dtype)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        return jax.random.normal(key, shape, dtype)


class Uniform(Noise):
    """Independent uniforms on (0, 1)."""

    law: ClassVar[str] = "uniform"

    def pair(self, first: random.Words, second: random.Words, dtype: jnp.dtype) -> Array:
        return random.uniform_pair(first, second, dtype)

    def draw(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: jnp.dtype) -> Array:
        return jax.random.uniform(key, shape, dtype)


def declared(noise: PyTree) -> list[Noise]:
    """The declarations in a law's `noise`."""
    return jax.tree.leaves(noise, is_leaf=_is_noise)


def draw_once(noise: PyTree, key: PRNGKeyArray, dtype: jnp.dtype) -> PyTree:
    """The noise of a single step from `jax.random`, for a look at a law outside of its loop."""
    leaves, structure = jax.tree.flatten(noise, is_leaf=_is_noise)
    kinds = [jnp.dtype(dtype if leaf.dtype is None else leaf.dtype) for leaf in leaves]
    drawn = [leaf.draw(jax.random.fold_in(key, i), leaf.shape, kinds[i]) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, drawn)


def _is_noise(node: Any) -> bool:
    return isinstance(node, Noise)


class NoiseSource(eqx.Module):
    """The noise of one replica, drawn for `group` steps at a time.

    **Fields**: `noise` the law's declaration; `dtype` for declarations that leave theirs open; `generator` "fused"
    (this library's counter-based generator) or "jax" (`jax.random`); `marked`: whether a program shows which numbers are
    noise, for an interpreter of it.
    """

    noise: PyTree
    key: PRNGKeyArray
    replica: UInt32[Array, ""]
    dtype: Any = eqx.field(static=True)
    generator: str = eqx.field(static=True, default="fused")
    marked: bool = eqx.field(static=True, default=False)

    @property
    def group(self) -> int:
        """Steps that share one draw: two where a step alone would waste half a pair."""
        sizes = [leaf.size for leaf in declared(self.noise)]
        return 2 if any(size % 2 and size < _ALWAYS_WHOLE for size in sizes) else 1

    def streams(self) -> list[Streams]:
        """The keys of every element of the noise: the same at all steps, so a loop computes them before it starts."""
        return [self._streams(index, leaf) for index, leaf in enumerate(declared(self.noise))]

    def blocks(self, streams: list[Streams], first_group: UInt32[Array, ""], groups: int) -> list[Array]:
        """Raw noise of `groups` consecutive groups: one array per declaration, its leading axis the group."""
        counters = jnp.asarray(first_group, jnp.uint32) + jnp.arange(groups, dtype=jnp.uint32)
        draw = self._plain if self.generator == "jax" else self._fused
        leaves = zip(declared(self.noise), streams, strict=True)
        return [draw(index, leaf, stream, counters) for index, (leaf, stream) in enumerate(leaves)]

    def unpack(self, raw: list[Array], position: int) -> PyTree:
        """The noise of one step of a group in the structure that the law declared."""
        leaves = [self._take(leaf, array, position) for leaf, array in zip(declared(self.noise), raw, strict=True)]
        return jax.tree.unflatten(jax.tree.structure(self.noise, is_leaf=_is_noise), leaves)

    def _streams(self, index: int, leaf: Noise) -> Streams:
        rows = jnp.arange(-(-self.group * leaf.size // 2), dtype=jnp.uint32)
        stream = random.words(jax.random.fold_in(self.key, index))
        # One key per element of the noise leaves both counter words free for the replica and the step.
        return tuple(random.threefry(stream, (jnp.full_like(rows, half), rows)) for half in (0, 1))

    def _fused(self, index: int, leaf: Noise, streams: Streams, counters: Array) -> Array:
        dtype = self._dtype(leaf)

        def draw(streams: Streams, counters: Array, replica: Array) -> Array:
            # What goes in and what comes out are kept apart from all around: fused into it, the generator is drawn anew in
            # everything that reads it, and chains of its words that a loop does not change cost LLVM exponential time.
            streams, counters, replica = lax.optimization_barrier((streams, counters, replica))
            counter = (replica[..., None], counters.reshape(-1, *(1,) * (replica.ndim + 1)))
            first = random.threefry(streams[0], counter)
            second = random.threefry(streams[1], counter) if dtype == jnp.float64 else first
            return lax.optimization_barrier(leaf.pair(first, second, dtype))

        return _steps_first(draw)(streams, counters, self.replica)

    def _plain(self, index: int, leaf: Noise, streams: Streams, counters: Array) -> Array:
        key = jax.random.fold_in(jax.random.fold_in(self.key, index), self.replica)
        size, dtype = (self.group * leaf.size,), self._dtype(leaf)
        return jax.vmap(lambda counter: leaf.draw(jax.random.fold_in(key, counter), size, dtype))(counters)

    def _take(self, leaf: Noise, array: Array, position: int) -> Float[Array, "..."]:
        numbers = self._numbers(leaf, array, position)
        # Replays use a number in many places. Computed anew in each, the generator makes XLA compile without end.
        return recognised(once(numbers, numbers), leaf.law) if self.marked else numbers

    def _numbers(self, leaf: Noise, array: Array, position: int) -> Float[Array, "..."]:
        if jnp.iscomplexobj(array) and self.group == 2:
            return (array.real, array.imag)[position].reshape(leaf.shape)
        if jnp.iscomplexobj(array):
            array = jnp.concatenate([array.real, array.imag])
        start = position * leaf.size
        return array[start : start + leaf.size].reshape(leaf.shape)

    def _dtype(self, leaf: Noise) -> jnp.dtype:
        return jnp.dtype(self.dtype if leaf.dtype is None else leaf.dtype)


def _steps_first(draw: Callable) -> Callable:
    """`draw(streams, counters, replica)`, which vmap over replicas writes in the order in which a loop reads: steps first.

    Left to itself vmap puts replicas first, and XLA transposes every block, which costs as much as drawing it.
    """
    one = jax.custom_batching.custom_vmap(draw)

    @one.def_vmap
    def many(size: int, batched: tuple, *arguments: Any) -> tuple[Array, bool]:
        if any(jax.tree.leaves(batched[:2])):
            return jax.vmap(draw, jax.tree.map(lambda mapped: 0 if mapped else None, batched))(*arguments), True
        return jnp.moveaxis(draw(*arguments), 1, 0), True

    return one
