"""Thresholds on continuous noise: boundary terms without bias, beside smoothed versions and what their bias is."""

import jax
import jax.numpy as jnp
import numpy as np
from draw_checks import judge, samples, scores
from jax.scipy.stats import norm
from oracle_checks import LIMIT
from problems import barrier_exactly, gauss, slope
from scipy import stats

from pliant.core.chance.replay import Swapper


def plain(f, theta, count=20_000):
    """Ordinary derivatives of a smooth function."""
    return jax.jit(jax.vmap(jax.grad(f), in_axes=(None, 0)))(theta, jax.random.split(jax.random.key(1), count))


def digital(sigma, key):
    return 1.0 * (100 * jnp.exp(sigma * jax.random.normal(key) - sigma**2 / 2) > 110.0)


def test_a_digital_option_has_no_variance():
    """Its only noise is that of the threshold: Black-Scholes for every key."""
    exact = jax.grad(lambda s: norm.cdf((jnp.log(100 / 110) - s**2 / 2) / s))(0.3)
    np.testing.assert_allclose(samples(digital, 0.3, 20), exact, rtol=1e-9)


def test_a_smoothed_digital_option_is_biased():
    """The usual remedy, and what it costs: a bias of second order in the width, beside no bias."""
    width = 20.0
    smooth = lambda s, k: jax.nn.sigmoid((100 * jnp.exp(s * jax.random.normal(k) - s**2 / 2) - 110.0) / width)
    exact = jax.grad(lambda s: norm.cdf((jnp.log(100 / 110) - s**2 / 2) / s))(0.3)
    slopes = jax.jit(jax.vmap(jax.grad(smooth), in_axes=(None, 0)))(0.3, jax.random.split(jax.random.key(1), 20_000))
    assert abs(scores(slopes, exact)[0]) > 2 * LIMIT


def barrier(theta, key):
    """A down-and-out call, watched at every step: the noise of a threshold is used after it too."""
    sigma, level = theta

    def step(state, key):
        price, alive = state
        price = price * jnp.exp(sigma * jax.random.normal(key) - sigma**2 / 2)
        return (price, alive & (price > level)), None

    (price, alive), _ = jax.lax.scan(step, (100.0, True), jax.random.split(key, 4))
    return alive * jnp.maximum(price - 100.0, 0.0)


LEVEL = 92.0
BARRIER = [
    slope(lambda s: barrier_exactly(s, LEVEL), 0.15, 1e-3),
    slope(lambda b: barrier_exactly(0.15, b), LEVEL, 0.1),
]


def test_a_barrier_option():
    judge(barrier, jnp.array([0.15, LEVEL]), BARRIER, count=40_000)
    fewer = samples(barrier, jnp.array([0.15, LEVEL]), 40_000, replays=1)
    assert np.all(np.abs(scores(fewer, BARRIER)) < LIMIT)


def test_noise_that_is_not_moved_to_its_threshold_fails(monkeypatch):
    monkeypatch.setattr(Swapper, "at_uniform", lambda self, source, uniform, element: uniform)
    z = scores(samples(barrier, jnp.array([0.15, LEVEL]), 40_000), BARRIER)
    assert abs(z[1]) > LIMIT


def test_the_exact_answer_tends_to_black_and_scholes():
    """Watched ever more often, the option is worth what the closed form gives for a barrier moved by 0.5826 sigma sqrt(dt)."""
    sigma, level = 0.3, 90.0
    spot, root = 100.0, sigma

    def call(s):
        d = (np.log(s / 100.0) + sigma**2 / 2) / root
        return s * stats.norm.cdf(d) - 100.0 * stats.norm.cdf(d - root)

    def continuous(barrier):
        # At the strike's side of the barrier, without interest: the reflected spot is barrier^2 / spot.
        return call(spot) - spot / barrier * call(barrier**2 / spot)

    watched = {times: barrier_exactly(sigma / times**0.5, level, times) for times in (4, 16)}
    moved = {times: continuous(level * np.exp(-0.5826 * sigma / times**0.5)) for times in watched}
    # The correction leaves what is of order 1/times; without it, the price of a barrier watched at all times is far off.
    assert abs(watched[4] - moved[4]) < 0.12 and abs(watched[16] - moved[16]) < 0.01
    assert watched[16] - continuous(level) > 1.5


