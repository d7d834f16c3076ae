"""Degenerate levels: the eigenvectors of a symmetric matrix with a double eigenvalue have no derivative, their space has.

A = diag(1, 1, 3) + t B. The projector on the lower two levels moves by first-order perturbation theory:
dP = -(P B Q + Q B P) / 2 with Q = 1 - P, the gap being 2. `jax.grad` through `eigh` gives NaN.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _page import plot, show

import pliant
from pliant import smooth

LEVELS = jnp.array([1.0, 1.0, 3.0])
COUPLING = jnp.array([[0.3, 0.8, 0.5], [0.8, -0.2, 0.4], [0.5, 0.4, 0.1]])


def matrix(t: jax.Array) -> jax.Array:
    return jnp.diag(LEVELS) + t * COUPLING


def through_vectors(t: jax.Array) -> jax.Array:
    vectors = jnp.linalg.eigh(matrix(t))[1][:, :2]
    return (vectors @ vectors.T)[0, 2]


def through_projector(t: jax.Array) -> jax.Array:
    return smooth.safe.projector(matrix(t), 0, 2)[0, 2]


def main() -> None:
    report = pliant.lint(through_vectors, 0.0)
    assert [finding.severity for finding in report] == ["NAN"]
    exact = float(-COUPLING[0, 2] / 2)
    plain, honest = float(jax.grad(through_vectors)(0.0)), float(jax.grad(through_projector)(0.0))
    show(report, {"plain JAX through eigenvectors": (plain, None), "safe.projector": (honest, None)}, exact)
    assert np.isnan(plain) and abs(honest - exact) < 1e-5
    t = np.linspace(-0.4, 0.4, 41)
    curves = {
        "jax.grad through eigenvectors": jax.vmap(jax.grad(through_vectors))(t).tolist(),
        "safe.projector": jax.vmap(jax.grad(through_projector))(t).tolist(),
    }
    plot("degenerate_levels", "The derivative of a projector's element", t.tolist(), curves, "t")


if __name__ == "__main__":
    main()
