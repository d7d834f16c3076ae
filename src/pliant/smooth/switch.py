"""Switching functions of potentials."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import not_beyond, numbers, one_of, positive_width, together


def switch(
    distance: ArrayLike, width: ArrayLike, *, radius: ArrayLike, form: str = "quintic"
) -> Float[Array, "*shape"]:
    r"""From 1 at `radius - width` and below to exactly 0 at `radius` and beyond.

    **Arguments**: `distance` $r \ge 0$, any shape; `width` $0 < w \le$ `radius`, in the same units, of shapes that
    broadcast; `form`: "quintic", $1 - 10 t^3 + 15 t^4 - 6 t^5$ with $t$ the share of the way, two continuous
    derivatives; "charmm", $(1 - t)^2 (1 + 2t)$ with $t$ linear in $r^2$, one continuous derivative, no square root
    needed.

    What is switched off is a modelling error, not one that the width takes to zero: a potential u loses its tail.
    Against sharp truncation the switched potential differs by at most |u| inside the width, so that smooth averages
    differ at order 1 in w. The force has a hump of height about u / w there: w of at least a tenth of the radius is
    usual.

    Raises ValueError for what is no number, a width or radius that is not positive, a width above the radius, shapes
    that do not broadcast, or a form not listed. NaN stays NaN.

    Source: Brooks et al., J. Comput. Chem. 4, 187 (1983) for "charmm"; OpenMM User Guide, "Lennard-Jones interaction", for
    "quintic", the Hermite polynomial with two flat derivatives at both ends.
    """
    values, width, radius = numbers("distance", distance), positive_width(width), positive_width(radius, "radius")
    together(distance=values, width=width, radius=radius)
    not_beyond(width, radius)
    outer = jnp.asarray(radius, values.dtype)
    # The way that is left, not the way from where it began: a narrow width is lost in `radius - width`.
    return one_of("form", _FORMS, form)(jnp.where(values > outer, outer, values), width, outer)


def _quintic(r: Array, width: ArrayLike, outer: Array) -> Array:
    t = jnp.clip(1 - (outer - r) / width, 0, 1)
    return 1 - t**3 * (10 - t * (15 - 6 * t))


def _charmm(r: Array, width: ArrayLike, outer: Array) -> Array:
    t = jnp.clip(1 - (outer - r) / width * ((outer + r) / (2 * outer - width)), 0, 1)
    return (1 - t) ** 2 * (1 + 2 * t)


_FORMS = {"quintic": _quintic, "charmm": _charmm}
