"""Accept or reject: events are unweighted by throwing some away, and the parameter of the weight goes with them.

Scattered muons: c = cos(angle) has the density (1 + a c^2) / (2 + 2a/3) on [-1, 1]. A flat c is accepted with chance
(1 + a c^2) / (1 + a). Of what is accepted E[c^2] = (1/3 + a/5) / (1 + a/3), with the derivative (4/45) / (1 + a/3)^2
(von Neumann, Natl. Bur. Stand. Appl. Math. Ser. 12, 36 (1951), for the rejection).

The event that comes out does not contain a, and automatic differentiation says zero. Replay asks what would have come out
with one decision turned round. Or no event is thrown away: its weight is smooth, and plain JAX differentiates it.
"""

import jax
import numpy as np
from _page import averaged, plot, show

import pliant

A, MOST_TRIALS, RUNS = 1.0, 32, 8192


def accepted(a: jax.Array, key: jax.Array) -> jax.Array:
    """c^2 of one unweighted event."""

    def trial(state: tuple) -> tuple:
        count = state[0]
        first, second = jax.random.split(jax.random.fold_in(key, count))
        cosine = jax.random.uniform(first, minval=-1.0, maxval=1.0)
        accept = jax.random.uniform(second) < (1 + a * cosine**2) / (1 + a)
        return count + 1, cosine, accept

    return jax.lax.while_loop(lambda state: ~state[2], trial, (0, 0.0, False))[1] ** 2


def weighted(a: jax.Array, key: jax.Array) -> jax.Array:
    """c^2 of one weighted event: every event is kept."""
    cosine = jax.random.uniform(key, minval=-1.0, maxval=1.0)
    return cosine**2 * (1 + a * cosine**2) / (1 + a / 3)


def exact(a: float) -> float:
    return 4 / 45 / (1 + a / 3) ** 2


def main() -> None:
    report = pliant.lint(accepted, A, jax.random.key(0))
    assert [finding.severity for finding in report] == ["BIAS"]
    assert pliant.lint(weighted, A, jax.random.key(0)).ok
    unweighting = jax.grad(pliant.expect(accepted, max_steps=MOST_TRIALS))
    plain = averaged(jax.grad(accepted), A)
    replay, kept = (averaged(derivative, A, runs=RUNS) for derivative in (unweighting, jax.grad(weighted)))
    gradients = {"plain JAX": plain, "pliant.expect, replay": replay, "weighted events, plain JAX": kept}
    show(report, gradients, exact(A))
    assert plain == (0.0, 0.0)
    for value, error in (replay, kept):
        assert abs(value - exact(A)) < 4 * error < 0.1 * exact(A)
    # At a = 0 every event is accepted: the chance stands at its bound, where it has no derivative.
    a = np.linspace(0.25, 4.0, 7).tolist()
    curves = {
        "jax.grad": [0.0] * len(a),
        "replay": [averaged(unweighting, x, runs=RUNS)[0] for x in a],
        "exact": [exact(x) for x in a],
    }
    plot("accept_reject", "The derivative of the mean square cosine of accepted events", a, curves, "a")


if __name__ == "__main__":
    main()
