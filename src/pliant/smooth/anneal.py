"""A schedule of widths."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.core.validate import positive_whole
from pliant.smooth._arguments import numbers, one_of, positive_width


def anneal(start: ArrayLike, stop: ArrayLike, *, steps: int, form: str = "geometric") -> Callable[[ArrayLike], Array]:
    r"""Widths from `start` to `stop` over `steps` steps, then constant: a function of the step, traced or not.

    **Arguments**: `start`, `stop` > 0, in the units of what is relaxed; `steps` >= 1; `form`: "geometric",
    $w_0 (w_1 / w_0)^s$ with $s = \min(t / steps, 1)$; "linear"; "cosine", flat at both ends.

    A bias of order p falls as the p-th power of the width. The variance of gradients through an edge grows as 1/w,
    so that geometric steps, equal factors of both, are the default.

    Raises ValueError for widths that are not positive, fewer than one step, or a form not listed. The result has
    the form of an optax schedule.

    Source: Kirkpatrick, Gelatt and Vecchi, Science 220, 671 (1983) for geometric cooling.
    """
    first, last = (jnp.asarray(positive_width(w, n), float) for w, n in ((start, "start"), (stop, "stop")))
    count, between = positive_whole("steps", steps), one_of("form", _FORMS, form)
    return lambda step: between(first, last, jnp.clip(numbers("step", step) / count, 0, 1))


def _geometric(start: Array, stop: Array, share: Array) -> Float[Array, ""]:
    # The quotient of the two may be no number.
    return start ** (1 - share) * stop**share


def _linear(start: Array, stop: Array, share: Array) -> Float[Array, ""]:
    return start + (stop - start) * share


def _cosine(start: Array, stop: Array, share: Array) -> Float[Array, ""]:
    return start + (stop - start) * (1 - jnp.cos(jnp.pi * share)) / 2


_FORMS = {"geometric": _geometric, "linear": _linear, "cosine": _cosine}
