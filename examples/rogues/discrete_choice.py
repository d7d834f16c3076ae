"""The discrete choice: how many of n partons decay, squared; automatic differentiation says zero.

With N binomial, E N^2 = n p (1 - p) + n^2 p^2, so that the derivative by p is n (1 - 2p) + 2 n^2 p.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _page import averaged, curve, plot, show

import pliant

PARTONS, P = 10, 0.6


def decays(p: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.sum(jnp.where(jax.random.bernoulli(key, p, (PARTONS,)), 1.0, 0.0)) ** 2


def exact(p: float) -> float:
    return PARTONS * (1 - 2 * p) + 2 * PARTONS**2 * p


def main() -> None:
    report = pliant.lint(decays, P, jax.random.key(0))
    assert [finding.severity for finding in report] == ["BIAS"]
    gradients: dict[str, tuple[float, float | None]] = {"plain JAX": averaged(jax.grad(decays), P)}
    for estimator in ("replay", "measure_valued", "score"):
        honest = jax.grad(pliant.expect(decays, estimator))
        gradients[f"pliant.expect, {estimator}"] = value, error = averaged(honest, P)
        assert abs(value - exact(P)) < 4 * error
    assert gradients["plain JAX"][0] == 0.0
    show(report, gradients, exact(P))
    p = np.linspace(0.1, 0.9, 9)
    replay = curve(jax.grad(pliant.expect(decays)), p)
    curves = {"jax.grad": [0.0] * len(p), "replay": replay, "exact": [exact(x) for x in p]}
    plot("discrete_choice", "The derivative of the mean square of a count", p.tolist(), curves, "p")


if __name__ == "__main__":
    main()
