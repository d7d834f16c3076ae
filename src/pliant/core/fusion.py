"""Where XLA stops fusing.

On a CPU XLA computes what is cheap anew in everything that depends on it: a long pull-back of sums and products many
times over. It does not so with a division.
"""

import jax
from jaxtyping import Array, Float


@jax.custom_jvp
def apart(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x, whose derivative is computed once."""
    return x


@apart.defjvp
def _derivative_apart(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return primals[0], once(tangents[0], primals[0])


def once(x: Float[Array, "*shape"], beside: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """x, computed once; linear in it, so that its pull-back is computed once too. `beside`: any finite numbers."""
    # The divisor is one, but a compiler may not know, for the other number could be NaN.
    return x / (1 + 0 * beside)
