"""Arrays and their shards over the axes of a mesh, without devices."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp


def cut(operand: Any, spec: Sequence[Any], axes: dict[str, int]) -> Any:
    """Shards of an array: an axis in front for every axis of a mesh."""
    parts, where = [], {}
    for size, names in zip(operand.shape, [*map(_names, spec), *[()] * (operand.ndim - len(spec))], strict=True):
        where.update({name: len(parts) + i for i, name in enumerate(names)})
        counts = [axes[name] for name in names]
        parts += [*counts, size // math.prod(counts)]
    inner = [i for i in range(len(parts)) if i not in where.values()]
    cut = operand.reshape(parts).transpose([where[name] for name in axes if name in where] + inner)
    missing = [i for i, name in enumerate(axes) if name not in where]
    return jnp.broadcast_to(jnp.expand_dims(cut, missing), (*axes.values(), *cut.shape[len(where) :]))


def joined(shards: Any, spec: Sequence[Any], axes: dict[str, int]) -> Any:
    """The array whose shards these are; where the specification names no axis, they are all the same."""
    order, shape = [], []
    names = list(axes)
    for i, size in enumerate(shards.shape[len(axes) :]):
        along = _names(spec[i]) if i < len(spec) else ()
        order += [names.index(name) for name in along] + [len(axes) + i]
        shape.append(size * math.prod(axes[name] for name in along))
    left = [i for i in range(len(axes)) if i not in order]
    return shards.transpose(left + order)[(0,) * len(left)].reshape(shape)


def _names(part: Any) -> tuple[str, ...]:
    """The axes of a mesh that one axis of an array is cut along."""
    return () if part is None else (part,) if isinstance(part, str) else tuple(part)
