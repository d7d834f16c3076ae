"""Measurements of one program around one point: dual walks in batches, edges located, jumps across them."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpy.typing import ArrayLike

from pliant.core.programs import Program
from pliant.lint._compiled import compiled
from pliant.lint._flow import Flow, Path, Site
from pliant.lint._records import Record

# Steps beside an edge, in units of a direction: what stays between them is a jump, what shrinks is curvature. Where edges
# stand closer, the wide step is this share of the gap, if it is no smaller than the least.
_WIDE, _NEAR = 1e-4, 1e-2
_SHARE, _LEAST = 0.25, 1e-7
# Closer edges are one.
_SAME = 1e-9
_NEWTON, _HALVINGS = 6, 34
# What is left after one step and more, over the first step: what has not come nearer than this will not by the last turn.
# Before that, edges of domains are as far as they seemed from the arguments: a distance may vanish nowhere along a line.
_NEARER = 0.9, 0.8, 0.5
# Slopes that grow by more than this on both sides, a hundred times nearer to an edge, grow without bound.
_GROWN = 5.0
# Jumps larger than this times what slopes make of the wide step are no curvature.
_PLAIN = 10.0
# Smaller than these, relative to values and slopes, jumps and bends are round-off.
_JUMP, _BEND = 1e-8, 1e-6


@dataclasses.dataclass(frozen=True)
class Sample:
    """The program at some points: `value` and `slope` along the direction, (points, outputs); records of each by site."""

    value: np.ndarray
    slope: np.ndarray
    records: Sequence[dict[Path, Record]]


@dataclasses.dataclass(frozen=True)
class Edge:
    """A located edge.

    **Fields**: `site`; `direction` and the step `t` along it; `located`; of `output`, whose jump is largest: `jump` of the
    value, `bend` of the slope, `before` and `after`: slopes on both sides; `finite`: whether values are, beside it, and
    `bounded`: whether slopes are, nearer and nearer to it.
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
    bounded: bool = True


