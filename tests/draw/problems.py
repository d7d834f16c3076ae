"""Problems of discrete randomness with exact derivatives: shared by the tests and by whoever compares estimators.

Each is a function of parameters and a key, the parameters, and the exact derivative, derived in its docstring.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate, linalg
from scipy.stats import norm

from pliant import draw
from pliant.systems import MetropolisChain


@dataclasses.dataclass(frozen=True)
class Problem:
    """`function(theta, key)` at `theta`, with the derivative of its expectation."""

    function: Callable
    theta: Any
    exact: Any


def slope(f: Callable, at: float, step: float) -> float:
    """A central difference of an exact answer."""
    return (f(at + step) - f(at - step)) / (2 * step)


def gauss(low: float, high: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of Gauss and Legendre: for smooth functions exact to round-off."""
    x, weight = np.polynomial.legendre.leggauss(count)
    return 0.5 * (low + high + (high - low) * x), 0.5 * (high - low) * weight


def counts(name: str) -> Problem:
    """The square of one number: n p (1 - p) + n^2 p^2 of a binomial, (2 - p)/p^2 of a geometric, m + m^2 of a Poisson."""
    made = {
        "binomial": (lambda p, key: draw.binomial(key, 10, p), 0.6, lambda p: 10 * p * (1 - p) + 100 * p**2),
        "geometric": (lambda p, key: draw.geometric(key, p), 0.4, lambda p: (2 - p) / p**2),
        "poisson": (lambda m, key: draw.poisson(key, m), 3.0, lambda m: m + m**2),
    }
    count, at, square = made[name]
    return Problem(lambda theta, key: 1.0 * count(theta, key) ** 2, at, float(jax.grad(square)(at)))


def classes() -> Problem:
    """One of four by a softmax, each with a value of its own."""
    values = jnp.array([1.0, -2.0, 4.0, 0.5])
    logits = jnp.array([0.1, 0.5, -0.3, 0.2])
    f = lambda theta, key: values[draw.categorical(key, theta)]
    return Problem(f, logits, jax.grad(lambda theta: jax.nn.softmax(theta) @ values)(logits))


def barrier_exactly(sigma, level, times=4):
    """By quadrature over the log prices that survive, apart on both sides of the strike, where the payoff bends."""
    sides = gauss(np.log(level / 100), 0.0, 60), gauss(0.0, 7 * sigma * times**0.5, 160)
    grid, weight = np.concatenate(sides, axis=1)
    kernel = lambda to, start: np.exp(-0.5 * ((to - start) / sigma + sigma / 2) ** 2) / np.sqrt(2 * np.pi) / sigma
    density = kernel(grid, 0.0)
    for _ in range(times - 1):
        density = kernel(grid[:, None], grid[None, :]) @ (weight * density)
    return np.sum(weight * density * np.maximum(100 * np.exp(grid) - 100, 0))


def front_page() -> Problem:
    r"""A normal law whose mean and width are drawn: $E X = a E[c b]$ with $E b^2 = 10 a + 100 p^2$, $a = p(1-p)$.

    Hence $E X = 20 p^2 + 190 p^3 - 210 p^4$. Source: Arya et al., NeurIPS (2022), the example of StochasticAD.jl.
    """

    def function(p: Any, key: Any) -> Any:
        keys = jax.random.split(key, 3)
        a = p * (1 - p)
        b = draw.binomial(keys[0], 10, p)
        c = 2 * b + 3 * draw.bernoulli(keys[1], p)
        return a * c * (b + a * jax.random.normal(keys[2]))

    p = 0.6
    return Problem(function, p, 40 * p + 570 * p**2 - 840 * p**3)


def walk(steps: int, p: float) -> Problem:
    """A walk on the integers that goes up with probability exp(-x/p), squared at its end: by the law of x, step by step.

    It never goes below zero, where it is sure to go up.
    """

    def function(p: Any, key: Any) -> Any:
        def step(x: Any, key: Any) -> Any:
            return x + jnp.where(draw.bernoulli(key, jnp.exp(-x / p)), 1.0, -1.0), None

        return jax.lax.scan(step, 0.0, jax.random.split(key, steps))[0] ** 2

    def second_moment(p: Any) -> Any:
        x = jnp.arange(-steps - 1, steps + 2)
        up, law = jnp.clip(jnp.exp(-x / p), 0, 1), jnp.where(x == 0, 1.0, 0.0)
        law = jax.lax.fori_loop(0, steps, lambda _, a: jnp.roll(a * up, 1) + jnp.roll(a * (1 - up), -1), law)
        return law @ x**2

    return Problem(function, p, float(jax.jacfwd(second_moment)(p)))


