"""Programs as anyone would write them, without a word of this library: readouts, options, queues, samplers of JAX."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draw_checks import judge, samples, scores
from oracle_checks import LIMIT
from problems import barrier_exactly
from scipy import integrate
from scipy.stats import multivariate_normal, norm, poisson

from pliant import NotApplicable, draw
from pliant.core.chance import crossings
from pliant.core.chance.replay import Swapper


def slope(f, at, step=1e-5):
    return (f(at + step) - f(at - step)) / (2 * step)


def levels(probability, value, span=60):
    """E value(k) of a whole number with these probabilities."""
    return sum(value(k) * probability(k) for k in range(-span, span + 1))


# Converters: the noise of the amplifier, then whole numbers of a step of 0.5.
def volts(theta, key):
    return (2 * theta + 0.8 * jax.random.normal(key)) / 0.5


def within(theta, low, high):
    return norm.cdf(high, 4 * theta, 1.6) - norm.cdf(low, 4 * theta, 1.6)


def cut(theta, k):
    """`astype(int)` cuts off towards zero."""
    return within(theta, k if k > 0 else k - 1, k if k < 0 else k + 1)


CONVERTERS = {
    "floor": (
        lambda t, k: jnp.floor(volts(t, k)) ** 2,
        lambda t: levels(lambda k: within(t, k, k + 1), lambda k: k**2),
    ),
    "ceil": (lambda t, k: jnp.ceil(volts(t, k)) ** 2, lambda t: levels(lambda k: within(t, k - 1, k), lambda k: k**2)),
    "round": (
        lambda t, k: jnp.round(volts(t, k)) ** 2,
        lambda t: levels(lambda k: within(t, k - 0.5, k + 0.5), lambda k: k**2),
    ),
    "to an integer": (
        lambda t, k: 1.0 * (volts(t, k) - 2).astype(int) ** 2,
        lambda t: levels(lambda k: cut(t - 0.5, k), lambda k: k**2),
    ),
    "saturated": (
        lambda t, k: jnp.floor(jnp.clip(volts(t, k), 0, 3)) ** 2,
        lambda t: levels(lambda k: within(t, k, k + 1), lambda k: min(max(k, 0), 3) ** 2),
    ),
    "sign": (
        lambda t, k: jnp.sum(jnp.sign(t - 0.3 + jax.random.normal(k, (3,)))) ** 2,
        lambda t: 3 + 6 * (2 * norm.cdf(t - 0.3) - 1) ** 2,
    ),
}


@pytest.mark.parametrize("name", CONVERTERS)
def test_converters(name):
    f, exact = CONVERTERS[name]
    judge(f, 0.7, slope(exact, 0.7))


@pytest.mark.parametrize("estimator", ["score", "measure_valued"])
def test_a_converter_by_every_estimator(estimator):
    f, exact = CONVERTERS["floor"]
    judge(f, 0.7, slope(exact, 0.7), estimator=estimator)


def test_a_converter_whose_noise_is_used_beside_it():
    """The noise is moved to where the whole number switches."""
    f = lambda t, k: jnp.floor(volts(t, k)) * volts(t, k)
    level = lambda t, k: k * integrate.quad(lambda x: x * norm.pdf(x, 4 * t, 1.6), k, k + 1)[0]
    exact = lambda t: sum(level(t, k) for k in range(-8, 16))
    judge(f, 0.7, slope(exact, 0.7, 1e-4))


def test_edges_that_are_counted_twice_fail(monkeypatch):
    """The share of a boundary that is met from both sides."""
    right = crossings.digit

    def wrong(*given):
        found = right(*given)
        whole = [dataclasses.replace(edge, beside=jnp.ones_like(edge.beside)) for edge in (found.low, found.high)]
        return dataclasses.replace(found, low=whole[0], high=whole[1])

    monkeypatch.setattr("pliant.core.chance.interpreter.digit", wrong)
    f, exact = CONVERTERS["floor"]
    assert abs(scores(samples(f, 0.7), slope(exact, 0.7))[0]) > 2 * LIMIT


# A down-and-out call on a walk of four steps.
SIGMA, LEVEL = 0.15, 92.0
_STEP = lambda sigma, z: sigma * z - sigma**2 / 2


def by_sums(theta, key):
    path = 100 * jnp.exp(jnp.cumsum(_STEP(theta[0], jax.random.normal(key, (4,)))))
    return jnp.where(jnp.all(path > theta[1]), jnp.maximum(path[-1] - 100, 0.0), 0.0)


def by_products(theta, key):
    path = 100 * jnp.cumprod(jnp.exp(_STEP(theta[0], jax.random.normal(key, (4,)))))
    return jnp.maximum(path[-1] - 100, 0.0) * (jnp.min(path) > theta[1])


def by_the_lowest(theta, key):
    logs = jnp.cumsum(_STEP(theta[0], jax.random.normal(key, (4,))))
    return jnp.where(jnp.max(-logs) >= -jnp.log(theta[1] / 100), 0.0, jnp.maximum(100 * jnp.exp(logs[-1]) - 100, 0.0))


def by_a_loop(theta, key):
    def step(price, z):
        price = price * jnp.exp(_STEP(theta[0], z))
        return price, price

    last, path = jax.lax.scan(step, 100.0, jax.random.normal(key, (4,)))
    return jnp.where(jnp.any(path <= theta[1]), 0.0, jnp.maximum(last - 100, 0.0))


BARRIER = [
    slope(lambda s: barrier_exactly(s, LEVEL), SIGMA, 1e-3),
    slope(lambda b: barrier_exactly(SIGMA, b), LEVEL, 0.1),
]


def test_a_barrier_option_is_the_same_however_it_is_written():
    """One check against quadrature; the same numbers from the same keys in other words."""
    theta = jnp.array([SIGMA, LEVEL])
    judge(by_sums, theta, BARRIER, count=40_000)
    first = samples(by_sums, theta, 200)
    for other in (by_products, by_the_lowest, by_a_loop):
        np.testing.assert_allclose(samples(other, theta, 200), first, rtol=1e-6, atol=1e-6)


def test_a_barrier_whose_noise_stays_where_it_was_fails(monkeypatch):
    monkeypatch.setattr(Swapper, "at_uniform", lambda self, source, uniform, element: uniform)
    z = scores(samples(by_sums, jnp.array([SIGMA, LEVEL]), 40_000), BARRIER)
    assert abs(z[1]) > LIMIT


def after_a_loop(theta, key):
    last, _ = jax.lax.scan(lambda x, k: (x + theta * jax.random.normal(k), None), 0.0, jax.random.split(key, 4))
    return 1.0 * (last > 1)


def of_a_sum(theta, key):
    return 1.0 * (jnp.mean(theta * jax.random.normal(key, (5,))) > 0.4)


def correlated(theta, key):
    root = jnp.linalg.cholesky(jnp.array([[1.0, 0.5], [0.5, 1.0]]))
    return jnp.sum(theta + root @ jax.random.normal(key, (2,)) > 0.5) ** 2.0


def both(t):
    joint = multivariate_normal(np.zeros(2), [[1.0, 0.5], [0.5, 1.0]])
    return 2 * norm.cdf(t - 0.5) + 2 * joint.cdf([t - 0.5] * 2)


def histogram(theta, key):
    counts = jnp.histogram(theta * jax.random.normal(key, (6,)) + 0.3, bins=jnp.array([-1.0, 0.0, 0.5, 2.0]))[0]
    return jnp.sum(counts * jnp.array([1.0, 2.0, 5.0])) ** 2


def binned(t):
    p = np.diff(norm.cdf([-1.0, 0.0, 0.5, 2.0], 0.3, t))
    mean, square = p @ [1, 2, 5], p @ [1, 4, 25]
    return 6 * square + 30 * mean**2


def chosen(theta, key):
    return jax.random.choice(key, 4, p=jax.nn.softmax(jnp.arange(4.0) * theta)) ** 2.0


def categorical(theta, key):
    return jnp.sum(jax.random.categorical(key, jnp.arange(3.0) * theta, shape=(2,))) ** 2.0


def indices(t):
    p = np.exp(np.arange(3) * t)
    p /= p.sum()
    return sum(p[i] * p[j] * (i + j) ** 2 for i in range(3) for j in range(3))


def readout(theta, key):
    """Photons, an amplifier with noise, a converter, a threshold."""
    light, electronics = jax.random.split(key)
    charge = 0.2 * jax.random.poisson(light, theta * 6.0) + 0.3 * jax.random.normal(electronics)
    code = jnp.floor(charge / 0.5).astype(jnp.int32)
    return jnp.where(code > 1, 0.5 * code, 0.0)


def read(t):
    n = np.arange(60)
    code = lambda k: poisson.pmf(n, 6 * t) @ (norm.cdf(0.5 * (k + 1), 0.2 * n, 0.3) - norm.cdf(0.5 * k, 0.2 * n, 0.3))
    return sum(0.5 * k * code(k) for k in range(2, 40))


def filtered(theta, key):
    """A step of a particle filter with two particles."""
    first, second = jax.random.split(key)
    x = theta + jax.random.normal(first, (2,))
    return jnp.mean(x[jax.random.categorical(second, -0.5 * (x - 1) ** 2, shape=(2,))])


def weighed(t):
    x = np.linspace(-8, 8, 801)
    law = norm.pdf(x) * (x[1] - x[0])
    w = np.exp(-0.5 * (x + t - 1) ** 2)
    return np.sum(law[:, None] * law * (w[:, None] * (x + t)[:, None] + w * (x + t)) / (w[:, None] + w))


def waits(theta, key):
    """Lindley's recursion of an M/M/1 queue: how many of two customers wait for longer than 1.5."""
    arrivals, services = jax.random.split(key)
    gaps = jax.random.exponential(arrivals, (2,)) / theta, jax.random.exponential(services, (2,))

    def step(wait, gap):
        wait = jnp.maximum(wait + gap[1] - gap[0], 0.0)
        return wait, wait

    return jax.lax.scan(step, 0.0, gaps)[1]


