"""Programs that draw in loops, branches and batches, and comparisons in programs that know nothing of this library."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draw_checks import judge, samples, scores
from jax.scipy.stats import norm
from oracle_checks import LIMIT
from problems import slope

from pliant import NotApplicable, draw
from pliant.core.chance import discrete


def branches(p, key):
    first, second = jax.random.split(key)
    many = lambda: p * draw.binomial(second, 5, p) ** 2
    few = lambda: 3.0 * draw.bernoulli(second, p * p)
    return jax.lax.cond(draw.bernoulli(first, p), many, few)


BRANCHES = lambda p: p * p * (5 * p * (1 - p) + 25 * p * p) + (1 - p) * 3 * p * p


def trials(p, key):
    """A while loop: the number of trials up to the first success."""

    def body(state):
        key, count, _ = state
        key, one = jax.random.split(key)
        return key, count + 1, draw.bernoulli(one, p)

    return 1.0 * jax.lax.while_loop(lambda state: ~state[2], body, (key, 0, False))[1]


def counted(p, key):
    """Unmodified: numbers drawn before a loop, compared in it with what depends on its carry."""
    step = lambda total, u: (total + jnp.where(u < p + 0.02 * total, 1.0, 0.0), None)
    return jax.lax.scan(step, 0.0, jax.random.uniform(key, (6,)))[0] ** 2


def counted_exactly(p):
    chance, count = jnp.zeros(8).at[0].set(1.0), jnp.arange(8)
    for _ in range(6):
        up = p + 0.02 * count
        chance = chance * (1 - up) + jnp.roll(chance * up, 1)
    return chance @ count**2


def batched(p, key):
    share = jnp.array([0.2, 0.5, 1.0])
    return jnp.sum(jax.vmap(lambda k, s: draw.bernoulli(k, p * s))(jax.random.split(key, 3), share)) ** 2


def batched_exactly(p):
    q = p * jnp.array([0.2, 0.5, 1.0])
    return jnp.sum(q * (1 - q)) + jnp.sum(q) ** 2


PROGRAMS = {
    "cond": (branches, BRANCHES, {}),
    "cond, one swap": (branches, BRANCHES, {"replays": 1}),
    "cond, score": (branches, BRANCHES, {"estimator": "score"}),
    "cond, measure-valued": (branches, BRANCHES, {"estimator": "measure_valued"}),
    "while": (trials, lambda p: 1 / p, {"max_steps": 25}),
    "noise from outside a scan": (counted, counted_exactly, {}),
    "noise from outside a scan, score": (counted, counted_exactly, {"estimator": "score"}),
    "vmap": (batched, batched_exactly, {}),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_structures(name):
    f, exact, options = PROGRAMS[name]
    judge(f, 0.6, jax.grad(exact)(0.6), count=20_000, **options)


def test_weights_that_do_not_make_up_for_the_choice_fail(monkeypatch):
    right = discrete._choose
    monkeypatch.setattr(discrete, "_choose", lambda *given: (right(*given)[0], 1.0))
    z = scores(samples(branches, 0.6, 20_000, replays=1), jax.grad(BRANCHES)(0.6))
    assert abs(z[0]) > LIMIT


ACCEPT = {
    "log u < r": lambda key, r: jnp.log(jax.random.uniform(key)) < r,
    "u < exp(r)": lambda key, r: jax.random.uniform(key) < jnp.exp(r),
    "min(1, exp(r)) > u": lambda key, r: jnp.minimum(1.0, jnp.exp(r)) > jax.random.uniform(key),
    "exponential > -r": lambda key, r: jax.random.exponential(key) > -r,
    "jax.random.bernoulli": lambda key, r: jax.random.bernoulli(key, jnp.minimum(1.0, jnp.exp(r))),
}
STEPS, START, WIDTH = 4, 1.5, 2.0


def chain(scale, key, accept=ACCEPT["log u < r"]):
    """Metropolis on a standard normal, as anyone would write it."""

    def step(x, key):
        first, second = jax.random.split(key)
        proposed = x + scale * jax.random.normal(first)
        return jnp.where(accept(second, 0.5 * (x**2 - proposed**2)), proposed, x), None

    return jax.lax.scan(step, START, jax.random.split(key, STEPS))[0] ** 2


def chain_exactly(scale):
    """By quadrature of the transition density on a grid."""
    grid = np.linspace(-9, 9, 1801)
    x, y = grid[:, None], grid[None, :]
    kernel = np.exp(-0.5 * ((y - x) / scale) ** 2) / np.sqrt(2 * np.pi) / scale * (grid[1] - grid[0])
    kernel *= np.minimum(1, np.exp(0.5 * (x**2 - y**2)))
    kernel += np.diag(1 - kernel.sum(axis=1))
    law = np.zeros(len(grid))
    law[np.argmin(np.abs(grid - START))] = 1.0
    for _ in range(STEPS):
        law = law @ kernel
    return law @ grid**2


CHAIN = (chain_exactly(WIDTH + 1e-3) - chain_exactly(WIDTH - 1e-3)) / 2e-3


def test_metropolis_is_the_same_however_it_is_written():
    """One check against quadrature; the same numbers from the same keys in other words."""
    judge(chain, WIDTH, CHAIN, count=40_000, resolution=0.2)
    first = samples(chain, WIDTH, 50)
    for name in ("u < exp(r)", "min(1, exp(r)) > u", "jax.random.bernoulli"):
        same = samples(lambda s, k, name=name: chain(s, k, ACCEPT[name]), WIDTH, 50)
        np.testing.assert_allclose(same, first, rtol=1e-9, atol=1e-9)
    judge(lambda s, k: chain(s, k, ACCEPT["exponential > -r"]), WIDTH, CHAIN, count=40_000, resolution=0.2)


def test_metropolis_without_its_accept_step_fails():
    """Backpropagation alone misses the acceptance: the check would see it."""
    slopes = jax.jit(jax.vmap(jax.grad(chain), in_axes=(None, 0)))
    z = scores(slopes(WIDTH, jax.random.split(jax.random.key(7), 40_000)), CHAIN, 0.2)
    assert abs(z[0]) > 2 * LIMIT


def test_systematic_resampling():
    """Every run gives the exact derivative: all switches are looked at, and there is no other noise."""
    weights, values = np.array([0.2, 0.5, 0.1, 0.35]), np.array([1.0, 3.0, -2.0, 0.5])

    def f(w, key):
        chosen = draw.systematic(key, w, 3)
        return jnp.sum(jnp.asarray(values)[chosen]) * jnp.max(jnp.asarray(values)[chosen]) + 1.0 * chosen[0]

    def exactly(w):
        """Piece by piece between the uniforms at which an index switches."""
        ladder = np.cumsum(w)[:-1] / np.sum(w)
        cuts = np.sort(np.concatenate([[0.0, 1.0], (3 * ladder) % 1]))
        total = 0.0
        for low, high in zip(cuts[:-1], cuts[1:], strict=True):
            chosen = np.sum((np.arange(3)[:, None] + (low + high) / 2) / 3 >= ladder, axis=1)
            total += (high - low) * (values[chosen].sum() * values[chosen].max() + chosen[0])
        return total

    exact = [slope(lambda x, i=i: exactly(np.where(np.arange(4) == i, x, weights)), weights[i], 1e-6) for i in range(4)]
    np.testing.assert_allclose(samples(f, weights, 3), np.tile(exact, (3, 1)), rtol=1e-6)
    fewer = samples(f, weights, 4000, replays=4)
    assert np.all(np.abs(scores(fewer, exact)) < LIMIT)
    with pytest.raises(NotApplicable, match="used elsewhere"):
        samples(f, weights, 3, estimator="score")


def test_a_mixture_of_normals_moves_with_its_quantile():
    theta = (jnp.array([0.1, -0.3, 0.2]), jnp.array([-1.0, 0.5, 2.0]), jnp.array([0.5, 1.0, 0.7]))
    f = lambda theta, key: jnp.sum(draw.normal_mixture(key, *theta, shape=(2,)) ** 2)
    exact = jax.grad(lambda theta: 2 * jax.nn.softmax(theta[0]) @ (theta[1] ** 2 + theta[2] ** 2))(theta)
    slopes = jax.jit(jax.vmap(jax.grad(f), in_axes=(None, 0)))(theta, jax.random.split(jax.random.key(5), 40_000))
    assert np.all(np.abs(scores(slopes, exact)) < LIMIT)
    held = lambda theta, key: f((jax.lax.stop_gradient(theta[0]), *theta[1:]), key)
    wrong = jax.jit(jax.vmap(jax.grad(held), in_axes=(None, 0)))(theta, jax.random.split(jax.random.key(5), 40_000))
    assert np.any(np.abs(scores(wrong, exact)) > LIMIT)


REFUSED = {
    "two numbers": (lambda p, k: 1.0 * (jnp.prod(jax.random.normal(k, (2,))) < p), "`lt` .*monotone function"),
    "not monotone": (lambda p, k: 1.0 * (jax.random.normal(k) ** 2 < p), "`lt`"),
    "rounding": (lambda p, k: jnp.floor(p * jax.random.normal(k) ** 2), "`floor`"),
    "to an integer": (lambda p, k: 1.0 * (p * jax.random.normal(k) ** 2).astype(int), "`convert_element_type`"),
    "ranks": (lambda p, k: 1.0 * jnp.argsort(p * jax.random.normal(k, (3,)))[0], "`sort`"),
    "largest": (lambda p, k: 1.0 * jnp.argmax(p * jax.random.normal(k, (3,))), "`argmax`.*draw.categorical"),
    "rejection": (lambda p, k: 1.0 * jax.random.binomial(k, 5, p), "max_steps.*draw.binomial"),
    "after the loop": (
        lambda p, k: (
            1.0
            * (jax.lax.scan(lambda x, k: (x + p * jax.random.normal(k) ** 2, None), 0.0, jax.random.split(k))[0] > 1)
        ),
        "`gt`",
    ),
    "itself": (lambda p, k: (lambda u: 1.0 * (u < p * u**2 + 0.1))(jax.random.uniform(k)), "`lt`"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_jump_that_cannot_be_followed_is_refused(name):
    f, message = REFUSED[name]
    with pytest.raises(NotApplicable, match=message):
        jax.grad(draw.expect(f))(0.7, jax.random.key(0))


def test_kinks_may_be_let_through():
    f = lambda p, k: (lambda x: jnp.where(x > 0, x, 0.0) ** 2)(p + jnp.sum(jax.random.normal(k, (2,))))
    exact = jax.grad(lambda p: (p**2 + 2) * norm.cdf(p / 2**0.5) + p * 2**0.5 * norm.pdf(p / 2**0.5))(0.7)
    judge(f, 0.7, exact, jumps="ignore")


def test_draws_in_a_predicate_are_refused():
    f = lambda p, k: 1.0 * jax.lax.while_loop(lambda n: draw.bernoulli(jax.random.fold_in(k, n), p), lambda n: n + 1, 0)
    with pytest.raises(NotApplicable, match="draws in its condition"):
        jax.grad(draw.expect(f, max_steps=9))(0.5, jax.random.key(0))


def test_a_loop_longer_than_its_bound_is_an_error():
    with pytest.raises(Exception, match="has not ended after 2 steps"):
        jax.block_until_ready(jax.grad(draw.expect(trials, max_steps=2))(0.01, jax.random.key(0)))
