"""Electronic noise: charge is amplified, noise is added, and the converter rounds; codes below a threshold are not read out.

The signal is s = g q + sigma z with z normal; the code is floor(s) within 0 .. 15, and zero below T = 3. The mean code is a
sum over the transitions c between codes, E = T Phi((g q - T) / sigma) + sum over c > T of Phi((g q - c) / sigma), and its
derivative by the gain replaces each Phi by q phi / sigma (Bennett, Bell Syst. Tech. J. 27, 446 (1948), for the staircase).

Automatic differentiation says zero. `expect` follows the code back to the noise that decides it, and knows at which noise
it becomes another. The soft staircase is biased, by an amount that `smooth.bias` estimates.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _page import averaged, curve, plot, show
from scipy.stats import norm

import pliant
from pliant import smooth

CHARGES, SIGMA, GAIN = jnp.array([1.1, 2.3, 3.6]), 0.3, 1.5
CODES, THRESHOLD, WIDTH = 16, 3, 0.2
# What reaches a level makes the code larger by one, at the threshold by all that was suppressed.
LEVELS = jnp.arange(THRESHOLD, CODES)
RISES = jnp.where(LEVELS == THRESHOLD, THRESHOLD, 1)


def signal(gain: jax.Array, key: jax.Array) -> jax.Array:
    return gain * CHARGES + SIGMA * jax.random.normal(key, CHARGES.shape)


def readout(gain: jax.Array, key: jax.Array) -> jax.Array:
    """The sum of the codes of three channels."""
    codes = jnp.clip(jnp.floor(signal(gain, key)), 0, CODES - 1)
    return jnp.sum(jnp.where(codes >= THRESHOLD, codes, 0))


def soft_readout(gain: jax.Array, key: jax.Array, width: float = WIDTH) -> jax.Array:
    """Every transition soft. A product of two soft edges at the threshold would be off in first order: they are added."""
    s, below = signal(gain, key), THRESHOLD - 1
    above = smooth.digitise(s, width, codes=CODES - below, origin=below)
    return jnp.sum(above + below * smooth.step(s - THRESHOLD, width, kernel="cubic"))


def extrapolated(gain: jax.Array, key: jax.Array) -> jax.Array:
    return smooth.bias(lambda width: soft_readout(gain, key, width), WIDTH).extrapolated


def exact(gain: float) -> float:
    depth = (gain * CHARGES[:, None] - LEVELS) / SIGMA
    return float(np.sum(RISES * CHARGES[:, None] * norm.pdf(depth)) / SIGMA)


def main() -> None:
    report = pliant.lint(readout, GAIN, jax.random.key(0))
    assert [finding.severity for finding in report] == ["BIAS"]
    honest = jax.grad(pliant.expect(readout))
    gradients = {
        "plain JAX": averaged(jax.grad(readout), GAIN),
        "pliant.expect, replay": averaged(honest, GAIN),
        f"soft staircase of width {WIDTH}": averaged(jax.grad(soft_readout), GAIN, runs=100000),
        "extrapolated to width 0": averaged(jax.grad(extrapolated), GAIN, runs=100000),
    }
    show(report, gradients, exact(GAIN))
    assert gradients["plain JAX"] == (0.0, 0.0)
    for name in ("pliant.expect, replay", "extrapolated to width 0"):
        value, error = gradients[name]
        assert abs(value - exact(GAIN)) < 4 * error < 0.05 * exact(GAIN)
    value, error = gradients[f"soft staircase of width {WIDTH}"]
    assert value - exact(GAIN) > 4 * error
    gains = np.linspace(0.5, 2.5, 41)
    curves = {
        "jax.grad": [0.0] * len(gains),
        "replay": curve(honest, gains, runs=64),
        f"soft staircase of width {WIDTH}": curve(jax.grad(soft_readout), gains, runs=4096),
        "exact": [exact(gain) for gain in gains],
    }
    plot("electronic_noise", "The derivative of the mean code", gains.tolist(), curves, "gain")


if __name__ == "__main__":
    main()
