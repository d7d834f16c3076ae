"""A mixture of normal laws."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Float, PRNGKeyArray

from pliant.core.trees import floating
from pliant.draw._arguments import key_of
from pliant.draw.implicit import implicit


def normal_mixture(
    key: PRNGKeyArray, logits: Any, means: Any, scales: Any, shape: tuple[int, ...] = ()
) -> Float[Array, "*shape"]:
    r"""A draw from $\sum_k p_k N(\mu_k, \sigma_k^2)$ whose derivative by p, mu and sigma is pathwise, under plain `jax.grad` too.

    **Arguments**: `key`; `logits`, `means`, `scales`, shape `(components,)`: $p = \text{softmax}(\text{logits})$; `shape` of
    the result. The component is drawn and forgotten: the draw moves with its quantile of the whole mixture.

    **Raises** ValueError where the three shapes differ.

    Cost: one distribution function of every component for each draw. Unbiased for continuous functions of the draw; the
    variance grows where components are far apart, as 1 / density between them.

    Source: Graves, arXiv:1607.05690 (2016); Figurnov, Mohamed and Mnih, NeurIPS (2018), sec. 3.
    """
    logits, means, scales = floating(logits), floating(means), floating(scales)
    if not logits.shape == means.shape == scales.shape or logits.ndim != 1:
        raise ValueError(
            f"Arguments `logits`, `means` and `scales` must have one shape (components,), but they had {logits.shape}, "
            f"{means.shape} and {scales.shape}."
        )
    first, second = jax.random.split(key_of(key))
    held = jax.lax.stop_gradient
    which = jax.random.categorical(first, held(logits), shape=shape)
    x = held(means)[which] + held(scales)[which] * jax.random.normal(second, shape, means.dtype)

    def cdf(x: Any, logits: Any, means: Any, scales: Any) -> Any:
        return jnp.sum(jax.nn.softmax(logits) * norm.cdf((x[..., None] - means) / scales), axis=-1)

    return implicit(x, cdf, logits, means, scales)
