"""Measurements of one program around one point: dual walks in batches, edges located, jumps across them."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from numpy.typing import ArrayLike

from pliant.core.activity import inexact
from pliant.core.programs import Program
from pliant.lint._flow import Flow, Path, Site
from pliant.lint._walk import Walk

# Steps beside an edge, in units of a direction: what stays between them is a jump, what shrinks is curvature.
_BESIDE = (1e-4, 1e-6)
_QUICK: Any = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
_NEWTON, _HALVINGS = 6, 40


@dataclasses.dataclass(frozen=True)
class Sample:
    """The program at some points: `value` and `slope` along the direction, (points, outputs); records by site."""

    value: np.ndarray
    slope: np.ndarray
    records: dict[Path, Any]


@dataclasses.dataclass(frozen=True)
class Edge:
    """A located edge.

    **Fields**: `site`; `direction` and the step `t` along it; `located`; of `output`, whose jump is largest: `jump` of the
    value, `bend` of the slope, `before` and `after`: slopes on both sides; `finite`: whether values are, beside it.
    """

    site: Site
    direction: int
    t: float
    located: bool
    jump: float = 0.0
    bend: float = 0.0
    before: float = 0.0
    after: float = 0.0
    output: int = 0
    finite: bool = True


class Probe:
    """One program around one point, `reach` of its moving inputs along `directions`, (D, n)."""

    def __init__(
        self, program: Program, flow: Flow, point: Sequence[Any], moving: Sequence[bool], directions: np.ndarray
    ):
        self.flow, self.directions = flow, directions
        moved = [value for value, moves in zip(point, moving, strict=True) if moves]
        flat, unravel = ravel_pytree(moved)
        self.theta = np.asarray(flat)
        walk = Walk(program, flow)

        def place(vector: Any, others: Sequence[Any]) -> list[Any]:
            ahead = iter(unravel(vector))
            return [next(ahead) if moves else other for moves, other in zip(moving, others, strict=True)]

        def at(vector: Any, direction: Any) -> tuple:
            duals, records = walk(place(vector, point), place(direction, [None] * len(point)))
            return (
                _real([d.value for d in duals]),
                _real([d.full if inexact(d.value) else jnp.zeros(jnp.shape(d.value)) for d in duals]),
                records,
            )

        def value(vector: Any) -> Any:
            return _real(program.evaluate(*place(vector, point)))

        # One after another: a batch would take both sides of every branch, and there are callbacks that bear none.
        self._batch = _compiled(lambda points, vectors: lax.map(lambda pair: at(*pair), (points, vectors)))
        self.values = _compiled(lambda points: lax.map(value, points))
        self.value = value

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """Of the outputs, in the sum that `gradient` is the derivative of."""
        size = jax.eval_shape(self.value, self.theta).size
        return np.random.default_rng(2).uniform(0.5, 1.5, size) if size > 1 else np.ones(1)

    @functools.cached_property
    def gradient(self) -> np.ndarray | None:
        """Of the weighted sum of outputs in reverse mode; None where there is no reverse mode."""
        weights = self.weights
        try:
            return np.asarray(_compiled(jax.grad(lambda vector: self.value(vector) @ weights))(self.theta))
        except Exception:  # a loop of unknown length, a callback: what has no reverse mode is found elsewhere
            return None

    def length(self, index: int) -> float:
        """What a slope is divided by: the length of a direction, with its sign where there is one parameter."""
        direction = self.directions[index]
        return float(direction[0]) if direction.size == 1 else float(np.linalg.norm(direction))

    def sample(self, steps: ArrayLike, directions: Sequence[int]) -> Sample:
        """The program at `theta + t v` for pairs of a step and the index of a direction, in batches of one size."""
        size = 3 * len(self.directions)
        padded = -(-len(directions) // size) * size
        fill = (0, padded - len(directions))
        vectors = self.directions[np.pad(np.asarray(directions, int), fill, "edge")]
        points = self.theta + np.pad(np.asarray(steps, float), fill, "edge")[:, None] * vectors
        parts = [self._batch(points[i : i + size], vectors[i : i + size]) for i in range(0, padded, size)]
        value, slope, records = jax.tree.map(lambda *arrays: np.concatenate(arrays)[: len(directions)], *parts)
        return Sample(value, slope, records)

    def locate(self, candidates: Sequence[tuple[Site, int, float]]) -> list[Edge]:
        """Newton's method onto the edges of all candidates at once, then both sides of each."""
        if not candidates:
            return []
        sites, chosen = [site for site, _, _ in candidates], [direction for _, direction, _ in candidates]
        steps = np.array([step for _, _, step in candidates])
        left = np.zeros(len(steps))
        for _ in range(_NEWTON):
            records = self.sample(steps, chosen).records
            left = np.array([records[site.path].crossings[i, 0] for i, site in enumerate(sites)])
            steps = np.where(np.isfinite(left), steps + left, steps)
        located = np.abs(left) < 1e-7 * (1 + np.abs(steps))
        steps, located = self._bisect(sites, chosen, steps, located)
        beside = [self._sides(steps, chosen, h) for h in _BESIDE]
        return [
            _edge(site, direction, float(t), bool(found), [side[i] for side in beside])
            for i, (site, direction, t, found) in enumerate(zip(sites, chosen, steps, located, strict=True))
        ]

    def _bisect(self, sites: list[Site], chosen: list[int], steps: np.ndarray, located: np.ndarray) -> tuple:
        """Where Newton's method went astray although elements change sides within reach: halve the interval."""
        astray = [i for i in range(len(sites)) if not located[i]]
        if not astray:
            return steps, located
        sides = lambda t, which: np.array(
            [
                record.records[sites[i].path].sides[k]
                for record in [self.sample(t, [chosen[i] for i in which])]
                for k, i in enumerate(which)
            ]
        )
        here = sides(np.zeros(len(astray)), astray)
        far = np.where(sides(np.ones(len(astray)), astray) != here, 1.0, -1.0)
        crossed = sides(far, astray) != here
        low, high = np.zeros(len(astray)), far
        for _ in range(_HALVINGS if crossed.any() else 0):
            middle = 0.5 * (low + high)
            beyond = sides(middle, astray) != here
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        steps, located = steps.copy(), located.copy()
        steps[astray], located[astray] = np.where(crossed, 0.5 * (low + high), steps[astray]), crossed
        return steps, located

    def _sides(self, steps: np.ndarray, chosen: Sequence[int], h: float) -> list[tuple]:
        before, after = self.sample(steps - h, chosen), self.sample(steps + h, chosen)
        jumps = after.value - before.value - h * (after.slope + before.slope)
        return list(zip(jumps, before.slope, after.slope, after.value, strict=True))


