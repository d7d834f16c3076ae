"""The exploding path: in chaos the derivative of an average over T units of time grows as exp(0.9056 T), and its limit is 1.

Lorenz's flow at (10, 28, 8/3): neighbouring trajectories part at the rate 0.9056 per unit of time. The average height z
rises smoothly with rho all the same, d<z>/drho = 1.0014(8), measured on long trajectories at neighbouring rho
(Lea, Allen and Haine, Tellus A 52, 523 (2000), for the paradox; `pliant.systems.Lorenz63` for the number).

What automatic differentiation gives is exact for the one trajectory at hand, and says nothing about the average. Shadowing
differentiates along trajectories that stay near each other.
"""

import jax
import jax.numpy as jnp
import numpy as np
from _page import plot, show

import pliant
from pliant.estimators import Shadowing
from pliant.systems import Lorenz63

RHO, STEPS, BURN_IN, REPLICAS = 28.0, 4000, 1000, 64
EXPONENT, TRUTH, TRUTH_ERROR = 0.9056, 1.0014, 0.0008


def heights(rho: jax.Array, key: jax.Array) -> jax.Array:
    law = Lorenz63(rho=rho).law()

    def step(state: tuple, _: None) -> tuple:
        state = law.step(state, (), 0)
        return state, state.position[2]

    return jax.lax.scan(step, law.init(key), None, length=STEPS)[1]


def average(rho: jax.Array, key: jax.Array) -> jax.Array:
    return jnp.mean(heights(rho, key)[BURN_IN:])


def tangents() -> np.ndarray:
    """dz/drho at every step, one row a replica."""
    slope = lambda key: jax.jvp(lambda rho: heights(rho, key), (RHO,), (1.0,))[1]
    return np.asarray(jax.jit(jax.vmap(slope))(jax.random.split(jax.random.key(0), REPLICAS)))


def growth(tangents: np.ndarray) -> tuple[float, float]:
    """The rate per unit of time at which derivatives grow, and its standard error."""
    early, late = STEPS // 4, STEPS
    logarithms = np.log(np.abs(tangents[:, [early - 1, late - 1]]))
    rates = (logarithms[:, 1] - logarithms[:, 0]) / (0.01 * (late - early))
    return float(rates.mean()), float(rates.std(ddof=1) / np.sqrt(REPLICAS))


def shadowed() -> tuple[float, float]:
    system = Lorenz63(rho=RHO)
    found = pliant.gradient(system.law(), system.observable(BURN_IN), Shadowing(), horizon=3000, replicas=256,
                            key=jax.random.key(0), wrt=system.wrt, progress=False)  # fmt: skip
    print(found)
    return float(found.value.rho), float(found.standard_error.rho)


def main() -> None:
    report = pliant.lint(average, RHO, jax.random.key(0))
    assert [finding.severity for finding in report] == ["BLOWUP"]
    slopes = tangents()
    plain = slopes[:, BURN_IN:].mean(axis=1, dtype=float)
    gradients = {
        f"plain JAX over {STEPS // 100} units of time": (plain.mean(), plain.std(ddof=1) / np.sqrt(REPLICAS)),
        "Shadowing": shadowed(),
    }
    show(report, gradients, TRUTH)
    rate, rate_error = growth(slopes)
    print(f"derivatives grow at the rate {rate:.3f} ± {rate_error:.3f}; trajectories part at {EXPONENT}")
    value, error = gradients["Shadowing"]
    assert abs(value - TRUTH) < 4 * np.hypot(error, TRUTH_ERROR) < 0.02
    assert abs(rate - EXPONENT) < 4 * rate_error
    assert abs(plain.mean()) > 1e6 or plain.std() > 1e6
    times = np.arange(100, STEPS + 1, 50)
    running = np.cumsum(slopes, axis=1, dtype=float)[:, times - 1] / times
    curves = {
        "plain JAX, root mean square": np.sqrt(np.mean(running**2, axis=0)).tolist(),
        "Shadowing": [value] * len(times),
        "long averages": [TRUTH] * len(times),
    }
    plot("exploding_path", "The derivative of an average over T", (0.01 * times).tolist(), curves, "T", logarithmic="y")


if __name__ == "__main__":
    main()
