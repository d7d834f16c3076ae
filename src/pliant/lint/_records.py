"""What a walk sees at a site: how far its edges are along a direction, and on which side of them elements are."""

import itertools
from collections.abc import Mapping
from typing import NamedTuple, TypeGuard

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, UInt32

from pliant.lint._flow import Path

# Of the nearest edges of a site, the first may be ones that the outputs do not see.
_NEAREST = 16
_GROUPS = 256
# So many margins of a loop are kept.
_KEPT = 2_000_000
# Margins of fewer elements share a row.
_FEW = 64
# The golden ratio's share of all 32-bit numbers, made odd.
_GOLDEN = 2654435769


class Record(NamedTuple):
    """What was seen at a site.

    **Fields**: `crossings`: the steps along the direction to the nearest edges, as the tangents have them, the nearest first,
    infinite where there are none; `margin`: the smallest distance from an edge; `sides`: a number that changes when an
    element changes sides; `rate`: of a loop, the growth of tangents per step beyond that of the values, as a logarithm.
    """

    crossings: Float[Array, " nearest"]
    margin: Float[Array, ""]
    sides: UInt32[Array, ""]
    rate: Float[Array, ""]


class Margins(NamedTuple):
    """What a site's record is made of: margins and their derivatives along the direction, in one row."""

    value: Float[Array, " any"]
    slope: Float[Array, " any"]


Records = dict[Path, Record]
Seen = Mapping[Path, Record | Margins]


def is_small(record: Record | Margins, length: int) -> TypeGuard[Margins]:
    """Whether margins of all steps of a loop may be kept until its end, where they are digested at once."""
    return isinstance(record, Margins) and record.value.size * length <= _KEPT


class Packed(eqx.Module):
    """Margins of a step of a loop. Those of few elements lie in one row: a loop is slower by every array that it fills."""

    row: Float[Array, " few"]
    large: Mapping[Path, Margins]
    sizes: tuple[tuple[Path, int], ...] = eqx.field(static=True)

    @classmethod
    def of(cls, margins: Mapping[Path, Margins]) -> "Packed":
        """Of a step."""
        few = {path: each for path, each in margins.items() if each.value.size <= _FEW}
        parts = [array for each in few.values() for array in each]
        row = jnp.concatenate(parts) if parts else jnp.zeros(0)
        large = {path: each for path, each in margins.items() if path not in few}
        return cls(row, large, tuple((path, each.value.size) for path, each in few.items()))

    def margins(self) -> dict[Path, Margins]:
        """Of all steps, each stacked over them."""
        ends = itertools.accumulate(size for _, size in self.sizes for _ in Margins._fields)
        parts = iter(jnp.split(self.row, list(ends), axis=-1))
        return {path: Margins(next(parts), next(parts)) for path, _ in self.sizes} | dict(self.large)


def digested(records: Seen) -> Records:
    """Records alone."""
    return {path: digest(record) if isinstance(record, Margins) else record for path, record in records.items()}


def digest(margins: Margins) -> Record:
    """The nearest edges; margins may be stacked over the steps of a loop."""
    margin, slope = (array.ravel() for array in margins)
    if margin.size == 0:
        return nothing()
    empty, rates = nothing(), -slope / margin
    # At an edge that does not move there is nothing to go to.
    steps = _first(jnp.where(jnp.isnan(rates), 0.0, rates))
    return empty._replace(
        crossings=steps.astype(empty.crossings.dtype),
        margin=jnp.min(jnp.abs(margin)).astype(empty.margin.dtype),
        sides=jnp.sum(jnp.where(margin > 0, _weights(margin.size), 0), dtype=jnp.uint32),
    )


def nothing() -> Record:
    """Of a site that has no edges."""
    zero = jnp.zeros(())
    return Record(jnp.full(_NEAREST, jnp.inf), zero + jnp.inf, jnp.zeros((), jnp.uint32), zero - jnp.inf)


def _first(rates: Float[Array, " any"]) -> Float[Array, " nearest"]:
    """The nearest step and some others, padded, from one over each; of many, the nearest of some groups on both sides."""
    if rates.size > 2 * _GROUPS:
        # Sorting a million is dear, and so is an argmax of them: their extremes are not.
        rates = jnp.pad(rates, (0, -rates.size % _GROUPS)).reshape(-1, _GROUPS)
        rates = jnp.concatenate([jnp.max(rates, axis=0), jnp.min(rates, axis=0)])
    return _nearest_of(1.0 / rates)


def _nearest_of(steps: Float[Array, " any"]) -> Float[Array, " nearest"]:
    if steps.size <= _NEAREST:
        # Within a loop this happens at every turn: no sorting.
        steps = jnp.roll(steps, -jnp.argmin(jnp.abs(steps))) if steps.size > 1 else steps
        return jnp.concatenate([steps, jnp.full(_NEAREST - steps.size, jnp.inf, steps.dtype)])
    _, order = lax.top_k(-jnp.abs(steps), _NEAREST)
    return steps[order]


def _weights(count: int | Array) -> Array:
    """Odd numbers for so many elements, or for one step, whose sums tell sets of them apart: a multiplicative hash."""
    index = jnp.arange(count) if isinstance(count, int) else count
    mixed = (1 + index.astype(jnp.uint32)) * jnp.uint32(_GOLDEN)
    return (mixed ^ (mixed >> 15)) | 1


def scaled(records: Records, index: Array) -> Records:
    """Sides told apart by the step of a loop in which they were seen."""
    return {path: record._replace(sides=record.sides * _weights(index)) for path, record in records.items()}


def nearest(stacked: Record) -> Record:
    """The record of all steps of a loop."""
    return Record(
        _first(1.0 / stacked.crossings.ravel()),
        jnp.min(stacked.margin),
        jnp.sum(stacked.sides, dtype=jnp.uint32),
        jnp.max(stacked.rate),
    )


def nearer(one: Records, other: Records) -> Records:
    """The records of two parts of a program, which may be those of one site."""
    both = {path: jax.tree.map(lambda a, b: jnp.stack([a, b]), one[path], other[path]) for path in one if path in other}
    return {**one, **other, **{path: nearest(record) for path, record in both.items()}}
