"""Every family of draws: its law, its derivative by every estimator, and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from draw_checks import judge, samples, scores
from oracle_checks import LIMIT
from scipy import stats

from pliant import draw
from pliant.core.chance import draws

THETA = {
    "bernoulli": jnp.array(0.3),
    "binomial": jnp.array(0.6),
    "categorical": jnp.array([0.1, 0.5, -0.3]),
    "geometric": jnp.array(0.4),
    "multinomial": jnp.array([0.2, 0.5, 0.3]),
    "poisson": jnp.array(3.0),
}
LEVELS = jnp.array([1.0, -2.0, 4.0])


def everything(theta, key):
    keys = dict(zip(theta, jax.random.split(key, len(theta)), strict=True))
    counts = draw.multinomial(keys["multinomial"], 5, theta["multinomial"])
    return {
        "bernoulli": 3.0 * draw.bernoulli(keys["bernoulli"], theta["bernoulli"]) + theta["bernoulli"] ** 2,
        "binomial": draw.binomial(keys["binomial"], 10, theta["binomial"]) ** 2,
        "categorical": LEVELS[draw.categorical(keys["categorical"], theta["categorical"])],
        "geometric": draw.geometric(keys["geometric"], theta["geometric"]) ** 2,
        "multinomial": counts[0] * counts[1],
        "poisson": draw.poisson(keys["poisson"], theta["poisson"]) ** 2,
    }


def moments(theta):
    """Their expectations."""
    p, q, rate = theta["binomial"], theta["geometric"], theta["poisson"]
    share = theta["multinomial"] / jnp.sum(theta["multinomial"])
    return {
        "bernoulli": 3 * theta["bernoulli"] + theta["bernoulli"] ** 2,
        "binomial": 10 * p * (1 - p) + 100 * p**2,
        "categorical": jax.nn.softmax(theta["categorical"]) @ LEVELS,
        "geometric": (2 - q) / q**2,
        "multinomial": 20 * share[0] * share[1],
        "poisson": rate + rate**2,
    }


# Every output by every parameter: zero but for its own.
EXACT = jax.jacrev(moments)(THETA)


@pytest.mark.parametrize("estimator", ["replay", "measure_valued", "score"])
def test_closed_forms(estimator):
    judge(everything, THETA, EXACT, estimator=estimator, count=8000)


def test_a_wrong_amplitude_fails(monkeypatch):
    """The check sees a derivative that is a tenth too large, and a swap in one direction alone."""
    right = draws.Poisson.swaps
    monkeypatch.setattr(draws.Poisson, "swaps", lambda self, key, x, rate: right(self, key, x, 1.1 * rate))
    up_only = lambda self, key, x, n, p: tuple(part[:1] for part in _binomial(self, key, x, n, p))
    _binomial = draws.Binomial.swaps
    monkeypatch.setattr(draws.Binomial, "swaps", up_only)
    z = scores(samples(everything, THETA, 8000), EXACT)
    wrong = z.reshape(6, -1)
    # A multinomial is made of binomials.
    assert np.all(np.abs(wrong[[1, 4, 5]]).max(axis=1) > LIMIT)
    assert np.all(np.abs(wrong[[0, 2, 3]]) < LIMIT)


LAWS = {
    "bernoulli": (draws.Bernoulli(), (0.3,), stats.bernoulli(0.3)),
    "binomial": (draws.Binomial(), (10, 0.6), stats.binom(10, 0.6)),
    "binomial of many": (draws.Binomial(), (2000, 0.97), stats.binom(2000, 0.97)),
    "categorical": (
        draws.Categorical(),
        (np.array([0.2, 0.5, 0.3]),),
        stats.rv_discrete(values=([0, 1, 2], [0.2, 0.5, 0.3])),
    ),
    "geometric": (draws.Geometric(), (0.4,), stats.geom(0.4)),
    "poisson": (draws.Poisson(), (3.0,), stats.poisson(3.0)),
    "poisson of many": (draws.Poisson(), (900.0,), stats.poisson(900.0)),
}


@pytest.mark.parametrize("name", LAWS)
def test_quantiles_are_those_of_the_law(name):
    """Inversion: the same number at the same level as the law's own quantile function, and so monotone in the parameters."""
    family, parameters, law = LAWS[name]
    level = np.linspace(0.0005, 0.9995, 1000)
    found = jax.jit(jax.vmap(lambda u: family.quantile(u, *map(jnp.asarray, parameters))))(jnp.asarray(level))
    # Success is where the uniform is small.
    expected = law.ppf(1 - level) if name.startswith(("bernoulli", "binomial")) else law.ppf(level)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", LAWS)
