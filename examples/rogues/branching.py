"""The branch: a cascade in which every particle splits in two or stops; automatic differentiation never sees the `if`.

With chance p a particle becomes two. The number that reaches generation n is a branching process of mean 2p a step, so that
E[N] = (2p)^n and its derivative is 2n (2p)^(n-1) (Harris, The Theory of Branching Processes, 1963, ch. I).

An `if` of Python on a value that is being differentiated cannot be traced, and that much JAX says by itself. Written with
`lax.cond` the same cascade runs, and its derivative is zero: p decides which branch is taken and stands in neither.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _page import averaged, curve, plot, show

import pliant

GENERATIONS, P = 4, 0.6
INNER = 2**GENERATIONS - 1


def cascade(p: jax.Array, key: jax.Array) -> jax.Array:
    """Particle i of the tree has the children 2i + 1 and 2i + 2."""

    def visit(there: jax.Array, particle: tuple) -> tuple[jax.Array, None]:
        i, key = particle
        children = 2 * i + jnp.array([1, 2])
        splits = there[i] & (jax.random.uniform(key) < p)
        return jax.lax.cond(splits, lambda: there.at[children].set(True), lambda: there), None

    alone = jnp.zeros(2 * INNER + 1, bool).at[0].set(True)
    there, _ = jax.lax.scan(visit, alone, (jnp.arange(INNER), jax.random.split(key, INNER)))
    return jnp.sum(there[INNER:]) * 1.0


def cascade_in_python(p: jax.Array, key: jax.Array, generations: int = GENERATIONS) -> float:
    if generations == 0:
        return 1.0
    coin, left, right = jax.random.split(key, 3)
    if jax.random.uniform(coin) < p:
        return cascade_in_python(p, left, generations - 1) + cascade_in_python(p, right, generations - 1)
    return 0.0


def exact(p: float) -> float:
    return 2 * GENERATIONS * (2 * p) ** (GENERATIONS - 1)


def main() -> None:
    key = jax.random.key(0)
    in_python = pliant.lint(cascade_in_python, P, key)
    print(in_python)
    assert [finding.severity for finding in in_python] == ["BREAK"]
    report = pliant.lint(cascade, P, key)
    assert {finding.severity for finding in report} == {"BIAS"}
    value, error = averaged(jax.grad(pliant.expect(cascade)), P)
    plain = averaged(jax.grad(cascade), P)
    show(report, {"plain JAX": plain, "pliant.expect, replay": (value, error)}, exact(P))
    assert plain == (0.0, 0.0)
    assert abs(value - exact(P)) < 4 * error < 0.1 * exact(P)
    p = np.linspace(0.2, 0.9, 8)
    replay = curve(jax.grad(pliant.expect(cascade)), p, runs=2048)
    curves = {"jax.grad": [0.0] * len(p), "replay": replay, "exact": [exact(x) for x in p]}
    plot("branching", "The derivative of the size of a cascade", p.tolist(), curves, "chance to split")


if __name__ == "__main__":
    main()
