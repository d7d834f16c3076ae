"""Finite differences: of two noisy numbers the difference is noise, divided by a small step.

A stock ends at S = s exp(v z - v^2/2), z normal. The central difference (f(s + h) - f(s - h)) / 2h of a payoff f has

- with noise of its own on either side the variance (Var f + Var f) / 4h^2: it explodes as 1/h^2;
- with common random numbers, for the call max(S - 1, 0), the variance of its derivative along the path: a constant;
- with common random numbers, for the digital payoff 1(S > 1), which jumps, (1/2h) times the density at the jump: 1/h;

and a bias of h^2/6 times the third derivative, whatever the noise. Exact values: Black and Scholes, J. Polit. Econ. 81, 637
(1973), N(d + v) for the call, with d = log(s)/v - v/2, and phi(d) / (s v) for the digital (Glasserman, Monte Carlo Methods in
Financial Engineering (2003), section 7.1, for the variances).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from _page import averaged, plot, show
from rich.console import Console
from rich.table import Table
from scipy.stats import norm

import pliant

STOCK, VOLATILITY, RUNS = 1.1, 0.2, 100_000
# Small enough for the limit to hold to within the noise, and large enough to show a bias.
STEPS, COARSE = 1e-4 * 2.0 ** np.arange(5), np.array([0.08, 0.16])


def price(stock: jax.Array, key: jax.Array) -> jax.Array:
    return stock * jnp.exp(VOLATILITY * jax.random.normal(key) - VOLATILITY**2 / 2)


def call(stock: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.maximum(price(stock, key) - 1, 0)


def digital(stock: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.where(price(stock, key) > 1, 1.0, 0.0)


def differences(payoff: Callable, common: bool, steps: np.ndarray, seed: int) -> np.ndarray:
    """Samples of the difference, a row a step. Every step has keys of its own, so that rows are independent."""
    keys = jax.random.split(jax.random.key(seed), (len(steps), RUNS))

    def difference(step: jax.Array, key: jax.Array) -> jax.Array:
        up, down = (key, key) if common else jax.random.split(key)
        return (payoff(STOCK + step, up) - payoff(STOCK - step, down)) / (2 * step)

    row = lambda pair: jax.vmap(difference, (None, 0))(*pair)
    return np.asarray(jax.jit(lambda steps, keys: jax.lax.map(row, (steps, keys)))(jnp.asarray(steps), keys), float)


def depth(stock: np.ndarray | float) -> np.ndarray:
    return np.log(stock) / VOLATILITY - VOLATILITY / 2


def mean_call(stock: np.ndarray | float) -> np.ndarray:
    return stock * norm.cdf(depth(stock) + VOLATILITY) - norm.cdf(depth(stock))


def exact_call() -> float:
    return float(norm.cdf(depth(STOCK) + VOLATILITY))


def exact_digital() -> float:
    return float(norm.pdf(depth(STOCK)) / (STOCK * VOLATILITY))


def log_variances(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The logarithms of the variances, and their standard errors, sqrt((kurtosis - 1) / runs)."""
    centred = samples - samples.mean(axis=1, keepdims=True)
    variances = np.mean(centred**2, axis=1)
    kurtosis = np.mean(centred**4, axis=1) / variances**2
    return np.log(variances), np.sqrt((kurtosis - 1) / samples.shape[1])


def slope(values: np.ndarray, errors: np.ndarray) -> tuple[float, float]:
    """The slope of a straight line against log(step), by weighted least squares, and its standard error."""
    x, weights = np.log(STEPS), errors**-2.0
    x = x - np.average(x, weights=weights)
    return float(np.sum(weights * x * values) / np.sum(weights * x**2)), float(np.sum(weights * x**2) ** -0.5)


def show_slopes(samples: dict[str, np.ndarray], powers: dict[str, int]) -> None:
    table = Table("differences", "power of the step", "standard error", "expected", "z")
    for name, drawn in samples.items():
        found, error = slope(*log_variances(drawn))
        z = (found - powers[name]) / error
        table.add_row(name, f"{found:.4f}", f"{error:.2g}", str(powers[name]), f"{z:.1f}")
        assert abs(z) < 4 and error < 0.05
    Console(width=120).print("The variance of differences", table)


def check_bias() -> None:
    """At coarse steps: what is measured is the difference of means, and off the derivative by O(step^2)."""
    drawn = differences(call, True, COARSE, 4)
    errors = drawn.std(axis=1) / np.sqrt(RUNS)
    quotients = (mean_call(STOCK + COARSE) - mean_call(STOCK - COARSE)) / (2 * COARSE)
    biases = quotients - exact_call()
    for step, value, error, bias in zip(COARSE, drawn.mean(axis=1), errors, biases, strict=True):
        print(
            f"step {step}: off by {value - exact_call():.5f} ± {error:.2g}; bias of the difference of means {bias:.5f}"
        )
    assert np.all(np.abs(drawn.mean(axis=1) - quotients) < 4 * errors)
    assert abs(biases[1]) > 4 * errors[1] and abs(biases[1] / biases[0] - 4) < 1


def mean_and_error(samples: np.ndarray) -> tuple[float, float]:
    return float(samples.mean()), float(samples.std(ddof=1) / np.sqrt(samples.size))


def main() -> None:
    key = jax.random.key(0)
    reports = pliant.lint(call, STOCK, key), pliant.lint(digital, STOCK, key)
    assert [[finding.severity for finding in report] for report in reports] == [[], ["BIAS"]]
    samples = {
        "call, independent noise": differences(call, False, STEPS, 1),
        "call, common noise": differences(call, True, STEPS, 2),
        "digital, common noise": differences(digital, True, STEPS, 3),
    }
    path, boundary = averaged(jax.grad(call), STOCK, RUNS), averaged(jax.grad(pliant.expect(digital)), STOCK)
    differenced = {f"{name}, step {STEPS[-1]:.4f}": mean_and_error(rows[-1]) for name, rows in samples.items()}
    calls = {name: found for name, found in differenced.items() if "call" in name}
    digitals = {name: found for name, found in differenced.items() if "digital" in name}
    show(reports[0], {**calls, "plain JAX": path}, exact_call())
    show(reports[1], {**digitals, "plain JAX": averaged(jax.grad(digital), STOCK), "replay": boundary}, exact_digital())
    for truth, found in ((exact_call(), [*calls.values(), path]), (exact_digital(), [*digitals.values(), boundary])):
        # The boundary term of a single normal number is the same for every key.
        assert all(abs(value - truth) < 4 * error + 1e-5 for value, error in found)
    show_slopes(samples, {"call, independent noise": -2, "call, common noise": 0, "digital, common noise": -1})
    check_bias()
    curves = {name: rows.var(axis=1).tolist() for name, rows in samples.items()}
    curves["call, along the path"] = [path[1] ** 2 * RUNS] * len(STEPS)
    plot("finite_differences", "The variance of finite differences", STEPS.tolist(), curves, "step", "variance", "xy")


if __name__ == "__main__":
    main()