def _compiled(function: Callable) -> Callable:
    """What is run a few times only, and had better compile soon than run fast."""
    return jax.jit(function, compiler_options=_QUICK)


def _edge(site: Site, direction: int, t: float, located: bool, sides: list[tuple]) -> Edge:
    (wide_jump, wide_before, wide_after, _), (jump, before, after, value) = sides
    finite = bool(np.all(np.isfinite(jump)) and np.all(np.isfinite(after - before)))
    if not finite:
        return Edge(site, direction, t, located, finite=False)
    bend, wide_bend = after - before, wide_after - wide_before
    size = np.abs(value) + np.abs(before) + np.abs(after)
    # What is not there at a hundredth of the distance was curvature or round-off.
    jump = np.where((np.abs(jump) > 1e-8 * size) & (np.abs(jump) > 0.3 * np.abs(wide_jump)), jump, 0.0)
    slopes = np.abs(before) + np.abs(after)
    bend = np.where((np.abs(bend) > 1e-6 * slopes) & (np.abs(bend) > 0.3 * np.abs(wide_bend)), bend, 0.0)
    worst = int(np.argmax(np.abs(jump))) if jump.any() else int(np.argmax(np.abs(bend)))
    numbers = (float(array[worst]) for array in (jump, bend, before, after))
    return Edge(site, direction, t, located, *numbers, output=worst)


def _real(arrays: Sequence[Any]) -> Any:
    """Real numbers in one row; whole numbers move by jumps alone."""
    flat = []
    for array in map(jnp.asarray, arrays):
        parts = [array.real, array.imag] if jnp.iscomplexobj(array) else [array]
        flat += [part.astype(float).ravel() for part in parts]
    return jnp.concatenate(flat)
