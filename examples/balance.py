"""A simulation that balances: the shape of a hanging chain, differentiated without differentiating its solver."""

import jax
import jax.numpy as jnp

import pliant
from pliant.estimators import Implicit
from pliant.observables import Final


class Chain(pliant.Balance):
    """Beads on springs between two posts, pulled down by their weight: a minimum of the energy."""

    stiffness: jax.Array
    weight: jax.Array
    beads: int = 9

    def guess(self) -> jax.Array:
        along = jnp.linspace(0.0, 1.0, self.beads + 2)[1:-1]
        return jnp.stack([along, jnp.zeros_like(along)], axis=1)

    def energy(self, u: jax.Array) -> jax.Array:
        ends = jnp.array([[0.0, 0.0]]), jnp.array([[1.0, 0.0]])
        points = jnp.concatenate([ends[0], u, ends[1]])
        return 0.5 * self.stiffness * jnp.sum((points[1:] - points[:-1]) ** 2) + self.weight * jnp.sum(u[:, 1])


def main() -> None:
    law = Chain(jnp.array(100.0), jnp.array(1.0))
    sag = Final(lambda u: -jnp.min(u[:, 1]))
    estimate = pliant.gradient(law, sag, Implicit())
    print(estimate)
    # Springs without rest length hang in a parabola: the sag is w (n + 1)^2 / 8 k, here 0.125.
    print(f"sag {estimate.observable.value:.4f}, by weight {estimate.value.weight:.4f}: both 0.125 by hand")


if __name__ == "__main__":
    main()
