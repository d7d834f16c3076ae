r"""Poisson's equation of a steady state on a grid, in one or two dimensions.

The stochastic differential equation $dx = b\,dt + \sigma\,dW$ becomes a Markov jump process between the cells of a box:
the flux $b \rho - \partial (D \rho)$, $D = \sigma^2 / 2$, through a face is that of the exact solution with constant b / D
between two centres (exponential fitting), so that rates are positive at any spacing. With its generator Q, density
$\rho Q = 0$ and observable O,

$$ -Q \varphi = O - \langle O \rangle, \qquad
   \partial_\theta \langle O \rangle = \langle \partial_\theta O \rangle + \rho\, (\partial_\theta Q)\, \varphi, $$

which is exact on the grid, in and out of equilibrium, for every parameter of drift and diffusion. One sparse LU
factorisation serves both solves. The error of second order in the spacing is extrapolated away (Richardson), and what is
left of it is the error bar, with round-off.

Source: Scharfetter and Gummel, IEEE Trans. Electron Devices 16, 64 (1969); Wang, Peskin and Elston, J. Theor. Biol. 221,
491 (2003), for the jump process; Pavliotis, Stochastic Processes and Applications (2014), section 9.3, for the response.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pliant.core import scout
from pliant.core.contributions import Contribution, Solved
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Problem
from pliant.core.laws import HasDrift
from pliant.core.trees import strong

# Density that counts as none at a wall that was found rather than given, in units of its maximum.
_NOTHING = 1e-12
_SEARCH, _ROUNDS = 64, 60
_COARSE = 0.1


class Grid(eqx.Module):
    """A box cut into cells of equal size: `low`, `high` of shape (d,); `cells`, `periodic` along every axis."""

    low: Float[np.ndarray, " d"]
    high: Float[np.ndarray, " d"]
    cells: tuple[int, ...] = eqx.field(static=True)
    periodic: tuple[bool, ...] = eqx.field(static=True)

    @property
    def spacing(self) -> Any:
        """The size of a cell, shape (d,)."""
        return (self.high - self.low) / np.array(self.cells)

    def points(self, towards: int | None = None) -> Float[Array, "*cells d"]:
        """The centres of the cells; those of their upper faces along the axis `towards`."""
        steps = [jnp.arange(n) + (1.0 if axis == towards else 0.5) for axis, n in enumerate(self.cells)]
        return self.low + self.spacing * jnp.stack(jnp.meshgrid(*steps, indexing="ij"), axis=-1)

    def cell_of(self, point: Float[np.ndarray, " d"]) -> int:
        """The number of the cell that holds a point, or its periodic image, or is nearest to it."""
        at = np.floor((point - self.low) / self.spacing).astype(int)
        wrapped = [i % n if p else min(max(i, 0), n - 1) for i, n, p in zip(at, self.cells, self.periodic, strict=True)]
        return int(np.ravel_multi_index(wrapped, self.cells))

    def coarser(self, factor: int) -> "Grid":
        """The same box with cells that are `factor` times as large."""
        return dataclasses.replace(self, cells=tuple(n // factor for n in self.cells))


def refusal(problem: Problem, box: Any, search: bool) -> str | None:
    """Why a grid cannot serve this problem, None where it can; `search` for a box where none is given."""
    reason = _unfit(problem.law())
    if reason is not None or box is not None or not search:
        return reason
    visited = _visited(problem.law())
    return None if _found(problem, visited) is not None else "no box was found beyond which its density dies out"


def _unfit(law: Any) -> str | None:
    if not isinstance(law, HasDrift):
        return f"{type(law).__name__} has no drift and diffusion (`HasDrift`) to build a generator from"
    state = strong(law.init(jax.random.key(0)))
    size, moved = ravel_pytree(state)[0].size, ravel_pytree(law.drift(state, 0))[0].size
    if size != moved:
        return f"its state holds {size} numbers and its drift {moved}: the scheme remembers more than the position"
    if size > 2:
        return f"its state has {size} numbers, and a grid serves one or two"
    if not np.all(np.asarray(ravel_pytree(law.diffusion(state, 0))[0]) > 0):
        return "its noise does not reach every coordinate: the generator is not elliptic"
    return None


def solve(problem: Problem, cells: int | None, box: Any, periodic: Any) -> tuple[Contribution, list[str]]:
    """The derivative of the continuum's stationary average, and what speaks against it."""
    visited = _visited(problem.law())
    d = visited.shape[1]
    count = (2048 if d == 1 else 128) if cells is None else cells
    found = _given(box, periodic, d) if box is not None else _found(problem, visited)
    if found is None:
        raise NotApplicable(
            f"`Implicit` found no box beyond which the stationary density of {type(problem.law()).__name__} dies out: the "
            "motion is unbounded, or it is periodic. Give the box, as `Implicit(box=((0.0, 6.283),), periodic=True)`, or "
            "with reflecting walls without `periodic`."
        )
    grid = dataclasses.replace(found, cells=(count,) * d)
    fine, middle, coarse = (_response(problem, grid.coarser(factor), visited) for factor in (1, 2, 4))
    better, worse = _extrapolated(fine, middle), _extrapolated(middle, coarse)
    # The condition of second differences, and so round-off, grows as the square of the cells along an axis.
    rounding = np.finfo(float).eps * count**2
    error = jax.tree.map(lambda a, b: np.abs(a - b) + rounding * np.abs(a), better, worse)
    value, gradient = jax.tree.map(lambda leaf: leaf[None], better)
    return Solved(value, gradient, errors=error), list(_complaints(better[1], error[1], count))


