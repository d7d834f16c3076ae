"""Helpers over pytrees of parameters and states."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, PyTree

from pliant.core.programs import trace


def strong(tree: PyTree) -> PyTree:
    """The same arrays without weak types, Python numbers as arrays: what a loop can carry unchanged."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.asarray(leaf).dtype), tree)


def floating(value: Any) -> Array:
    """An array of floating point: whole numbers become the default floating type, others keep theirs."""
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def state_dtype(state: PyTree) -> jnp.dtype:
    """The floating dtype of a state's leaves."""
    leaves = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(jnp.result_type(leaf), jnp.floating)]
    return jnp.result_type(*leaves) if leaves else jnp.result_type(float)


def select(law: PyTree, wrt: Callable | None) -> PyTree:
    """A tree like `law` with True at the inexact array leaves that `wrt` selects (all of them for None)."""
    arrays = jax.tree.map(eqx.is_inexact_array, law)
    if wrt is None:
        mask = arrays
    else:
        chosen = _mark(law, wrt)
        mask = jax.tree.map(lambda is_array, is_chosen: is_array and is_chosen, arrays, chosen)
    if not any(jax.tree.leaves(mask)):
        raise ValueError(_nothing_selected(law, wrt))
    return mask


def _mark(law: PyTree, wrt: Callable) -> PyTree:
    nothing = jax.tree.map(lambda _: False, law)
    return eqx.tree_at(_at_leaves(wrt), nothing, replace_fn=lambda _: True) if _leaves(wrt(law)) else nothing


def _at_leaves(wrt: Callable) -> Callable:
    return lambda tree: _leaves(wrt(tree))


def _leaves(node: Any) -> list:
    return jax.tree.leaves(node)


def _nothing_selected(law: PyTree, wrt: Callable | None) -> str:
    chosen = law if wrt is None else wrt(law)
    found = sorted({_describe(leaf) for leaf in jax.tree.leaves(chosen)}) or ["nothing"]
    return (
        f"Argument `wrt` must select at least one array of floating point numbers, but it selected {', '.join(found)}. "
        "Python numbers are constants and integers have no derivative: pass the parameter as `jnp.array(1.0)`."
    )


def _describe(leaf: Any) -> str:
    dtype = getattr(leaf, "dtype", None)
    return type(leaf).__name__ if dtype is None else f"an array of {dtype}"


def names(tree: PyTree) -> list[str]:
    """A readable name for every scalar of a tree of arrays, in the order of its flattening."""
    result = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        stem = jax.tree_util.keystr(path).lstrip(".") or "value"
        result += [stem + (str(list(index)) if index else "") for index in np.ndindex(np.shape(leaf))]
    return result


def check_finite(tree: PyTree, argument: str) -> None:
    """Raise ValueError naming the first leaf of `tree` that holds a NaN or an infinity."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if eqx.is_inexact_array(leaf) and not isinstance(leaf, Tracer):
            bad = int(np.sum(~np.isfinite(np.asarray(leaf))))
            if bad:
                raise ValueError(
                    f"Argument `{argument}` must hold finite numbers, but {argument}{jax.tree_util.keystr(path)} has "
                    f"{bad} NaN or infinite of {np.size(leaf)}. Look at how it was made."
                )


def stop_gradient(tree: PyTree) -> PyTree:
    """The same tree with its inexact arrays held constant under differentiation."""
    dynamic, static = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(dynamic), static)


def first_name(path: tuple) -> str:
    """The outermost name in a leaf's path."""
    return jax.tree_util.keystr(path[:1]).strip(".[]'") if path else "state"


def inputs_used(function: Callable, tree: PyTree) -> list[bool]:
    """For every leaf of `tree`, whether the outputs of `function(tree)` can depend on it."""
    program, _ = trace(function, tree)
    needed = program.needed()
    return [variable in needed for variable in program.inputs]
