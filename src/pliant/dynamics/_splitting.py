"""Splitting words over B (kick), A (drift), O (Ornstein-Uhlenbeck): what one step of such a word does.

A letter that stands k times in a word takes 1/k of the time step each time. Between two drifts stands a run of kicks
and thermostats at one position: an affine map of the velocity with Gaussian noise. That is all a path density needs.
"""

import dataclasses
from collections.abc import Iterator

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
