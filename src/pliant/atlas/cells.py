"""A cell of the atlas: one estimator on one dynamics of one system at one setting."""

import dataclasses
import hashlib
import json
from typing import Any

OptionValue = bool | int | float | str
Options = tuple[tuple[str, OptionValue], ...]

_HASH_DIGITS = 8


@dataclasses.dataclass(frozen=True)
class Cell:
    """The whole specification of one measurement; what is measured is a pure function of it.

    Parameters
    ----------
    system, dynamics, estimator
        The names of the components: the system's `name`, and two class names.
    dt, horizon, burn_in, replicas
        Step, number of steps, number of first steps left out of averages, and number of independent replicas.
    options
        Keyword arguments of the estimator, sorted by name.
    precision
        `"float64"` or `"float32"`.
    timeout
        Seconds after which the cell is given up. It is no part of the identity of a cell.
    atlas_seed
        The seed of the whole atlas, from which the cell's own derives.
    """

    system: str
    dynamics: str
    estimator: str
    dt: float
    horizon: int
    burn_in: int
    replicas: int
    options: Options = ()
    precision: str = "float64"
    timeout: float = 300.0
    atlas_seed: int = 0

    @property
    def id(self) -> str:
        """A readable name that two different settings never share."""
        return f"{self.system}/{self.dynamics}/{self.estimator}/T{self.horizon}-{self._digest}"

    @property
    def seed(self) -> int:
        """The cell's own seed, 31 bits: it depends on no other cell, hence on no order of execution."""
        return int(_sha256(f"{self.atlas_seed}:{self.id}"), 16) % 2**31

    @property
    def group(self) -> tuple:
        """Cells of one group differ in values alone, so that they share one compilation."""
        return (
            self.system,
            self.dynamics,
            self.estimator,
            self.horizon,
            self.burn_in,
            self.replicas,
            self.options,
            self.precision,
        )

    @property
    def _digest(self) -> str:
        setting = self.as_dict()
        del setting["timeout"], setting["atlas_seed"]
        return _sha256(json.dumps(setting, sort_keys=True))[:_HASH_DIGITS]

    def as_dict(self) -> dict[str, Any]:
        """The fields with the options as a dictionary, ready for JSON."""
        return dataclasses.asdict(self) | {"options": dict(self.options)}

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> "Cell":
        """The inverse of `as_dict`."""
        options = {"options": tuple(sorted(fields["options"].items()))}
        merged: dict[str, Any] = {**fields, **options}
        return cls(**merged)


def fingerprint(cells: tuple[Cell, ...]) -> str:
    """A hash of what is to be measured: the same for two configurations that ask for the same results."""
    return _sha256("\n".join(sorted(f"{cell.id} {cell.seed}" for cell in cells)))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
