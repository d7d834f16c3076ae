"""`expect` as a JAX function: values, transformations, arguments, and the choice of an estimator."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pliant import NotApplicable, draw
from pliant.draw import _pilot

KEY = jax.random.key(5)


def squared(p, key):
    return jnp.sum(draw.bernoulli(key, p, (10,))) ** 2


def test_a_value_is_that_of_the_function_at_the_same_key():
    S = draw.expect(squared)
    assert S(0.6, KEY) == float(squared(0.6, KEY)) and S(0.6, KEY).dtype == float
    several = draw.expect(squared, runs=7)
    assert several(0.6, KEY) == pytest.approx(np.mean([squared(0.6, k) for k in jax.random.split(KEY, 7)]))


def test_transformations_agree():
    """jit, jvp, vmap, a scan around: the same derivative at the same key."""
    slope = jax.jit(jax.grad(draw.expect(squared)))
    keys, p = jax.random.split(KEY, 3), jnp.array([0.2, 0.5, 0.9])
    one_by_one = [float(slope(a, k)) for a, k in zip(p, keys, strict=True)]
    S = draw.expect(squared)
    assert float(jax.grad(S)(p[0], keys[0])) == pytest.approx(one_by_one[0], rel=1e-12)
    assert float(jax.jvp(lambda p: S(p, keys[1]), (p[1],), (1.0,))[1]) == pytest.approx(one_by_one[1], rel=1e-12)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(S)))(p, keys), one_by_one, rtol=1e-12)
    inside = lambda p: jax.lax.scan(lambda c, pk: (c + S(*pk), None), 0.0, (p, keys))[0]
    np.testing.assert_allclose(jax.jit(jax.grad(inside))(p), one_by_one, rtol=1e-12)


def test_a_second_derivative_raises():
    with pytest.raises(TypeError, match="first derivative only"):
        jax.grad(jax.grad(draw.expect(squared)))(0.6, KEY)
    with pytest.raises(TypeError, match="first derivative only"):
        jax.hessian(draw.expect(squared, "score"))(0.6, KEY)


def test_trees_in_and_out():
    def f(theta, key):
        x = draw.poisson(key, theta["rate"] * jnp.ones(2))
        return {"sum": jnp.sum(x), "scaled": theta["scale"] * x, "n": theta["n"]}

    theta = {"rate": jnp.array(3.0), "scale": 2.0, "n": jnp.array(4), "name": 7}
    f_of = draw.expect(f)
    out = f_of(theta, KEY)
    assert out["sum"].dtype == float and out["scaled"].shape == (2,) and out["n"] == 4
    slope = jax.jacrev(lambda rate: f_of({**theta, "rate": rate}, KEY))(theta["rate"])
    assert slope["sum"] == pytest.approx(2.0) and slope["n"] == 0
    np.testing.assert_allclose(slope["scaled"], [2.0, 2.0])


def test_single_precision_stays():
    S = draw.expect(lambda p, k: draw.bernoulli(k, p) * p)
    assert jax.grad(S)(jnp.float32(0.5), KEY).dtype == jnp.float32


def test_a_program_that_draws_nothing():
    for estimator in ("replay", "score", "measure_valued"):
        S = draw.expect(lambda p, k: p**2 * jax.random.normal(k), estimator)
        noise = [jax.random.normal(k) for k in (jax.random.split(KEY, 10) if estimator == "score" else [KEY])]
        assert jax.grad(S)(3.0, KEY) == pytest.approx(6 * np.mean(noise))


def test_arguments_are_named():
    with pytest.raises(ValueError, match="Argument `estimator` must be one of auto, replay"):
        draw.expect(squared, "reinforce")
    with pytest.raises(ValueError, match="Argument `replays` must be a whole number >= 1"):
        draw.expect(squared, replays=0)
    with pytest.raises(ValueError, match="Argument `jumps`"):
        draw.expect(squared, jumps="smooth")
    with pytest.raises(ValueError, match="Argument `runs` must be at least 2"):
        draw.expect(squared, "score", runs=1)
    with pytest.raises(ValueError, match="Argument `f`"):
        draw.expect(3.0)


def test_a_pilot_chooses_by_variance_and_seconds(monkeypatch):
    """Seconds of a fake clock, so that the choice is the same on every machine: replay where it pays, else the score."""
    spent = {"replay": 1.0, "score": 1.0, "measure_valued": 1.0}
    measured = _pilot._spread
    seen: list[str] = []

    def spread(slopes, moving, candidate):
        seen.append(candidate.estimator)
        return measured(slopes, moving) * spent[candidate.estimator]

    def cost(candidate, theta, key):
        slopes = jax.jit(jax.vmap(jax.grad(candidate), in_axes=(None, 0)))(theta, jax.random.split(key, 256))
        yield spread(slopes, theta, candidate)

    monkeypatch.setattr(_pilot, "_cost", cost)
    assert draw.expect(squared, pilot=(0.6, KEY)).estimator in ("replay", "measure_valued")
    spent.update(replay=100.0, measure_valued=100.0)
    assert draw.expect(squared, pilot=(0.6, KEY)).estimator == "score"
    assert {"replay", "score", "measure_valued"} == set(seen)


def test_a_pilot_measures_and_leaves_out_what_does_not_serve():
    shared = lambda p, k: (lambda x: jnp.where(x > 1.0, x, 0.0))(p + jax.random.normal(k))
    chosen = draw.expect(shared, pilot=(0.3, KEY))
    assert chosen.estimator != "score" and np.isfinite(jax.grad(chosen)(0.3, KEY))
    with pytest.raises(NotApplicable, match="No estimator serves"):
        draw.expect(lambda p, k: jnp.floor(p * jax.random.normal(k) ** 2), pilot=(0.3, KEY))