class Probe:
    """One program around one point, `reach` of its moving inputs along `directions`, (D, n)."""

    def __init__(
        self, program: Program, flow: Flow, point: Sequence[Any], moving: Sequence[bool], directions: np.ndarray
    ):
        self.flow, self.directions = flow, directions
        self.theta = np.asarray(ravel_pytree([v for v, moves in zip(point, moving, strict=True) if moves])[0])
        self._results = program.results
        self._compiled = compiled(program, flow, point, moving)
        given = program.constants, [None if moves else v for v, moves in zip(point, moving, strict=True)]
        self._given = *given, self._compiled.settled(*given)
        self._looks: dict[tuple[int, float], tuple] = {}
        self._slopes: dict[tuple[int, float], tuple] = {}

    def values(self, points: np.ndarray) -> np.ndarray:
        """The outputs in one row, (points, outputs); none of them is a number where the program raises at one point."""
        try:
            return np.asarray(self._compiled.values(*self._given, points))
        except jax.errors.JaxRuntimeError:
            return np.full((len(points), self.weights.size), np.nan)

    @functools.cached_property
    def weights(self) -> np.ndarray:
        """Of the outputs, in the sum that `gradient` is the derivative of."""
        complex_ones = [jnp.issubdtype(result.dtype, jnp.complexfloating) for result in self._results]
        size = sum(result.size * (1 + c) for result, c in zip(self._results, complex_ones, strict=True))
        return np.random.default_rng(2).uniform(0.5, 1.5, size) if size > 1 else np.ones(1)

    @functools.cached_property
    def gradient(self) -> np.ndarray | None:
        """Of the weighted sum of outputs in reverse mode; None where there is no reverse mode."""
        try:
            return np.asarray(self._compiled.gradient(self.theta, *self._given, self.weights))
        except Exception:  # a loop of unknown length, a callback: what has no reverse mode is found elsewhere
            return None

    def length(self, index: int) -> float:
        """What a slope is divided by: the length of a direction, with its sign where there is one parameter."""
        direction = self.directions[index]
        return float(direction[0]) if direction.size == 1 else float(np.linalg.norm(direction))

    def sample(self, steps: ArrayLike, directions: Sequence[int], looking: bool = True) -> Sample:
        """The program at `theta + t v` for pairs of a step and the index of a direction; records where it is `looking`."""
        # Several sites often have their edge at one point, and points are come back to.
        pairs = [(int(d), float(t)) for d, t in zip(directions, np.asarray(steps), strict=True)]
        known = self._looks if looking else {**self._slopes, **self._looks}
        new = [pair for pair in dict.fromkeys(pairs) if pair not in known]
        found = dict(zip(new, self._sample(new, looking), strict=True))
        (self._looks if looking else self._slopes).update(found)
        rows = [found[pair] if pair in found else known[pair] for pair in pairs]
        values, slopes, records = zip(*rows, strict=True)
        return Sample(np.stack(values), np.stack(slopes), records)

    def _sample(self, pairs: list[tuple[int, float]], looking: bool) -> Iterator[tuple]:
        """Value, slope and records of each, in batches of one size."""
        size = 3 * len(self.directions)
        for part in (pairs[i : i + size] for i in range(0, len(pairs), size)):
            try:
                yield from self._run(part, looking)
            except jax.errors.JaxRuntimeError:
                yield from [self._alone(pair, looking) for pair in part]

    def _run(self, part: list[tuple[int, float]], looking: bool) -> list[tuple]:
        run = self._compiled.looks if looking else self._compiled.slopes
        chosen, steps = (np.resize(column, 3 * len(self.directions)) for column in zip(*part, strict=True))
        vectors = self.directions[chosen]
        found = jax.device_get(run(*self._given, self.theta + steps[:, None] * vectors, vectors, len(part)))
        return [jax.tree.map(lambda array, row=row: array[row], found) for row in range(len(part))]

    def _alone(self, pair: tuple[int, float], looking: bool) -> tuple:
        """Of one point; no numbers and no edges where a program raises, as solvers do that do not converge."""
        direction, step = pair
        try:
            return self._run([pair], looking)[0]
        except jax.errors.JaxRuntimeError:
            if step == 0:
                raise
            value, slope, records = self._run([(direction, 0.0)], looking)[0]
            none = {path: r._replace(crossings=np.full_like(r.crossings, np.inf)) for path, r in records.items()}
            return np.full_like(value, np.nan), np.full_like(slope, np.nan), none

    def locate(self, candidates: Sequence[tuple[Site, int, float]]) -> list[Edge]:
        """The edges of all candidates at once, by Newton's method or by halving, then both sides of each."""
        if not candidates:
            return []
        sites, chosen = [site for site, _, _ in candidates], [direction for _, direction, _ in candidates]
        steps, located, gaps = self._newton(sites, chosen, np.array([step for _, _, step in candidates]))
        # Sides are known at both ends of the first direction: a domain is left there or not.
        chosen = [d if at or site.group != "edges" else 0 for d, at, site in zip(chosen, located, sites, strict=True)]
        steps, located = self._bisect(sites, chosen, steps, located)
        beside = self._beside(sites, steps, chosen, np.clip(_SHARE * gaps, _LEAST, _WIDE), np.flatnonzero(located))
        return [
            _edge(site, direction, float(t), beside[i]) if i in beside else Edge(site, direction, float(t), False)
            for i, (site, direction, t) in enumerate(zip(sites, chosen, steps, strict=True))
        ]

    def _newton(self, sites: list[Site], chosen: list[int], steps: np.ndarray) -> tuple[np.ndarray, ...]:
        """Where it ends, where it got to an edge, and how far the next edge is from there."""
        located, going = np.zeros(len(steps), bool), np.arange(len(steps))
        first, gaps = np.abs(steps), np.full(len(steps), np.inf)
        is_edge = np.array([site.group == "edges" for site in sites])
        for turn in range(_NEWTON):
            records = self.sample(steps[going], [chosen[i] for i in going]).records
            crossings = [row[sites[i].path].crossings for row, i in zip(records, going, strict=True)]
            left = np.array([nearest[0] for nearest in crossings])
            gaps[going] = [_gap(np.asarray(nearest)) for nearest in crossings]
            steps[going] += np.where(np.isfinite(left), left, 0.0)
            located[going] = np.abs(left) < 1e-7 * (1 + np.abs(steps[going]))
            near = np.abs(left) <= _NEARER[min(turn, 2)] * first[going]
            if turn == 0:
                near |= ~is_edge
                first = np.abs(left)
            going = going[np.isfinite(left) & ~located[going] & near]
            if not going.size:
                break
        return steps, located, gaps

    def _beside(
        self, sites: list[Site], steps: np.ndarray, chosen: list[int], h: np.ndarray, which: np.ndarray
    ) -> dict[int, list[tuple]]:
        """Both sides of some edges, the wide step first."""
        if not which.size:
            return {}
        near = dict(zip(which, self._sides(steps[which], [chosen[i] for i in which], _NEAR * h[which]), strict=True))
        # Most edges do nothing to the outputs, and some leave no doubt: only the others are looked at from further off too.
        clear = lambda i, side: _quiet(side) or (sites[i].group != "edges" and _plain(side, float(h[i])))
        seen = np.array([i for i, side in near.items() if not clear(i, side)], int)
        wide = self._sides(steps[seen], [chosen[i] for i in seen], h[seen]) if seen.size else []
        further = dict(zip(seen, wide, strict=True))
        return {int(i): [further.get(i, side), side] for i, side in near.items()}

    def _bisect(self, sites: list[Site], chosen: list[int], steps: np.ndarray, located: np.ndarray) -> tuple:
        """Where Newton's method went astray although elements change sides within reach: halve the interval."""
        lost = [i for i in range(len(sites)) if not located[i]]
        if not lost:
            return steps, located
        # One interval for all that were lost of a site along a direction.
        astray = list({(sites[i].path, chosen[i]): i for i in lost}.values())
        here, far = self._on_side(sites, chosen, astray, 0.0), self._on_side(sites, chosen, astray, 1.0)
        ends = np.where(far != here, 1.0, -1.0)
        crossed = (far != here) | (self._on_side(sites, chosen, astray, -1.0) != here)
        astray, here, high = [i for i, c in zip(astray, crossed, strict=True) if c], here[crossed], ends[crossed]
        low = np.zeros(len(astray))
        for _ in range(_HALVINGS if astray else 0):
            middle = 0.5 * (low + high)
            beyond = self._on_side(sites, chosen, astray, middle) != here
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        steps, located = steps.copy(), located.copy()
        found = {(sites[i].path, chosen[i]): t for i, t in zip(astray, 0.5 * (low + high), strict=True)}
        for i in lost:
            located[i] = (sites[i].path, chosen[i]) in found
            steps[i] = found.get((sites[i].path, chosen[i]), steps[i])
        return steps, located

    def _on_side(self, sites: list[Site], chosen: list[int], which: list[int], steps: ArrayLike) -> np.ndarray:
        """A number for each of `which` that changes where elements of its site change sides."""
        if not which:
            return np.zeros(0)
        records = self.sample(np.broadcast_to(steps, len(which)), [chosen[i] for i in which]).records
        return np.array([row[sites[i].path].sides for row, i in zip(records, which, strict=True)])

    def _sides(self, steps: np.ndarray, chosen: Sequence[int], h: np.ndarray) -> list[tuple]:
        beside = self.sample(np.concatenate([steps - h, steps + h]), [*chosen, *chosen], looking=False)
        (before, after), (left, right) = np.split(beside.value, 2), np.split(beside.slope, 2)
        jumps = after - before - h[:, None] * (right + left)
        return list(zip(jumps, left, right, after, strict=True))


