"""Sorted values as the inverse of soft ranks."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from pliant.smooth._arguments import numbers, width_of_rows
from pliant.smooth._kernels import Kernel, kernel_of

Function = Callable[[Array], Array]
_MOST_ITERATIONS = 200


def sort(x: ArrayLike, width: ArrayLike, *, kernel: str = "logistic") -> Float[Array, "*shape n"]:
    r"""Soft order statistics along the last axis, ascending: the $y_k$ with $\frac12 + \sum_j K((y_k - x_j) / w) = k$.

    **Arguments**: `x`, shape (..., n); `width` $w > 0$ in the units of x, of the shape of the batch; `kernel`, as
    in `step`.

    These are quantiles of the smoothed empirical distribution, and the inverse function of `rank`: strictly
    increasing in k, moved along with a shift of x. $\partial y_k / \partial x_j$ is positive and sums to one over
    j: a soft permutation. No value is further than $c\,w$ from the sharp one, c = 1 for "cubic", $\log(2n - 1)$ for
    "logistic", $\sqrt{2 \log 2n}$ for "gaussian". Where gaps exceed 2w "cubic" is exact, and the others
    exponentially close; ties are spread over the kernel, order 1 at a single x. The sum is kept where the gaps are
    wide or the values symmetric.

    Raises ValueError for a single number or none, a width that is not positive or does not fit the batch, or a kernel
    not listed. NaN and infinities spoil their row. Cost: a root search, O(n²) for each of some ten iterations, in
    memory O(n²); derivatives of every order by the implicit function theorem.

    Source: Azzalini, Biometrika 68, 326 (1981): the quantiles of a kernel estimate of the distribution function.
    """
    chosen, values = kernel_of(kernel), numbers("x", x)
    if values.ndim == 0:
        raise ValueError("Argument `x` must have an axis to sort along, but it was a number.")
    width = width_of_rows(width, values)
    if values.size == 0:
        return values
    return _rows(chosen, values, width)


# The search is compiled once for a shape, not at every call.
@partial(jax.jit, static_argnums=0)
def _rows(kernel: Kernel, x: Float[Array, "*shape n"], width: Float[Array, "*shape"]) -> Float[Array, "*shape n"]:
    return jnp.vectorize(partial(_row, kernel), signature="(n),()->(n)")(x, width)


def _row(kernel: Kernel, x: Float[Array, "n"], width: Float[Array, ""]) -> Float[Array, "n"]:
    count = len(x)

    def excess(y: Float[Array, "n"]) -> Float[Array, "n"]:
        below = jnp.sum(kernel.step((y[:, None] - x) / width), axis=1)
        return below - (jnp.arange(count) + 0.5)

    def solve(_: Function, start: Float[Array, "n"]) -> Float[Array, "n"]:
        # No y_k is further from the sharp value.
        reach = kernel.reach(count) * width
        slope = lambda y: jnp.sum(kernel.density((y[:, None] - x) / width), axis=1) / width
        return _increasing_root(excess, slope, start - reach, start + reach)

    # The slope is a diagonal matrix.
    tangent = lambda linear, right: right / linear(jnp.ones_like(right))
    return jax.lax.custom_root(excess, jnp.sort(jax.lax.stop_gradient(x)), solve, tangent)


def _increasing_root(excess: Function, slope: Function, low: Array, high: Array) -> Array:
    """The roots of independent increasing functions within brackets: Newton steps while they halve, else bisections."""
    precision = jnp.finfo(low.dtype).eps

    def unfinished(state: tuple) -> Array:
        i, _, done, _, _, _ = state
        return (i < _MOST_ITERATIONS) & ~jnp.all(done)

    def iterate(state: tuple) -> tuple:
        i, y, done, last, low, high = state
        off, rate = excess(y), slope(y)
        # As close as the sum and y itself are known; a root that is found stays while others are sought.
        done = done | (jnp.abs(off) <= precision * (4 * len(y) + 2 * rate * jnp.abs(y)))
        low, high = jnp.where(off < 0, y, low), jnp.where(off < 0, high, y)
        newton = y - off / rate
        halves = (newton > low) & (newton < high) & (jnp.abs(newton - y) <= last / 2)
        better = jnp.where(done, y, jnp.where(halves, newton, (low + high) / 2))
        spoiled = jnp.isnan(off)
        return i + 1, jnp.where(spoiled, off, better), done | spoiled, jnp.abs(better - y), low, high

    start = (0, (low + high) / 2, jnp.zeros(low.shape, bool), high - low, low, high)
    return jax.lax.while_loop(unfinished, iterate, start)[1]