def _extrapolated(fine: PyTree, coarse: PyTree) -> PyTree:
    """Richardson's extrapolation of an error of second order over a halved spacing."""
    return jax.tree.map(lambda a, b: (4 * a - b) / 3, fine, coarse)


def _complaints(gradient: PyTree, error: PyTree, cells: int) -> Iterator[str]:
    size, wrong = (float(np.linalg.norm(ravel_pytree(tree)[0])) for tree in (gradient, error))
    if wrong > _COARSE * size and size > 0:
        yield (
            f"the grid of {cells} cells an axis leaves an error of {wrong / size:.0%} of the gradient: raise `cells`, or "
            "give a narrower `box`."
        )


def _visited(law: Any) -> Float[np.ndarray, "n d"]:
    """A few states that the law visits, as points."""
    states = scout.walk(law, jax.random.key(0), 2048)
    return np.concatenate([np.reshape(leaf, (len(leaf), -1)) for leaf in jax.tree.leaves(states)], axis=1).astype(float)


def _given(box: Any, periodic: Any, d: int) -> Grid:
    edges = np.asarray(box, float)
    if edges.shape != (d, 2) or not np.all(np.isfinite(edges)) or not np.all(edges[:, 0] < edges[:, 1]):
        raise ValueError(
            f"Argument `box` must hold ((low, high), ...) with low < high for each of {d} coordinates, but it was {box!r}."
        )
    around = tuple(bool(p) for p in np.broadcast_to(periodic, d))
    return Grid(edges[:, 0], edges[:, 1], (_SEARCH,) * d, around)


def _found(problem: Problem, visited: Float[np.ndarray, "n d"]) -> Grid | None:
    """A box around what was visited, moved until the density has died out on all of its walls; None where it does not."""
    d = visited.shape[1]
    low, high = visited.min(axis=0), visited.max(axis=0)
    reach = np.maximum(high - low, 1e-3)
    grid: Grid | None = Grid(low - reach, high + reach, (_SEARCH,) * d, (False,) * d)
    for _ in range(_ROUNDS):
        found = grid
        try:
            grid = _moved(found, _density(problem, found, visited)[1].reshape(found.cells))
        except NotApplicable:
            return None
        if grid is None:
            return found
    return None


def _moved(grid: Grid, density: Float[np.ndarray, "*cells"]) -> Grid | None:
    """The box with walls nearer to where the density ends, or farther out where it has not ended; None if it fits."""
    low, high, fits = grid.low.copy(), grid.high.copy(), True
    for axis, n in enumerate(grid.cells):
        others = tuple(a for a in range(len(grid.cells)) if a != axis)
        there = np.nonzero(density.max(axis=others) > _NOTHING * density.max())[0]
        width, first, last = high[axis] - low[axis], there[0], there[-1]
        low[axis] += width * (-0.5 if first == 0 else max(first - 2, 0) / n)
        high[axis] -= width * (-0.5 if last == n - 1 else max(n - 3 - last, 0) / n)
        fits &= first > 0 and last < n - 1 and last - first > n / 2
    return None if fits else dataclasses.replace(grid, low=low, high=high)


@eqx.filter_jit
def _rates(problem: Problem, grid: Grid) -> tuple[Array, Array]:
    """Rates of jumps through every cell's upper face, upward and downward: shape (d, *cells)."""
    return _jump_rates(problem.law(), grid)


def _jump_rates(law: Any, grid: Grid) -> tuple[Array, Array]:
    _, unravel = ravel_pytree(strong(law.init(jax.random.key(0))))
    at = lambda function, points: _on_grid(lambda x: ravel_pytree(function(unravel(x), 0))[0], points)
    diffusivity = 0.5 * at(law.diffusion, grid.points()) ** 2
    upward, downward = [], []
    for axis, h in enumerate(grid.spacing):
        here = diffusivity[..., axis]
        open_face = 1.0 if grid.periodic[axis] else _inner_faces(grid, axis)
        face = grid.points(towards=axis)
        between = 0.5 * at(law.diffusion, face)[..., axis] ** 2
        peclet = at(law.drift, face)[..., axis] * h / between
        upward.append(open_face * _bernoulli(-peclet) * here / h**2)
        downward.append(open_face * _bernoulli(peclet) * jnp.roll(here, -1, axis) / h**2)
    return jnp.stack(upward), jnp.stack(downward)


def _on_grid(function: Any, points: Float[Array, "*cells d"]) -> Array:
    """A function of a point at all points of a grid."""
    values = jax.vmap(function)(points.reshape(-1, points.shape[-1]))
    return values.reshape(*points.shape[:-1], *values.shape[1:])