def _gap(crossings: np.ndarray) -> float:
    """From the nearest edge to the next one."""
    finite = crossings[np.isfinite(crossings)]
    apart = np.abs(finite[1:] - finite[:1])
    return float(np.min(apart[apart > _SAME], initial=np.inf))


def _quiet(side: tuple) -> bool:
    """Whether neither the value jumps nor the slope."""
    jump, before, after, value = side
    size = np.abs(value) + np.abs(before) + np.abs(after)
    bend = np.abs(after - before) > _BEND * (np.abs(before) + np.abs(after))
    return bool(np.all(np.isfinite(size)) and not np.any((np.abs(jump) > _JUMP * size) | bend))


def _plain(side: tuple, h: float) -> bool:
    """Whether the value jumps by more than slopes as these could make of it from as far as `h`, wherever they are finite."""
    jump, before, after, _ = side
    slopes = np.abs(before) + np.abs(after)
    return bool(
        np.all(np.isfinite(slopes)) and np.any(jump) and np.all((jump == 0) | (np.abs(jump) > _PLAIN * h * slopes))
    )


def _edge(site: Site, direction: int, t: float, sides: list[tuple]) -> Edge:
    (wide_jump, wide_before, wide_after, _), (jump, before, after, value) = sides
    finite = bool(np.all(np.isfinite(jump)) and np.all(np.isfinite(after - before)))
    if not finite:
        return Edge(site, direction, t, True, finite=False)
    bend, wide_bend = after - before, wide_after - wide_before
    size = np.abs(value) + np.abs(before) + np.abs(after)
    # What is not there at a hundredth of the distance was curvature or round-off.
    jump = np.where((np.abs(jump) > _JUMP * size) & (np.abs(jump) > 0.3 * np.abs(wide_jump)), jump, 0.0)
    slopes = np.abs(before) + np.abs(after)
    bend = np.where((np.abs(bend) > _BEND * slopes) & (np.abs(bend) > 0.3 * np.abs(wide_bend)), bend, 0.0)
    worst = int(np.argmax(np.abs(jump))) if jump.any() else int(np.argmax(np.abs(bend)))
    numbers = (float(array[worst]) for array in (jump, bend, before, after))
    grows = (np.abs(before) > _GROWN * np.abs(wide_before)) & (np.abs(after) > _GROWN * np.abs(wide_after))
    return Edge(site, direction, t, True, *numbers, output=worst, bounded=not np.any(grows))
