"""One of several."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from pliant.core.chance import draws
from pliant.core.trees import floating
from pliant.draw._arguments import key_of


def categorical(key: PRNGKeyArray, logits: Any, shape: tuple[int, ...] | None = None) -> Int[Array, "*shape"]:
    r"""An index drawn with probability $p = \text{softmax}(\text{logits})$, with a derivative under `pliant.draw.expect`.

    **Arguments**: `key`; `logits`, shape `(*batch, classes)`, log probabilities up to a constant; `batch` broadcasts to `shape`.

    **Raises** ValueError for logits without an axis of classes; TypeError under plain `jax.grad` or `jax.jvp`.

    All classes stand for what was drawn: $\partial \mathbb E f = \mathbb E \sum_k \partial p_k\,(f(k) - f(X))$. By inversion
    along the classes, so that neighbours in order are neighbours under a small change. Cost: one uniform; `classes`
    alternatives a draw.

    Source: Arya, Schauer, Schäfer and Rackauckas, NeurIPS (2022), sec. 2; Glasserman, Monte Carlo Methods in Financial
    Engineering (2003), sec. 7.3, for what is free to be taken off.
    """
    logits = floating(logits)
    if logits.ndim == 0:
        raise ValueError("Argument `logits` must have an axis of classes, but it was a scalar.")
    drawn = logits.shape[:-1] if shape is None else tuple(shape)
    p = jnp.broadcast_to(jax.nn.softmax(logits), (*drawn, logits.shape[-1]))
    return draws.draw(draws.Categorical(), key_of(key), p, shape=drawn)
