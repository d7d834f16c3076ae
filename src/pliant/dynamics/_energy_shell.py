"""Motion on an energy shell in direction and log speed: the state, its kick, and turns of the direction by noise."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from pliant.core.fusion import once


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


@jax.custom_jvp
def kick(direction: Array, log_speed: Array, push: Array) -> tuple[Array, Array]:
    r"""The exact flow of $u' = (I - u u^T) a,\ r' = u \cdot a$ over a unit of time; `push` is a. The push -a undoes it.

    With $a = \delta e$, $p = 1 + u \cdot e$, $z = e^{-\delta}$ and $w = 2 z^2 + p (1 - z^2)$, nothing overflows:

    $$ u' = \frac{2 z (u + e) + (p (1 - z)^2 - 2 z^2) e}{w}, \qquad r' = r + \delta + \log \frac{w}{2}. $$

    Derivatives are those on the sphere: changes of u along itself are left out.
    """
    bend = _bend(direction, push)
    e = push / bend.size
    # u + e is small where u points against e, and is not to be the difference of two large vectors there.
    turned = bend.keep * (direction + e) + (bend.p * bend.less**2 - 2 * bend.z**2) / bend.w * e
    return turned, log_speed + bend.size + jnp.log(0.5 * bend.w)


@kick.defjvp
def _kick_derivative(primals: tuple, tangents: tuple) -> tuple[tuple, tuple]:
    r"""By hand, in few sums over coordinates: XLA on a CPU takes five times as long for reverse mode of the formula.

    With $k = u \cdot e$ and $k' = u' \cdot e$, the derivatives of r' by $\delta$ and k are $k'$ and $(1 - z^2)/w$; those
    of $2 z / w$, the share of u in u', are minus itself times these; and those of $k' - 2 z k / w$, the share of e, are
    $1 - k' (k' - 2 z k / w)$ and $-2 z (1 - z)^2 / w^2$.
    """
    (u, r, a), (du, dr, da) = primals, tangents
    bend = _bend(u, a)
    size, p, z, less, w = bend
    share, ahead = less * (2 * z + p * less) / (size * w), (p * (1 + z**2) - 2 * z**2) / w
    radial, longer = once(jnp.sum(u * du), size), jnp.sum(a * da) / size
    nearer = (jnp.sum(u * da + a * du) - (p - 1) * (longer + size * radial)) / size
    gain = ahead * longer + less * (1 + z) / w * nearer
    # What changes along e, less the part of it that share * da holds.
    along = (1 - share * (size * ahead + 1)) / size * longer - bend.keep * less**2 / (size * w) * nearer
    turned = bend.keep * (du - (gain + radial) * u) + share * da + along * a
    return kick(u, r, a), (turned, dr + gain)


class _Bend(NamedTuple):
    r"""The numbers of a kick: $\delta$, p, z, 1 - z and w."""

    size: Array
    p: Array
    z: Array
    less: Array
    w: Array

    @property
    def keep(self) -> Array:
        """The share of u in u'."""
        return 2 * self.z / self.w


def _bend(u: Array, a: Array) -> _Bend:
    """p is taken as $|u + e|^2/2$, which keeps its digits where u points against e; 1 - z by tanh, where a is small."""
    square = jnp.sum(a**2)
    # No push is so small that it has no direction; what this adds is far below round-off.
    floor = float(jnp.finfo(square.dtype).eps) ** 2
    size = jnp.sqrt(square + floor)
    p = 0.5 * (jnp.sum((u + a / size) ** 2) + floor / size**2)
    z = jnp.exp(-size)
    less = jnp.tanh(0.5 * size) * (1 + z)
    return _Bend(size, p, z, less, 2 * z**2 + p * less * (1 + z))


def unit(u: Array) -> Array:
    """A vector of length one up to round-off, back on the sphere: one Newton step for 1/|u|. A constant to derivatives."""
    return u * lax.stop_gradient(1.5 - 0.5 * jnp.sum(u**2))


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
