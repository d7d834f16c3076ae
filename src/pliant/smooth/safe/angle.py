"""The angle between two vectors."""

from jaxtyping import Array, ArrayLike, Float

from pliant.core.geometry import safe_norm
from pliant.core.trees import floating
from pliant.smooth.safe.arctan2 import arctan2 as _arctan2


def angle(a: ArrayLike, b: ArrayLike) -> Float[Array, "*shape"]:
    r"""The angle between vectors in radians, in [0, pi]: $2 \arctan(|u - v| / |u + v|)$ with $u = a|b|$, $v = b|a|$.

    **Arguments**: `a` and `b`, shape (..., d), of shapes that broadcast.

    Accurate to rounding at 0 and pi, where an arccosine loses half of the digits. The angle has a kink at 0 and pi;
    there, and for a zero vector (angle 0), the derivatives are 0 by convention, which is their mean over
    directions. NaN stays NaN.

    Source: Kahan, "How futile are mindless assessments of roundoff in floating-point computation?" (2006), "Mangled angles".
    """
    a, b = floating(a), floating(b)
    u, v = a * safe_norm(b)[..., None], b * safe_norm(a)[..., None]
    return 2 * _arctan2(safe_norm(u - v), safe_norm(u + v))
