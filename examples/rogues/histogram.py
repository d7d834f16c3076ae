"""The histogram: the share of events in a bin, by the resolution that smears them; automatic differentiation says zero.

Events are normal with standard deviation s; the share in [a, b] is Phi(b/s) - Phi(a/s). The soft histogram integrates a
kernel over the bin exactly, and says how far it is from its limit.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _page import averaged, curve, plot, show
from scipy.stats import norm

import pliant
from pliant import smooth

LOW, HIGH, EVENTS, WIDTH = 0.5, 1.5, 200, 0.2


def events(resolution: jax.Array, key: jax.Array) -> jax.Array:
    return resolution * jax.random.normal(key, (EVENTS,))


def share(resolution: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.histogram(events(resolution, key), bins=jnp.array([LOW, HIGH]))[0][0] / EVENTS


def soft_share(resolution: jax.Array, key: jax.Array, width: float = WIDTH) -> jax.Array:
    return smooth.histogram(events(resolution, key), width, edges=jnp.array([LOW, HIGH]))[0] / EVENTS


def exact(resolution: float) -> float:
    a, b = LOW / resolution, HIGH / resolution
    return float((a * norm.pdf(a) - b * norm.pdf(b)) / resolution)


def main() -> None:
    resolution = 1.0
    report = pliant.lint(share, resolution, jax.random.key(0))
    assert not report.ok
    at_width = lambda width: averaged(jax.grad(lambda r, key: soft_share(r, key, width)), resolution)
    estimated = smooth.bias(lambda width: jnp.asarray(at_width(width)[0]), WIDTH)
    gradients = {
        "plain JAX": averaged(jax.grad(share), resolution),
        f"soft histogram of width {WIDTH}": at_width(WIDTH),
        "extrapolated to width 0": (float(estimated.extrapolated), at_width(WIDTH / 2)[1] * 4 / 3),
    }
    show(report, gradients, exact(resolution))
    print(
        f"bias of the soft histogram: estimated {float(estimated.bias):.4f}, true {at_width(WIDTH)[0] - exact(1.0):.4f}"
    )
    value, error = gradients["extrapolated to width 0"]
    assert abs(value - exact(resolution)) < 4 * error
    r = np.linspace(0.5, 2.0, 16)
    soft = curve(jax.grad(soft_share), r)
    curves = {"jax.grad": [0.0] * len(r), "soft histogram": soft, "exact": [exact(x) for x in r]}
    plot("histogram", "The share of events in a bin, by their resolution", r.tolist(), curves, "resolution")


if __name__ == "__main__":
    main()
