"""A pair potential of finite range."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import not_beyond, numbers, one_of, positive_width
from pliant.smooth.switch import switch as _switch

Radial = Callable[[Float[Array, "*shape"]], Float[Array, "*shape"]]


def cutoff(potential: Radial, width: ArrayLike | None = None, *, radius: ArrayLike, form: str = "quintic") -> Radial:
    r"""The potential u(r) made exactly zero at `radius` $r_c$ and beyond, as another function of r.

    **Arguments**: `potential`, elementwise in r; `form`: "quintic" or "charmm", u times `switch` over the last
    `width`; "shifted_force", $u(r) - u(r_c) - (r - r_c) u'(r_c)$, energy and force continuous, no width; "shifted",
    $u(r) - u(r_c)$, where the force jumps by $u'(r_c)$; `radius`, `width` > 0 in the units of r.

    A switched potential is u itself up to $r_c - w$, with a hump in its force beyond. A shifted force changes every
    pair by a constant force $u'(r_c)$, which has no hump and for liquids costs less accuracy at the same radius.
    The missing tail, of energy $2 \pi \rho N \int_{r_c}^\infty u\, r^2 dr$, is left to the caller. Beyond the
    radius u is not evaluated: it may be infinite there, and derivatives stay finite.

    Raises ValueError for a potential that is no function, a radius or width that is not positive, a width above the
    radius, a switch without a width, a width without a switch, or a form not listed. NaN stays NaN.

    Source: Stoddard and Ford, Phys. Rev. A 8, 1504 (1973); Toxvaerd and Dyre, J. Chem. Phys. 134, 081102
    (2011); `switch`.
    """
    switched = one_of("form", {"quintic": True, "charmm": True, "shifted_force": False, "shifted": False}, form)
    if not callable(potential):
        raise ValueError(f"Argument `potential` must be a function of the distance, but it was {potential!r}.")
    radius = positive_width(radius, "radius")
    if switched != (width is not None):
        raise ValueError(f'Argument `width` must be given for a switch alone, but with form "{form}" it was {width}.')
    if width is not None:
        width = positive_width(width)
        not_beyond(width, radius)

    def limited(distance: ArrayLike) -> Float[Array, "*shape"]:
        r = numbers("distance", distance)
        beyond = r >= radius
        r = jnp.where(beyond, radius, r)
        if width is not None:
            energy = potential(r) * _switch(r, width, radius=radius, form=form)
        else:
            edge, slope = _edge(potential, radius, r.dtype)
            energy = potential(r) - edge - (slope * (r - radius) if form == "shifted_force" else 0)
        return jnp.where(beyond, 0, energy)

    return limited


def _edge(potential: Radial, radius: ArrayLike, dtype: jnp.dtype) -> tuple[Array, Array]:
    """Value and slope at the radius."""
    at = jnp.asarray(radius, dtype)
    return jax.jvp(potential, (at,), (jnp.ones_like(at),))
