"""The kink: min(t^2, 2t) has slopes 4 and 2 at t = 2, and automatic differentiation says 3.

A smeared parameter has an honest derivative, and there the kink does no harm: a continuous function may be
differentiated under the mean. Exact, with t + s z and z normal: E[(2 (t + s z)) 1(t + s z < 2) + 2 * 1(t + s z > 2)].
"""

import jax
import jax.numpy as jnp
import numpy as np
from _page import averaged, plot, show
from scipy import integrate
from scipy.stats import norm

import pliant

SMEAR = 0.3


def lesser(t: jax.Array) -> jax.Array:
    return jnp.minimum(t**2, 2 * t)


def smeared(t: jax.Array, key: jax.Array) -> jax.Array:
    return lesser(t + SMEAR * jax.random.normal(key))


def exact(t: float) -> float:
    slope = lambda z: (2 * (t + SMEAR * z) if 0 < t + SMEAR * z < 2 else 2.0) * norm.pdf(z)
    return integrate.quad(slope, -8, 8, points=[(2 - t) / SMEAR], limit=200)[0]


def main() -> None:
    report = pliant.lint(lesser, 2.0)
    assert [finding.severity for finding in report] == ["LIES"]
    value, error = averaged(jax.grad(smeared), 2.0)
    plain = float(jax.grad(lesser)(2.0))
    show(report, {"plain JAX at the kink": (plain, None), "mean over a smeared parameter": (value, error)}, exact(2.0))
    assert abs(value - exact(2.0)) < 4 * error
    t = np.linspace(1.0, 3.0, 81)
    curves = {"jax.grad": jax.vmap(jax.grad(lesser))(t).tolist(), "smeared, exact": [exact(x) for x in t]}
    plot("kink", "The derivative of min(t², 2t)", t.tolist(), curves, "t")


if __name__ == "__main__":
    main()