def test_probabilities_are_those_of_the_law(name):
    family, parameters, law = LAWS[name]
    x = np.unique(law.ppf(np.array([0.001, 0.3, 0.5, 0.9]))).astype(int)
    found = np.array([family.log_probability(jnp.int32(k), *map(jnp.asarray, parameters)) for k in x])
    expected = law.logpmf(x)
    if name.startswith(("binomial", "poisson")):
        # Up to what does not depend on the parameter.
        constant = (
            stats.binom(parameters[0], 0.5).logpmf(x) if len(parameters) > 1 else stats.poisson(1.0).logpmf(x) + 1
        )
        expected = expected - constant - (parameters[0] * np.log(2) if len(parameters) > 1 else 0)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("estimator", ["replay", "score"])
def test_certain_outcomes_have_finite_derivatives(estimator):
    def f(p, key):
        return 1.0 * draw.bernoulli(key, p) + draw.binomial(key, 3, p) + draw.poisson(key, p)

    slope = jax.jit(jax.grad(draw.expect(f, estimator)))
    for p in (0.0, 1.0):
        found = slope(p, jax.random.key(0))
        assert np.isfinite(found)
    if estimator == "replay":
        assert found == pytest.approx(1 + 3 + 1)


def test_plain_differentiation_raises():
    key = jax.random.key(0)
    plain = {
        "bernoulli": lambda p: draw.bernoulli(key, p) * p,
        "binomial": lambda p: draw.binomial(key, 3, p) * p,
        "geometric": lambda p: draw.geometric(key, p) * p,
        "poisson": lambda p: draw.poisson(key, p) * p,
        "categorical": lambda p: draw.categorical(key, jnp.array([0.0, 1.0]) * p) * p,
        "systematic": lambda p: jnp.sum(draw.systematic(key, jnp.array([0.5, 1.0]) * p)) * p,
    }
    for name, f in plain.items():
        with pytest.raises(TypeError, match=f"draw.{name}` has no derivative"):
            jax.grad(f)(0.3)
        with pytest.raises(TypeError, match="expect"):
            jax.jvp(jax.jit(f), (0.3,), (1.0,))
    looped = lambda p: jax.lax.scan(lambda c, k: (c + draw.bernoulli(k, p), None), 0, jax.random.split(key, 3))[0] * p
    with pytest.raises(TypeError, match="no derivative"):
        jax.grad(looped)(0.3)
    assert jax.grad(lambda p: draw.poisson(key, jax.lax.stop_gradient(p)) * p)(3.0) == float(draw.poisson(key, 3.0))


def test_shapes_and_batches():
    key = jax.random.key(3)
    assert draw.bernoulli(key, 0.5).dtype == bool and draw.bernoulli(key, jnp.full((2, 3), 0.5)).shape == (2, 3)
    assert draw.binomial(key, jnp.array([1, 5]), 0.5, (4, 2)).shape == (4, 2)
    assert draw.categorical(key, jnp.zeros((3, 4))).shape == (3,) and draw.categorical(
        key, jnp.zeros(4), (5,)
    ).shape == (5,)
    counts = draw.multinomial(key, jnp.array([4, 9]), jnp.ones((2, 3)))
    np.testing.assert_array_equal(jnp.sum(counts, axis=1), [4, 9])
    rates = jnp.array([1.0, 10.0, 100.0])
    keys = jax.random.split(key, 3)
    one_by_one = [draw.poisson(k, rate) for k, rate in zip(keys, rates, strict=True)]
    np.testing.assert_array_equal(jax.vmap(draw.poisson)(keys, rates), one_by_one)
    at_one_key = jax.vmap(lambda rate: draw.poisson(key, rate))(rates)
    np.testing.assert_array_equal(at_one_key, [draw.poisson(key, rate) for rate in rates])
    assert draw.poisson(jax.random.PRNGKey(3), 2.0) == draw.poisson(key, 2.0)


def test_arguments_are_named():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="Argument `p` must lie in .0, 1., but it was 1.5"):
        draw.bernoulli(key, 1.5)
    with pytest.raises(ValueError, match="Argument `rate` must be at least 0"):
        draw.poisson(key, jnp.array([1.0, -1.0]))
    with pytest.raises(ValueError, match="Argument `logits`"):
        draw.categorical(key, 1.0)
    with pytest.raises(ValueError, match="Argument `key`"):
        draw.bernoulli(0, 0.5)
    with pytest.raises(ValueError, match="Argument `weights` must have the shape"):
        draw.systematic(key, jnp.ones((2, 2)))
    with pytest.raises(ValueError, match="one shape"):
        draw.normal_mixture(key, jnp.ones(2), jnp.ones(3), jnp.ones(2))
    with pytest.raises(ValueError, match="Argument `cdf`"):
        draw.implicit(jnp.ones(2), 3)
