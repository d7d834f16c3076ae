"""What a walk over a program that draws meets: arrays of one axis, with their place in the run."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from pliant.core.chance.chains import Chain, Source
from pliant.core.chance.draws import Family


@dataclasses.dataclass(frozen=True)
class Noise:
    """The numbers that outcomes hang on: of which uniform, from which pass of the loops around, and which elements."""

    source: Source
    iteration: Any
    element: Any

    @classmethod
    def of(cls, chain: Chain) -> "Noise":
        """That of a chain."""
        return cls(chain.source, chain.iteration.reshape(-1), chain.element.reshape(-1))


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A draw: `value` and `parameters` flat over elements, and a key for each."""

    family: Family
    site: int
    iteration: Any
    key: Any
    value: Any
    parameters: Sequence[Any]


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Whether numbers reach a threshold: `value`, true with probability `chance`.

    It switches at `uniform`, and is true above it where the number `rises` with its noise.
    """

    site: int
    iteration: Any
    value: Any
    chance: Any
    uniform: Any
    rises: Any
    noise: Noise


@dataclasses.dataclass(frozen=True)
class Edge:
    """Where a whole number k becomes k + 1: `above`, the chance of more than k; `beside`, that of k or k + 1."""

    above: Any
    beside: Any
    uniform: Any


@dataclasses.dataclass(frozen=True)
class Digit:
    """Whole numbers, each a step function of a noise: `value`, which came out with probability `chance`, between its edges."""

    site: int
    iteration: Any
    value: Any
    chance: Any
    low: Edge
    high: Edge
    rises: Any
    noise: Noise
