"""Splitting words over B (kick), A (drift), O (Ornstein-Uhlenbeck): what one step of such a word does.

A letter that stands k times in a word takes 1/k of the time step each time. Between two drifts stands a run of kicks
and thermostats at one position: an affine map of the velocity with Gaussian noise. That is all a path density needs.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import equinox as eqx

from pliant.core.laws import HasPathDensity
from pliant.dynamics._shared import KickDrift

LETTERS = "BAO"


@dataclasses.dataclass(frozen=True)
class Word:
    """A splitting word, for example "BAOAB"."""

    letters: str

    def __post_init__(self) -> None:
        if (
            not isinstance(self.letters, str)
            or not set(self.letters) <= set(LETTERS)
            or not {"A", "B"} <= set(self.letters)
        ):
            raise ValueError(
                f'Argument `splitting` must be a word over B, A and O with at least one A and one B, such as "BAOAB", but '
                f"it was {self.letters!r}."
            )

    @property
    def thermostats(self) -> int:
        """How many noises a step takes."""
        return self.letters.count("O")

    def share(self, letter: str) -> float:
        """The part of the time step that each occurrence of a letter takes."""
        return 1.0 / self.letters.count(letter)

    @property
    def carries_force(self) -> bool:
        """Whether the force of a step's end is the first that the next step needs."""
        first, last = self.letters.index("A"), self.letters.rindex("A")
        return "B" in self.letters[:first] and "B" in self.letters[last:]

    @property
    def runs(self) -> list[str]:
        """The runs of kicks and thermostats before, between and after the drifts; some may be empty."""
        return self.letters.split("A")

    @property
    def has_density(self) -> bool:
        """Whether every kick shares its run with a thermostat: then the phase-space path has a density."""
        return bool(self.thermostats) and all("O" in run or not run for run in self.runs)

    @property
    def has_position_density(self) -> bool:
        """Whether the word is a BAOAB or a BAOA: singular in phase space, with a density of positions alone."""
        return self.letters in ("BAOAB", "BAOA")

    def walk(self) -> Iterator[tuple[str, float]]:
        """Each letter with the part of the step's drift that is done before it."""
        done = 0.0
        for letter in self.letters:
            yield letter, done
            done += self.share("A") * (letter == "A")


class Split(KickDrift):
    """A scheme by a splitting word: what kicks, drifts and thermostats share, whatever the thermostat is."""

    dt: eqx.AbstractVar[Any]
    splitting: eqx.AbstractVar[str]

    @property
    def word(self) -> Word:
        """The splitting as a word."""
        return Word(self.splitting)

    @property
    def path_singular(self) -> tuple[str, ...]:
        return ("dt", "x0", "v0")

    def refusal(self, capability: type) -> str | None:
        word = self.word
        if capability is HasPathDensity and not (word.has_density or word.has_position_density):
            return (
                f"in the splitting {word.letters} a kick stands between drifts without a thermostat: a changed force "
                "moves the paths that are possible at all, and path laws are mutually singular; use OBABO, ABOBA or "
                "BAOAB, or a pathwise estimator."
            )
        return super().refusal(capability)

    @property
    def _drift_time(self) -> Any:
        return self.word.share("A") * self.dt

    @property
    def _kick_time(self) -> Any:
        return self.word.share("B") * self.dt / self._mass

    @property
    def _whole_kick(self) -> Any:
        """The kick before the first drift of a path: half a step's for BAOAB, a whole one for BAOA."""
        return self.word.runs[0].count("B") * self._kick_time
