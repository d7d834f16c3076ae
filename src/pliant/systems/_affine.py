r"""Dynamics whose step is affine with Gaussian noise, $z' = M z + N R$: exact moments at every time.

Everything here is analytic in its arguments and uses transposes without conjugation, so that an argument with a tiny
imaginary part carries its exact derivative along (`complex_step`).
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Inexact, Num

from pliant.dynamics import Langevin, OverdampedLangevin, VelocityVerlet
from pliant.systems._system import numbers

Number = complex | float


@dataclasses.dataclass(frozen=True)
class Affine:
    r"""The recursion $z' = M z + N R$ with standard normal $R$ from a Gaussian start; the position is `z[0]`."""

    matrix: Num[np.ndarray, "d d"]
    noise: Num[np.ndarray, "d q"]
    mean: Num[np.ndarray, " d"]
    covariance: Num[np.ndarray, "d d"]

    def moments(self, horizon: int) -> tuple[Inexact[np.ndarray, "horizon d"], Inexact[np.ndarray, "horizon d d"]]:
        r"""Means $m' = M m$ and covariances $C' = M C M^T + N N^T$ at the times 1 to horizon."""
        mean, covariance, gained = self.mean, self.covariance, self.noise @ self.noise.T
        means, covariances = [], []
        for _ in range(horizon):
            mean, covariance = self.matrix @ mean, self.matrix @ covariance @ self.matrix.T + gained
            means.append(mean)
            covariances.append(covariance)
        return np.array(means), np.array(covariances)

    def stationary(self) -> Inexact[np.ndarray, "d d"]:
        r"""The covariance that solves the discrete Lyapunov equation $C = M C M^T + N N^T$."""
        size = len(self.matrix)
        operator = np.eye(size**2) - np.kron(self.matrix, self.matrix)
        return np.linalg.solve(operator, (self.noise @ self.noise.T).ravel()).reshape(size, size)


def splitting(
    letters: str,
    *,
    k: Number,
    dt: Number,
    kT: Number,
    mass: Number,
    friction: Number = 0.0,
    x0: Number = 0.0,
    v0: Number | None = None,
) -> Affine:
    """One step of a splitting word on U = k x^2 / 2 in (position, velocity); `v0=None` draws from Maxwell-Boltzmann."""
    matrix, columns = np.eye(2), []
    share = {letter: dt / letters.count(letter) for letter in set(letters)}
    for letter in letters:
        h = share[letter]
        damping = np.exp(-friction * h)
        move = {
            "A": np.array([[1.0, h], [0.0, 1.0]]),
            "B": np.array([[1.0, 0.0], [-h * k / mass, 1.0]]),
            "O": np.array([[1.0, 0.0], [0.0, damping]]),
        }[letter]
        matrix, columns = move @ matrix, [move @ column for column in columns]
        if letter == "O":
            columns.append(np.array([0.0, np.sqrt((1 - damping**2) * kT / mass)]))
    start = np.zeros((2, 2)) if v0 is not None else np.array([[0.0, 0.0], [0.0, kT / mass]])
    noise = np.array(columns).T if columns else np.zeros((2, 1))
    return Affine(matrix, noise, np.array([x0, 0.0 if v0 is None else v0]), start)


def euler_maruyama(*, k: Number, dt: Number, kT: Number, mass: Number, friction: Number, x0: Number = 0.0) -> Affine:
    """One Euler-Maruyama step of overdamped dynamics on U = k x^2 / 2."""
    step = dt / (friction * mass)
    one = lambda value: np.array([[value]])
    return Affine(one(1 - k * step), one(np.sqrt(2 * kT * step)), np.array([x0]), one(0.0))


def leimkuhler_matthews(
    *, k: Number, dt: Number, kT: Number, mass: Number, friction: Number, x0: Number = 0.0
) -> Affine:
    """One Leimkuhler-Matthews step on U = k x^2 / 2, in (position, the noise that the next step shares)."""
    step = dt / (friction * mass)
    half = np.sqrt(kT * step / 2)
    matrix = np.array([[1 - k * step, half], [0.0, 0.0]])
    return Affine(matrix, np.array([[half], [1.0]]), np.array([x0, 0.0]), np.diag([0.0, 1.0]))


def of_law(law: Langevin | VelocityVerlet | OverdampedLangevin, **changed: Any) -> Affine:
    """The affine recursion of a law of one coordinate on a harmonic potential, with some of its numbers `changed`."""
    settings: dict[str, Any] = numbers(law, "dt", "kT", "mass") | {"k": float(law.potential.k), "x0": float(law.x0[0])}
    if not isinstance(law, VelocityVerlet):
        settings |= numbers(law, "friction")
    if isinstance(law, OverdampedLangevin):
        scheme = euler_maruyama if law.scheme == "euler_maruyama" else leimkuhler_matthews
        return scheme(**settings | changed)
    settings["v0"] = None if law.v0 is None else float(np.ravel(law.v0)[0])
    letters = law.splitting if isinstance(law, Langevin) else "BAB"
    return splitting(letters, **settings | changed)


def complex_step(function: Callable[[complex], Num[np.ndarray, "..."]], at: float) -> Num[np.ndarray, "..."]:
    r"""The derivative $\operatorname{Im} f(x + i \epsilon) / \epsilon$ of an analytic function, to round-off.

    Source: Squire and Trapp, SIAM Rev. 40, 110 (1998).
    """
    tiny = 1e-100
    return np.imag(function(at + 1j * tiny)) / tiny


def complex_steps(function: Callable[..., Any], at: Mapping[str, float]) -> list[Any]:
    """The derivatives of a function of keywords by each of them, at those in `at`."""
    return [complex_step(lambda x, name=name: function(**{**at, name: x}), value) for name, value in at.items()]
