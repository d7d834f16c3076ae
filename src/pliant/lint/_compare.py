"""A derivative against differences, and forward mode against reverse mode: what they say where they disagree."""

from collections.abc import Sequence

import numpy as np

from pliant.lint._probe import Edge, Probe, Sample

# Differences over this step and half of it agree with an honest derivative to better than this.
_STEP, _AGREE = 1e-3, 1e-4
# Beside an edge the step is this share of the distance to it, and no smaller than the least: below it differences are noise.
_SHARE, _LEAST = 0.5, 1e-6

Disagreement = tuple[str, float]
"""The numbers of both, empty where they agree, and their relative difference."""


def against_differences(probe: Probe, here: Sample, edges: Sequence[Edge]) -> Disagreement:
    """The derivative along a direction, which moves all parameters, and what the function does on this side of all `edges`."""
    nearest = min((abs(edge.t) for edge in edges if edge.direction == 0 and (edge.jump or edge.bend)), default=np.inf)
    step = float(np.clip(_SHARE * nearest, _LEAST, _STEP))
    differences = _differences(probe, here.value[:1], here.slope[:1], step)
    off = _off(here.slope[:1], differences)
    if not np.nanmax(off, initial=0.0) > _AGREE:
        return "", 0.0
    worst = np.unravel_index(np.nanargmax(off), off.shape)
    unit = probe.length(int(worst[0]))
    numbers = f"it gives {number(here.slope[worst] / unit)}, differences {number(differences[worst] / unit)}"
    return numbers, float(off[worst])


def against_reverse_mode(probe: Probe, here: Sample) -> Disagreement:
    """Of a weighted sum of outputs, where there is a reverse mode."""
    gradient = probe.gradient
    if gradient is None:
        return "", 0.0
    reverse, forward = probe.directions @ gradient, here.slope @ probe.weights
    off = _off(reverse, forward, 1e-9 * np.abs(here.slope).sum(axis=1))
    worst = int(np.argmax(off))
    if not off[worst] > _AGREE:
        return "", 0.0
    unit = probe.length(worst)
    numbers = f"reverse mode gives {number(reverse[worst] / unit)}, forward mode {number(forward[worst] / unit)}"
    return numbers, float(off[worst])


def number(value: float) -> str:
    """A number as a message shows it."""
    return f"{value + 0.0:.6g}"


def _differences(probe: Probe, value: np.ndarray, slope: np.ndarray, step: float) -> np.ndarray:
    """Central differences along it, extrapolated where they do not agree at once; NaN where they do not settle."""
    wide = _central(probe, step)
    if np.all(_off(wide, slope) < _AGREE):
        return wide
    narrow = _central(probe, 0.5 * step)
    noise = 1e-12 * np.abs(value) / (0.5 * step)
    settled = np.abs(wide - narrow) < 1e-2 * (np.abs(wide) + np.abs(narrow)) + noise
    found = (4 * narrow - wide) / 3
    relevant = np.abs(found - slope) > 10 * noise
    return np.where(settled & relevant, found, np.where(settled, slope, np.nan))


def _central(probe: Probe, h: float) -> np.ndarray:
    """Of the outputs, (1, outputs)."""
    ahead, behind = probe.values(probe.theta + np.array([[h], [-h]]) * probe.directions[0])
    return (ahead - behind)[None] / (2 * h)


def _off(found: np.ndarray, true: np.ndarray, floor: np.ndarray | float = 0.0) -> np.ndarray:
    """The relative difference of two derivatives."""
    return np.abs(found - true) / (np.abs(found) + np.abs(true) + floor + 1e-300)
