"""Exploding multiple scattering: a particle is kicked in every layer, and where it is kicked depends on where it was.

A layer of scatterers of period 1 lies at a random place u across the beam. It turns the particle by k/p sin(2 pi (y - u)), for
its momentum p, and the particle flies on: angle += turn, y += angle. Since u is uniform the phases of all turns are
independent and uniform, whatever y: after n layers E[angle^2] = n k^2 / (2 p^2), a width that falls as 1/p as that of
Highland, Nucl. Instrum. Methods 129, 497 (1975), and the derivative by p is -n k^2 / p^3.

The derivative along the path multiplies by 2 pi k/p a layer: unbiased, finite, and exponentially noisy. That of y within the
turn is zero on average, for the layer could lie anywhere: it may be detached, here with a proof. The same law with its
scattering angles drawn from their distribution (reparametrised) has no such derivative in the first place.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _page import averaged, plot, show

import pliant
from pliant import smooth

KICK, MOMENTUM, LAYERS = 1.0, 1.6, 24
ANYWHERE = "the place of a layer is uniform: the mean does not depend on where the particle meets it"


def squares(momentum: jax.Array, key: jax.Array, detached: bool = False) -> jax.Array:
    """angle^2 after every layer."""

    def layer(state: tuple, place: jax.Array) -> tuple:
        y, angle = state
        met = pliant.lint.accept(smooth.detach(y), ANYWHERE) if detached else y
        angle = angle + KICK / momentum * jnp.sin(2 * jnp.pi * (met - place))
        return (y + angle, angle), angle**2

    return jax.lax.scan(layer, (0.0, 0.0), jax.random.uniform(key, (LAYERS,)))[1]


def tracked(momentum: jax.Array, key: jax.Array) -> jax.Array:
    return squares(momentum, key)[-1]


def detached(momentum: jax.Array, key: jax.Array) -> jax.Array:
    return squares(momentum, key, detached=True)[-1]


def drawn(momentum: jax.Array, key: jax.Array) -> jax.Array:
    """The angles from their distribution: no path to go back along."""
    phases = jax.random.uniform(key, (LAYERS,))
    return jnp.sum(KICK / momentum * jnp.sin(2 * jnp.pi * phases)) ** 2


def exact(momentum: float, layers: int | np.ndarray = LAYERS) -> float | np.ndarray:
    return -layers * KICK**2 / momentum**3


def spread(detached: bool) -> np.ndarray:
    """The standard deviation of the derivative after every layer."""
    slope = lambda key: jax.jvp(lambda p: squares(p, key, detached), (MOMENTUM,), (1.0,))[1]
    slopes = jax.jit(jax.vmap(slope))(jax.random.split(jax.random.key(0), 4096))
    return np.asarray(slopes, float).std(axis=0)


def main() -> None:
    report = pliant.lint(tracked, MOMENTUM, jax.random.key(0))
    assert [finding.severity for finding in report] == ["BLOWUP"]
    for cured in (detached, drawn):
        assert not pliant.lint(cured, MOMENTUM, jax.random.key(0)).findings
    gradients = {
        "plain JAX along the path": averaged(jax.grad(tracked), MOMENTUM),
        "the place detached": averaged(jax.grad(detached), MOMENTUM),
        "angles drawn from their distribution": averaged(jax.grad(drawn), MOMENTUM),
    }
    show(report, gradients, exact(MOMENTUM))
    for name in ("the place detached", "angles drawn from their distribution"):
        value, error = gradients[name]
        assert abs(value - exact(MOMENTUM)) < 4 * error < 0.1 * abs(exact(MOMENTUM))
    along, cured, layers = spread(detached=False), spread(detached=True), np.arange(1, LAYERS + 1)
    assert along[-1] > 1e6 * cured[-1]
    curves = {
        "noise along the path": along.tolist(),
        "noise, place detached": cured.tolist(),
        "size of the derivative": np.abs(exact(MOMENTUM, layers)).tolist(),
    }
    plot("multiple_scattering", "The derivative of the mean square angle", layers.tolist(), curves, "layers",
         "derivative, standard deviation of one particle's", logarithmic="y")  # fmt: skip


if __name__ == "__main__":
    main()
