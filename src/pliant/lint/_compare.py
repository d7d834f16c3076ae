"""A derivative against differences, and forward mode against reverse mode: what they say where they disagree."""

import numpy as np

from pliant.lint._probe import Probe, Sample

# Differences over these steps agree with an honest derivative to better than this.
_STEPS, _AGREE = (1e-3, 5e-4), 1e-4

Disagreement = tuple[str, float]
"""The numbers of both, empty where they agree, and their relative difference."""


def against_differences(probe: Probe, here: Sample) -> Disagreement:
    """The derivative along a direction, which moves all parameters, and what the function does next to the arguments."""
    differences = _differences(probe, here.value[:1], here.slope[:1])
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


def _differences(probe: Probe, value: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Central differences along it, extrapolated where they do not agree at once; NaN where they do not settle."""
    wide = _central(probe, _STEPS[0])
    if np.all(_off(wide, slope) < _AGREE):
        return wide
    narrow = _central(probe, _STEPS[1])
    noise = 1e-12 * np.abs(value) / _STEPS[1]
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