def smoothed_barrier(theta, key, width):
    """Survival as a product of logistic functions of the log price over the barrier."""
    sigma, level = theta

    def step(state, key):
        price, alive = state
        price = price * jnp.exp(sigma * jax.random.normal(key) - sigma**2 / 2)
        return (price, alive * jax.nn.sigmoid(jnp.log(price / level) / width)), None

    (price, alive), _ = jax.lax.scan(step, (100.0, 1.0), jax.random.split(key, 4))
    return alive * jnp.maximum(price - 100.0, 0.0)


def test_a_smoothed_barrier_is_biased():
    """A narrower width is less biased and noisier: at 0.1 the bias by the level is many standard errors, at 0.01 the spread
    is larger than that of the boundary term, which has no bias at all."""
    theta = jnp.array([0.15, LEVEL])
    wide, narrow = (plain(lambda t, k, w=w: smoothed_barrier(t, k, w), theta)[:, 1] for w in (0.1, 0.01))
    assert abs(scores(wide, BARRIER[1])[0]) > 10
    assert abs(np.mean(narrow) - BARRIER[1]) < 0.2 * abs(np.mean(wide) - BARRIER[1])
    right = samples(barrier, theta, 4000)[:, 1]
    assert np.std(narrow) > 1.2 * np.std(right)


def shot(theta, key):
    """Hit or no hit: a beam of a width on a plate of a half width, and what it deposits where it hits."""
    centre, width, plate = theta
    x = centre + width * jax.random.normal(key)
    return jnp.where((x > -plate) & (x < plate), 1.0 + x**2, 0.0)


def shot_exactly(theta):
    x, weight = np.polynomial.legendre.leggauss(60)
    x, weight = theta[2] * x, theta[2] * weight
    return jnp.sum(weight * (1 + x**2) * norm.pdf(x, theta[0], theta[1]))


def test_hit_or_no_hit():
    theta = jnp.array([0.4, 0.8, 1.0])
    judge(shot, theta, jax.grad(shot_exactly)(theta), count=20_000)
    # Backpropagation misses what enters at the edges.
    z = scores(plain(lambda t, k: shot(t, k), theta), jax.grad(shot_exactly)(theta), resolution=1.0)
    assert np.all(np.abs(z) > 2 * LIMIT)


STARTED, PUSH, TIMES = 1.0, -0.3, 5


def passage(theta, key):
    """How many of five times a drifting Gaussian walk is still above a level."""
    push, level = theta

    def step(state, key):
        x, alive = state
        x = x + push + 0.5 * jax.random.normal(key)
        alive = alive & (x > level)
        return (x, alive), jnp.where(alive, 1.0, 0.0)

    return jnp.sum(jax.lax.scan(step, (STARTED, True), jax.random.split(key, TIMES))[1])


def passage_exactly(push, level):
    """By quadrature over where the survivors are."""
    grid, weight = gauss(level, level + 7, 120)
    kernel = lambda to, start: stats.norm.pdf(to, start + push, 0.5)
    density, total = kernel(grid, STARTED), 0.0
    for _ in range(TIMES):
        total += weight @ density
        density = kernel(grid[:, None], grid[None, :]) @ (weight * density)
    return total


PASSAGE = [
    slope(lambda a: passage_exactly(a, 0.0), PUSH, 1e-4),
    slope(lambda b: passage_exactly(PUSH, b), 0.0, 1e-4),
]


def test_first_passage():
    judge(passage, jnp.array([PUSH, 0.0]), PASSAGE, count=20_000)


def smoothed_passage(theta, key, width):
    push, level = theta

    def step(state, key):
        x, alive = state
        x = x + push + 0.5 * jax.random.normal(key)
        alive = alive * jax.nn.sigmoid((x - level) / width)
        return (x, alive), alive

    return jnp.sum(jax.lax.scan(step, (STARTED, 1.0), jax.random.split(key, TIMES))[1])


def test_a_smoothed_first_passage_is_biased():
    slopes = plain(lambda t, k: smoothed_passage(t, k, 0.3), jnp.array([PUSH, 0.0]))
    assert np.all(np.abs(scores(slopes, PASSAGE)) > 2 * LIMIT)