def longer(t, x):
    r"""The chances that the first and the second wait longer: the excess of a service over a gap is $p e^{-x}$ above zero."""
    p = t / (1 + t)
    second = (1 - p) * p + p**2 * x + p * (1 - (1 - p) / (1 + t))
    return p * np.exp(-x), second * np.exp(-x)


PROGRAMS = {
    "after a loop": (after_a_loop, lambda t: norm.sf(1 / (2 * t)), {}),
    "of a mean": (of_a_sum, lambda t: norm.sf(0.4 * 5**0.5 / t), {}),
    "correlated": (correlated, both, {}),
    "histogram": (histogram, binned, {}),
    "jax.random.choice": (chosen, lambda t: (lambda p: p @ np.arange(4) ** 2 / p.sum())(np.exp(np.arange(4) * t)), {}),
    "jax.random.categorical": (categorical, indices, {}),
    "jax.random.categorical, score": (categorical, indices, {"estimator": "score"}),
    "jax.random.geometric": (lambda t, k: jax.random.geometric(k, t) ** 2.0, lambda t: (2 - t) / t**2, {}),
    "jax.random.poisson and a converter": (readout, read, {}),
    "a positive power": (
        lambda t, k: 1.0 * (jax.random.exponential(k) ** 0.5 * t > 0.8),
        lambda t: np.exp(-((0.8 / t) ** 2)),
        {},
    ),
    "particle filter": (filtered, weighed, {}),
    "waits": (lambda t, k: jnp.mean(waits(t, k) > 1.5), lambda t: np.mean(longer(t, 1.5)), {}),
    "does not wait": (lambda t, k: jnp.sum(waits(t, k) == 0), lambda t: 2 - np.sum(longer(t, 0.0)), {}),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    f, exact, options = PROGRAMS[name]
    judge(f, 0.7, slope(exact, 0.7), count=20_000, **options)


# Several places that switch at the same number count as one change.
TWICE = {
    "compared twice": (lambda t, x: jnp.where(x > 1, 1.0, 0.0) * (2 * x > 2), lambda t: norm.sf(1 / t)),
    "compared three ways": (
        lambda t, x: (1.0 * (x > 1) + 2.0 * (-3 * x <= -3) + (1 <= x)) ** 3,
        lambda t: 64 * norm.sf(1 / t),
    ),
    "in several places": (lambda t, x: jnp.sum(jnp.broadcast_to(x, (3,)) > 1) ** 2.0, lambda t: 9 * norm.sf(1 / t)),
    "rounded twice": (
        lambda t, x: jnp.floor(x) * jnp.floor(x + 1) * jnp.ceil(x),
        lambda t: levels(lambda k: norm.cdf((k + 1) / t) - norm.cdf(k / t), lambda k: k * (k + 1) ** 2),
    ),
    "rounded far up": (
        lambda t, x: jnp.floor(1e12 + x) - 1e12 + 0.0 * x,
        lambda t: levels(lambda k: norm.cdf((k + 1) / t) - norm.cdf(k / t), lambda k: k),
    ),
    "rounded and compared": (
        lambda t, x: jnp.floor(x) ** 2 * (x > 1),
        lambda t: levels(lambda k: norm.cdf((k + 1) / t) - norm.cdf(k / t), lambda k: k**2 * (k > 0)),
    ),
}


@pytest.mark.parametrize("name", TWICE)
def test_places_that_switch_at_once(name):
    f, exact = TWICE[name]
    found = samples(lambda t, k: f(t, t * jax.random.normal(k)), 0.7, 10_000)
    error = np.std(found) / 100 + 1e-6
    assert abs(np.mean(found) - slope(exact, 0.7)) < LIMIT * error and error < 0.05


def test_means_of_paths():
    """Of its numbers a mean is followed from the one that no other depends on."""
    walks = {
        "cumsum": jnp.cumsum,
        "loop": lambda w: jax.lax.scan(lambda x, w: (x + w,) * 2, 0.0, w)[1],
        "backwards": lambda w: jax.lax.scan(lambda x, w: (x + w,) * 2, 0.0, w, reverse=True)[1],
    }
    spread = np.sqrt(1 + 4 + 9 + 16) / 4
    for walk in walks.values():
        f = lambda t, k, walk=walk: 1.0 * (jnp.mean(walk(t * jax.random.normal(k, (4,)))) > 1)
        judge(f, 0.7, slope(lambda t: norm.sf(1 / (t * spread)), 0.7))


def test_a_number_without_noise_that_is_cut_off_hides_no_jump():
    """What many numbers give alike is not to be compared with other noise: a jump would be lost."""
    f = lambda t, k: (lambda x: 1.0 * (jnp.maximum(t * x[0], 0.5) > x[1]))(jax.random.normal(k, (2,)))
    exact = integrate.quad(lambda x: norm.cdf(max(0.7 * x, 0.5)) * norm.pdf(x), -9, 9, points=[0.5 / 0.7])[0]
    found = lambda t: integrate.quad(lambda x: norm.cdf(max(t * x, 0.5)) * norm.pdf(x), -9, 9, points=[0.5 / t])[0]
    assert exact == pytest.approx(found(0.7))
    judge(f, 0.7, slope(found, 0.7, 1e-4), count=20_000)


@jax.jit
def _uniform(key, low, high):
    return low + (high - low) * jax.random.normal(key) ** 2


REFUSED = {
    "a number and one that it went into": lambda t, k: (lambda x: 1.0 * (x[-1] > t * x[0]))(
        jnp.cumsum(jax.random.normal(k, (3,)) * t)
    ),
    "the same number in another order": lambda t, k: (lambda x: 1.0 * jnp.sum(t * x.T[0] > x[1]))(
        jax.random.normal(k, (2, 2))
    ),
    "a price and the mean of its path": lambda t, k: (lambda x: 1.0 * (x[-1] > jnp.mean(x)))(
        jax.lax.scan(lambda x, w: (x + t * w, x + t * w), 0.0, jax.random.normal(k, (3,)))[1]
    ),
    "a sum of running sums both ways": lambda t, k: (
        1.0 * (jnp.sum(jnp.cumsum(jnp.cumsum(t * jax.random.normal(k, (3,)))[::-1])) > 1)
    ),
    "a sum of one number three times": lambda t, k: (
        1.0 * (jnp.sum(jnp.broadcast_to(t * jax.random.normal(k), (3,))) > 1)
    ),
    "an even power": lambda t, k: 1.0 * (jax.random.normal(k) ** 2.0 < t),
    "a sum of numbers that were cut off": lambda t, k: (
        1.0 * (jnp.sum(jnp.maximum(t * jax.random.normal(k, (3,)), 0.0)) > 1)
    ),
    "a running maximum": lambda t, k: jnp.sum(jax.lax.cummax(t * jax.random.normal(k, (3,))) > 1) ** 2.0,
    "a sum over passes of noise from outside": lambda t, k: (
        lambda z: 1.0 * (jnp.sum(jax.lax.scan(lambda c, x: (c, x + t * z), 0.0, jnp.arange(3.0))[1]) > 1)
    )(jax.random.normal(k)),
    "a function of its own by a name of JAX": lambda t, k: 1.0 * (_uniform(k, 0.0, t) < 0.5),
    "a choice whose noise is used": lambda t, k: (lambda g: 1.0 * jnp.argmax(g + t * jnp.arange(3.0)) + jnp.sum(g))(
        jax.random.gumbel(k, (3,))
    ),
    "whether a wait is zero, one step later": lambda t, k: (
        1.0
        * jax.lax.scan(
            lambda wn, x: ((jnp.maximum(wn[0] + t * x, 0.0), wn[1] + (wn[0] == 0)), None),
            (0.0, 0),
            jax.random.normal(k, (3,)),
        )[0][1]
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_hangs_on_more_than_one_use_of_a_number_is_refused(name):
    with pytest.raises(NotApplicable):
        jax.grad(draw.expect(REFUSED[name]))(0.7, jax.random.key(0))
