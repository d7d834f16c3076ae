"""Mixing of finite chains, given by their transition matrix."""

import dataclasses

import numpy as np
from jaxtyping import Float


@dataclasses.dataclass(frozen=True)
class Mixing:
    """A mixing time in steps, with its spectral bracket.

    **Fields**: `steps`: the mixing time; `relaxation`: the relaxation time $1 / (1 - |\\lambda_2|)$ in steps; `lower`,
    `upper`: what it alone says of the mixing time. The upper bound holds for reversible chains.
    """

    steps: int
    relaxation: float
    lower: float
    upper: float


def stationary_law(matrix: Float[np.ndarray, "n n"]) -> Float[np.ndarray, " n"]:
    """The left eigenvector of the eigenvalue one, by least squares with its sum held at one."""
    n = len(matrix)
    system = np.vstack([matrix.T - np.eye(n), np.ones(n)])
    found = np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0]
    return np.clip(found, 0, None)


def steps_to_mix(matrix: np.ndarray, stationary: np.ndarray, tolerance: float) -> int:
    """Powers by doubling until within the tolerance, then the last step of it by bisection: the distance only falls."""
    powers = [matrix]
    while _distance(powers[-1], stationary) > tolerance:
        powers.append(powers[-1] @ powers[-1])
    if len(powers) == 1:
        return 1
    steps, reached = 0, np.eye(len(matrix))
    for exponent in reversed(range(len(powers) - 1)):
        further = reached @ powers[exponent]
        if _distance(further, stationary) > tolerance:
            steps, reached = steps + 2**exponent, further
    return steps + 1


def _distance(power: np.ndarray, stationary: np.ndarray) -> float:
    return float(np.max(np.sum(np.abs(power - stationary), axis=1)) / 2)
