"""The angle between two vectors."""

from jaxtyping import Array, ArrayLike, Float

from pliant.core.geometry import safe_norm
from pliant.smooth._arguments import numbers, together
from pliant.smooth.safe._scale import unit
from pliant.smooth.safe.arctan2 import arctan2 as _arctan2


def angle(a: ArrayLike, b: ArrayLike) -> Float[Array, "*shape"]:
    r"""The angle between vectors in radians, in [0, pi]: $2 \arctan(|u - v| / |u + v|)$ with $u = a|b|$, $v = b|a|$.

    **Arguments**: `a` and `b`, shape (..., d), of shapes that broadcast.

    Accurate to rounding at 0 and pi, where an arccosine loses half of the digits. The angle has a kink at 0 and pi;
    there, and for a zero vector (angle 0), the derivatives are 0 by convention, which is their mean over
    directions. NaN stays NaN.

    Raises ValueError for what is no number, or shapes that do not fit.

    Source: Kahan, "How futile are mindless assessments of roundoff in floating-point computation?" (2006), "Mangled angles".
    """
    a, b = numbers("a", a), numbers("b", b)
    if a.ndim == 0 or b.ndim == 0 or a.shape[-1] != b.shape[-1]:
        raise ValueError(f"Arguments `a` and `b` must have shape (..., d), but they were {a.shape} and {b.shape}.")
    together(a=a, b=b)
    # An angle does not depend on lengths, whose fourth powers underflow in float32 for an ångström in metres.
    a, b = a / unit(a), b / unit(b)
    u, v = a * safe_norm(b)[..., None], b * safe_norm(a)[..., None]
    return 2 * _arctan2(safe_norm(u - v), safe_norm(u + v))
