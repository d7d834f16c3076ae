"""The hard boundary: a digital option pays one where the stock ends above the strike; the pathwise derivative says zero.

Black and Scholes: the chance of paying is Phi(d) with d = (log(S/K) - s^2 T / 2) / (s sqrt T), its derivative by S
phi(d) / (S s sqrt T). Replay finds the noise at which the option starts to pay; the soft step trades bias for noise.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _page import averaged, curve, plot, show
from scipy.stats import norm

import pliant
from pliant import smooth

STRIKE, VOLATILITY, WIDTH = 1.0, 0.2, 0.02


def price(stock: jax.Array, key: jax.Array) -> jax.Array:
    return stock * jnp.exp(VOLATILITY * jax.random.normal(key) - VOLATILITY**2 / 2)


def payoff(stock: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.where(price(stock, key) > STRIKE, 1.0, 0.0)


def soft_payoff(stock: jax.Array, key: jax.Array) -> jax.Array:
    return smooth.step(price(stock, key) - STRIKE, WIDTH)


def exact(stock: float) -> float:
    d = (np.log(stock / STRIKE) - VOLATILITY**2 / 2) / VOLATILITY
    return float(norm.pdf(d) / (stock * VOLATILITY))


def main() -> None:
    stock = 1.1
    report = pliant.lint(payoff, stock, jax.random.key(0))
    assert [finding.severity for finding in report] == ["BIAS"]
    value, error = averaged(jax.grad(pliant.expect(payoff)), stock)
    gradients = {
        "plain JAX": averaged(jax.grad(payoff), stock),
        f"soft step of width {WIDTH}": averaged(jax.grad(soft_payoff), stock),
        "pliant.expect, replay": (value, error),
    }
    show(report, gradients, exact(stock))
    # The boundary term of a single normal number is the same for every key.
    assert abs(value - exact(stock)) < 4 * error + 1e-5
    x = np.linspace(0.7, 1.5, 41)
    replay = curve(jax.grad(pliant.expect(payoff)), x, runs=16)
    curves = {"jax.grad": [0.0] * len(x), "replay": replay, "Black-Scholes": [exact(s) for s in x]}
    plot("hard_boundary", "The delta of a digital option", x.tolist(), curves, "stock price")


if __name__ == "__main__":
    main()
