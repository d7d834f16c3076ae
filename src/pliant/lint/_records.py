"""What a walk sees at a site: how far its edges are along a direction, and on which side of them elements are."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pliant.lint._flow import Path

# Of the nearest edges of a site, the first may be ones that the outputs do not see.
_NEAREST = 16
_GROUPS = 256
# So many margins of a loop are kept.
_KEPT = 2_000_000
_GOLDEN = (math.sqrt(5) - 1) / 2


class Record(NamedTuple):
    """What was seen at a site.

    **Fields**: `crossings`: the steps along the direction to the nearest edges, as the tangents have them, the nearest first,
    infinite where there are none; `margin`: the smallest distance from an edge; `sides`: a number that changes when an
    element changes sides; `rate`: of a loop, the growth of tangents per step beyond that of the values, as a logarithm.
    """

    crossings: Float[Array, " nearest"]
    margin: Float[Array, ""]
    sides: Float[Array, ""]
    rate: Float[Array, ""]


class Margins(NamedTuple):
    """What a site's record is made of: margins and their derivatives along the direction, in one row."""

    value: Float[Array, " any"]
    slope: Float[Array, " any"]


Records = dict[Path, Record]
Seen = Mapping[Path, Record | Margins]


def is_small(record: Record | Margins, length: int) -> bool:
    """Whether margins of all steps of a loop may be kept until its end, where they are digested at once."""
    return isinstance(record, Margins) and record.value.size * length <= _KEPT


def digested(records: Seen) -> Records:
    """Records alone."""
    return {path: digest(record) if isinstance(record, Margins) else record for path, record in records.items()}


def digest(margins: Margins) -> Record:
    """The nearest edges; margins may be stacked over the steps of a loop."""
    m, slope = margins
    if m.size == 0:
        return nothing()
    steps = jnp.where((slope == 0) | jnp.isnan(slope), jnp.inf, -m / jnp.where(slope == 0, 1.0, slope))
    weights = jnp.mod(_GOLDEN * (1 + jnp.arange(m.size)), 1.0).reshape(m.shape)
    empty = nothing()
    return empty._replace(
        crossings=_first(steps.ravel()).astype(empty.crossings.dtype),
        margin=jnp.min(jnp.abs(m)).astype(empty.margin.dtype),
        sides=jnp.sum(jnp.where(m > 0, weights, 0.0)).astype(empty.sides.dtype),
    )


def nothing() -> Record:
    """Of a site that has no edges."""
    zero = jnp.zeros(())
    return Record(jnp.full(_NEAREST, jnp.inf), zero + jnp.inf, zero, zero - jnp.inf)


def _first(steps: Float[Array, " any"]) -> Float[Array, " nearest"]:
    """The nearest step and some others, padded; of many, the nearest of each of some groups: sorting a million is dear."""
    if steps.size <= _NEAREST:
        # Within a loop this happens at every turn: no sorting.
        steps = jnp.roll(steps, -jnp.argmin(jnp.abs(steps))) if steps.size > 1 else steps
        return jnp.concatenate([steps, jnp.full(_NEAREST - steps.size, jnp.inf, steps.dtype)])
    groups = min(steps.size, _GROUPS)
    steps = jnp.concatenate([steps, jnp.full(-steps.size % groups, jnp.inf, steps.dtype)]).reshape(-1, groups)
    steps = jnp.take_along_axis(steps, jnp.argmin(jnp.abs(steps), axis=0, keepdims=True), axis=0)[0]
    _, order = lax.top_k(-jnp.abs(steps), _NEAREST)
    return steps[order]


def scaled(records: Records, index: Array) -> Records:
    """Sides told apart by the step of a loop in which they were seen."""
    weight = 1.0 + jnp.mod(_GOLDEN * (1 + index), 1.0)
    return {path: record._replace(sides=record.sides * weight) for path, record in records.items()}


def nearest(stacked: Record) -> Record:
    """The record of all steps of a loop."""
    return Record(
        _first(stacked.crossings.ravel()), jnp.min(stacked.margin), jnp.sum(stacked.sides), jnp.max(stacked.rate)
    )


def nearer(one: Records, other: Records) -> Records:
    """The records of two parts of a program, which may be those of one site."""
    both = {path: jax.tree.map(lambda a, b: jnp.stack([a, b]), one[path], other[path]) for path in one if path in other}
    return {**one, **other, **{path: nearest(record) for path, record in both.items()}}