def metropolis_jump(scale: float) -> Problem:
    r"""The expected squared jump of random-walk Metropolis on a standard normal: $E[\sigma^2 z^2 \min(1, e^{(x^2 - y^2)/2})]$."""

    def function(scale: Any, key: Any) -> Any:
        keys = jax.random.split(key, 3)
        x = jax.random.normal(keys[0])
        y = x + scale * jax.random.normal(keys[1])
        accepted = jnp.log(jax.random.uniform(keys[2])) < 0.5 * (x**2 - y**2)
        return jnp.where(accepted, (y - x) ** 2, 0.0)

    # At a fixed jump d the chance of acceptance is 2 Phi(-|d|/2) for x from the target.
    jump = lambda s: integrate.quad(lambda z: 2 * (s * z) ** 2 * norm.cdf(-abs(s * z) / 2) * norm.pdf(z), -12, 12)[0]
    return Problem(function, scale, slope(jump, scale, 1e-4))


def metropolis(steps: int) -> Problem:
    """The average of x^2 over a Metropolis chain on a normal law of stiffness k, by k: from its transition density."""

    def function(k: Any, key: Any) -> Any:
        def step(x: Any, key: Any) -> Any:
            first, second = jax.random.split(key)
            y = x + 2.0 * jax.random.normal(first)
            x = jnp.where(jnp.log(jax.random.uniform(second)) < 0.5 * k * (x**2 - y**2), y, x)
            return x, x**2

        return jnp.mean(jax.lax.scan(step, 1.5, jax.random.split(key, steps))[1])

    system = MetropolisChain()
    truth = system.truth(system.law(), system.observable(), steps)
    assert truth is not None
    return Problem(function, 1.0, float(truth.gradient.k))


def queue(steps: int = 200) -> Problem:
    """Customers of an M/M/1 queue in its embedded chain; long after the start, lambda/(mu - lambda)."""

    def function(rates: Any, key: Any) -> Any:
        arrival, service = rates

        def step(n: Any, key: Any) -> Any:
            arrives = jax.random.uniform(key) < arrival / (arrival + service)
            return jnp.where(arrives, n + 1, jnp.maximum(n - 1, 0)), None

        return 1.0 * jax.lax.scan(step, 0, jax.random.split(key, steps))[0]

    arrival, service = 0.5, 1.0
    rest = (service - arrival) ** 2
    return Problem(function, jnp.array([arrival, service]), np.array([service / rest, -arrival / rest]))


def unweighting(events: int = 20) -> Problem:
    r"""Accept-reject: events x uniform on [0, 1], kept with probability $w = e^{-\theta x}$; the sum of squares kept."""

    def function(theta: Any, key: Any) -> Any:
        first, second = jax.random.split(key)
        x = jax.random.uniform(first, (events,))
        kept = jax.random.uniform(second, (events,)) < jnp.exp(-theta * x)
        return jnp.sum(jnp.where(kept, x, 0.0)) ** 2

    def moment(theta: float, power: int) -> float:
        return integrate.quad(lambda x: x**power * np.exp(-theta * x), 0, 1)[0]

    mean = lambda t: events * moment(t, 2) + events * (events - 1) * moment(t, 1) ** 2
    return Problem(function, 1.5, slope(mean, 1.5, 1e-4))


def birth_death(steps: int = 40, duration: float = 2.0) -> Problem:
    """Gillespie's algorithm: births at a constant rate, deaths in proportion to n; the square of n from its master equation.

    The waiting time crosses the end of the observation, a threshold on continuous noise, and the event is a draw.
    """

    def function(rates: Any, key: Any) -> Any:
        birth, death = rates

        def step(state: Any, key: Any) -> Any:
            time, n = state
            total = birth + death * n
            first, second = jax.random.split(key)
            time = time + jax.random.exponential(first) / total
            born = jax.random.uniform(second) < birth / total
            return (time, jnp.where(time < duration, n + jnp.where(born, 1, -1), n)), None

        return 1.0 * jax.lax.scan(step, (0.0, 3), jax.random.split(key, steps))[0][1] ** 2

    def second_moment(birth: float, death: float) -> float:
        n = np.arange(60)
        flow = np.diag(birth * np.ones(59), -1) + np.diag(death * n[1:], 1)
        flow -= np.diag(flow.sum(axis=0))
        return n**2 @ linalg.expm(flow * duration)[:, 3]

    at = (2.0, 1.0)
    exact = [
        slope(lambda b: second_moment(b, at[1]), at[0], 1e-4),
        slope(lambda d: second_moment(at[0], d), at[1], 1e-4),
    ]
    return Problem(function, jnp.array(at), np.array(exact))


def table(parameters: int = 200) -> Problem:
    """A Bernoulli number with a parameter of its own in every row, and the square of their sum."""

    def function(logits: Any, key: Any) -> Any:
        return jnp.sum(draw.bernoulli(key, jax.nn.sigmoid(logits))) ** 2

    logits = jnp.linspace(-2.0, 2.0, parameters)
    p = jax.nn.sigmoid(logits)
    return Problem(function, logits, p * (1 - p) * (1 + 2 * (jnp.sum(p) - p)))
