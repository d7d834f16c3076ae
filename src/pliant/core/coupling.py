"""Two Gaussian steps driven by one noise, so that the two next states are the same as often as can be.

Both normals are standard, whatever the distance of the two means in units of the spread, `apart` = (m - m') / s.

Source: Bou-Rabee, Eberle and Zimmer, Ann. Appl. Probab. 30, 1209 (2020), section 2.3.2; Jacob, O'Leary and Atchadé,
J. R. Stat. Soc. B 82, 543 (2020), section 4.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def meets(normal: Array, apart: Array, uniform: Array) -> Bool[Array, ""]:
    """Whether the other normal is `normal + apart`, at which both next states are one."""
    # log of the ratio of densities, phi(w + z) / phi(w), without cancellation
    return (jnp.log(uniform) < -jnp.sum(apart * (normal + 0.5 * apart))) | jnp.all(apart == 0)


def reflected(normal: Float[Array, "*shape"], apart: Float[Array, "*shape"], uniform: Array) -> Float[Array, "*shape"]:
    """A standard normal that equals `normal + apart` as often as can be, and is the mirror image of `normal` else."""
    square = jnp.sum(apart**2)
    mirrored = normal - 2 * apart * jnp.sum(apart * normal) / jnp.where(square > 0, square, 1.0)
    return jnp.where(meets(normal, apart, uniform), normal + apart, mirrored)
