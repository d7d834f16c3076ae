"""Motion on an energy shell in direction and log speed: the state, its kick, and turns of the direction by noise."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Shell(eqx.Module):
    """A point of the phase space of `ESH`.

    **Fields**: `position`; `direction`, a unit vector of the same shape; `log_speed`, the logarithm of the speed;
    `force` at the position.
    """

    position: Float[Array, "*shape"]
    direction: Float[Array, "*shape"]
    log_speed: Float[Array, ""]
    force: Float[Array, "*shape"] | None

    @property
    def velocity(self) -> Float[Array, "*shape"]:
        """The velocity; it overflows where the log speed passes 88 (single) or 709 (double precision)."""
        return jnp.exp(self.log_speed) * self.direction


def kick(direction: Array, log_speed: Array, push: Array) -> tuple[Array, Array]:
    r"""The exact flow of $u' = (I - u u^T) a,\ r' = u \cdot a$ over a unit of time; `push` is a. The push -a undoes it.

    With $a = \delta e$, $p = 1 + u \cdot e$, $q = 2 - p$ and $z = e^{-\delta}$, nothing overflows:

    $$ u' = \frac{2 z (u - (u \cdot e) e) + (p - q z^2) e}{p + q z^2}, \qquad r' = r + \delta + \log \frac{p + q z^2}{2}. $$

    p is taken as $|u + e|^2/2$, which keeps its digits where u points against e. A push too small to square, zero among
    them, has no direction worth the name; there the flow is its own first order, derivatives included.
    """
    square = jnp.sum(push**2)
    tiny = square < jnp.finfo(square.dtype).eps
    size = jnp.sqrt(jnp.where(tiny, 1.0, square))
    e = push / size
    p, z = 0.5 * jnp.sum((direction + e) ** 2), jnp.exp(-size)
    across, whole = direction + e - p * e, p + (2 - p) * z**2
    turned = (2 * z * across + (p - (2 - p) * z**2) * e) / whole
    # u . a where e is a itself; by sums already at hand, since sums over few coordinates are what a kick costs.
    along = p - 0.5 * (1 + square)
    nudged = direction + push - along * direction
    return jnp.where(tiny, nudged, turned), log_speed + jnp.where(tiny, along, size + jnp.log(0.5 * whole))


def unit(u: Array) -> Array:
    """A vector of length one up to round-off, back on the sphere: one Newton step for 1/|u|."""
    return u * (1.5 - 0.5 * jnp.sum(u**2))


def turn(direction: Array, noise: tuple[Array, Array], angle: Any) -> Array:
    r"""The direction turned in a frame of its own noise, by normal angles of standard deviation `angle`.

    A reflection, a rotation in each plane of two neighbouring coordinates, and the reflection back: orthogonal whatever
    the direction is, so that the uniform law on the sphere stays and minus the angle undoes it. The mean of $u \cdot u'$
    is $e^{-angle^2/2}$; with an odd number n of coordinates one of them keeps still, and it is up to 1/n larger.
    """
    mirror, angles = noise
    return _reflect(_rotate(_reflect(direction.ravel(), mirror), angle * angles), mirror).reshape(direction.shape)


def _reflect(x: Array, mirror: Array) -> Array:
    return x - 2 * jnp.vdot(mirror, x) / jnp.vdot(mirror, mirror) * mirror


def _rotate(x: Array, angles: Array) -> Array:
    pairs, rest = x[: 2 * angles.size].reshape(-1, 2), x[2 * angles.size :]
    c, s = jnp.cos(angles), jnp.sin(angles)
    rotated = jnp.stack([c * pairs[:, 0] - s * pairs[:, 1], s * pairs[:, 0] + c * pairs[:, 1]], axis=1)
    return jnp.concatenate([rotated.ravel(), rest])