def _inner_faces(grid: Grid, axis: int) -> Array:
    """0 at the upper face of the last cells, a wall, and 1 elsewhere."""
    along = jnp.arange(grid.cells[axis]) < grid.cells[axis] - 1
    return along.reshape([-1 if a == axis else 1 for a in range(len(grid.cells))]).astype(float)


def _bernoulli(z: Array) -> Array:
    """z / (exp(z) - 1), smooth at zero; beyond z = 80 a jump never happens."""
    small = jnp.abs(z) < 1e-2
    bounded = jnp.where(small, 1.0, jnp.minimum(z, 80.0))
    return jnp.where(small, 1 - z / 2 + z**2 / 12 - z**4 / 720, bounded / jnp.expm1(bounded))


def _density(problem: Problem, grid: Grid, visited: Float[np.ndarray, "n d"]) -> tuple[Any, Float[np.ndarray, " n"]]:
    """A solver of Poisson's equation, `solve(right) -> potential` for columns, and the stationary density."""
    up, down = (np.asarray(rates, float) for rates in _rates(problem, grid))
    if not (np.all(np.isfinite(up)) and np.all(np.isfinite(down))):
        raise NotApplicable(
            f"`Implicit` needs a finite drift in the whole box, but between {grid.low} and {grid.high} the law has none: "
            "give a narrower `box`."
        )
    generator = _generator(up, down, grid)
    # One cell is pinned, where the density is not small: the rest of the generator has an inverse.
    pinned = grid.cell_of(visited[-1])
    kept = np.delete(np.arange(generator.shape[0]), pinned)
    factors = _factorised(-generator[kept][:, kept], grid)
    density = np.ones(generator.shape[0])
    density[kept] = factors.solve(generator[pinned, kept].toarray().ravel(), trans="T")

    def solve(right: Float[np.ndarray, "n m"]) -> Float[np.ndarray, "n m"]:
        potential = np.zeros_like(right)
        potential[kept] = factors.solve(right[kept])
        return potential

    return solve, density / density.sum()


def _factorised(matrix: Any, grid: Grid) -> Any:
    try:
        return scipy.sparse.linalg.splu(matrix.tocsc())
    except RuntimeError as singular:
        raise NotApplicable(
            f"`Implicit` finds parts of the box between {grid.low} and {grid.high} that the others are never reached from, "
            "to rounding: give a narrower `box`, or more `cells`."
        ) from singular


def _generator(up: np.ndarray, down: np.ndarray, grid: Grid) -> Any:
    """The sparse generator Q of the jump process, its rows summing to zero."""
    number = np.arange(up[0].size).reshape(grid.cells)
    above = np.stack([np.roll(number, -1, axis) for axis in range(len(grid.cells))]).ravel()
    here = np.broadcast_to(number, up.shape).ravel()
    rows, columns = np.concatenate([here, above]), np.concatenate([above, here])
    jumps = scipy.sparse.csr_array((np.concatenate([up.ravel(), down.ravel()]), (rows, columns)), (number.size,) * 2)
    return (jumps - scipy.sparse.diags_array(jumps.sum(axis=1))).tocsr()


def _response(problem: Problem, grid: Grid, visited: Float[np.ndarray, "n d"]) -> tuple[np.ndarray, PyTree]:
    """The stationary average on this grid, and its exact derivative."""
    solve, density = _density(problem, grid, visited)
    values = np.asarray(_observed(problem, grid), float).reshape(density.size, -1)
    potential = solve(values - density @ values).reshape(*grid.cells, -1)
    gradient, value = _differentiate(problem, grid, jnp.asarray(density.reshape(grid.cells)), jnp.asarray(potential))
    return np.asarray(value), jax.tree.map(np.asarray, gradient)


@eqx.filter_jit
def _observed(problem: Problem, grid: Grid) -> Float[Array, "..."]:
    return _terms(problem, problem.law(), grid)


def _terms(problem: Problem, law: Any, grid: Grid) -> Float[Array, "..."]:
    _, unravel = ravel_pytree(strong(law.init(jax.random.key(0))))
    return _on_grid(lambda x: problem.observable.term(law, unravel(x)), grid.points())


@eqx.filter_jit
def _differentiate(
    problem: Problem, grid: Grid, density: Float[Array, "*cells"], potential: Float[Array, "*cells m"]
) -> tuple[PyTree, Array]:
    """The derivative of the average and, with density and potential held, of the generator's action."""
    d = len(grid.cells)

    def average(parameters: PyTree) -> tuple[Array, Array]:
        law = problem.law(parameters)
        up, down = _jump_rates(law, grid)
        flow = jnp.zeros(potential.shape[-1])
        for axis in range(d):
            step = jnp.roll(potential, -1, axis) - potential
            net = up[axis] * density - down[axis] * jnp.roll(density, -1, axis)
            flow = flow + jnp.tensordot(net, step, axes=d)
        value = jnp.tensordot(density, _terms(problem, law, grid), axes=d)
        return value + flow.reshape(value.shape).astype(value.dtype), value

    return jax.jacrev(average, has_aux=True)(problem.parameters)
