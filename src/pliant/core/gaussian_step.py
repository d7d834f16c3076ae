"""Laws whose step is Gaussian, number by number: next state = mean(state) + spread * noise."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pliant.core.laws import State, Step
from pliant.core.noise import Normal, declared
from pliant.core.trees import strong


def parts(law: Any, state: State, t: Step) -> tuple[Array, Array]:
    """The mean of the next state and the spread of its noise, arrays of the state's shape."""
    like = only_leaf(state)
    mean = only_leaf(law.step(state, jnp.zeros_like(like), t))
    return mean, only_leaf(law.step(state, jnp.ones_like(like), t)) - mean


def log_density(law: Any, state: State, next_state: State, t: Step) -> Array:
    """The log density of the next state given this one, up to a constant."""
    mean, spread = parts(law, state, t)
    return -jnp.sum(0.5 * ((only_leaf(next_state) - mean) / spread) ** 2 + jnp.log(jnp.abs(spread)))


def only_leaf(state: State) -> Array:
    """The one array of such a law's state."""
    (leaf,) = jax.tree.leaves(state)
    return leaf


def refusal(law: Any) -> str | None:
    """Why this law's step is not of that kind, found by looking at it; None where it is."""
    state, noises = strong(law.init(jax.random.key(0))), declared(law.noise)
    leaves = jax.tree.leaves(state)
    if len(noises) != 1 or not isinstance(noises[0], Normal):
        return "its noise is not one array of normal numbers"
    if len(leaves) != 1 or leaves[0].shape != noises[0].shape:
        return (
            f"its state is of {len(leaves)} arrays and its noise does not move each of their numbers in every step (an "
            "underdamped law, or a scheme that uses a noise twice)"
        )
    return None if _affine(law, state, leaves[0]) else "its noise does not enter the step additively, number by number"


def multiplicative(law: Any) -> str | None:
    """Why the amplitude of the noise is seen to depend on the state; None where it is not."""
    state = strong(law.init(jax.random.key(0)))
    like = only_leaf(state)
    moved = jax.tree.map(lambda x: x + jax.random.normal(jax.random.key(2), x.shape, x.dtype), state)
    spreads = [_enters(law, x, jnp.ones_like(like)) - _enters(law, x, jnp.zeros_like(like)) for x in (state, moved)]
    slack = 1e4 * jnp.finfo(like.dtype).eps * (jnp.abs(_enters(law, moved, jnp.ones_like(like))) + 1)
    additive = bool(jnp.all(jnp.abs(spreads[0] - spreads[1]) <= slack))
    return None if additive else "the amplitude of its noise depends on the state"


@eqx.filter_jit
def _enters(law: Any, state: State, noise: Array) -> Array:
    return only_leaf(law.step(state, noise, 0))


def _affine(law: Any, state: State, like: Array) -> bool:
    probe = jax.random.normal(jax.random.key(1), like.shape, like.dtype)
    none, one, found = (_enters(law, state, noise) for noise in (jnp.zeros_like(like), jnp.ones_like(like), probe))
    slack = 1e3 * jnp.finfo(like.dtype).eps * (jnp.abs(none) + jnp.abs(one))
    return bool(jnp.all(jnp.abs(found - none - (one - none) * probe) <= slack) & jnp.all(one != none))
