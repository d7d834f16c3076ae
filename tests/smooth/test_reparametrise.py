"""Maps onto constrained sets, and draws as functions of location and scale."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from smooth_checks import compiled

from pliant.smooth import reparametrise

FREE = np.array([0.3, -1.2, 2.0])
MAPS = {
    "exp": reparametrise.Positive(),
    "softplus": reparametrise.Positive(floor=-1.0, form="softplus"),
    "bounded": reparametrise.Bounded(-1.0, jnp.array([2.0, 3.0, 0.5])),
    "simplex": reparametrise.Simplex(),
    "ordered": reparametrise.Ordered(),
}


@pytest.mark.parametrize("name", MAPS)
def test_a_map_its_inverse_and_its_volume(name):
    to = MAPS[name]
    value = compiled(lambda to, free: to(free))(to, FREE)
    back, jacobian, backwards, volume = compiled(
        lambda to, free: (
            to.inverse(to(free)),
            jax.jacobian(to)(free),
            jax.jacobian(to.inverse)(to(free)),
            to.log_volume(free),
        )
    )(to, FREE)
    np.testing.assert_allclose(back, FREE, rtol=1e-12)
    # A simplex has one number more than its dimension: the first n - 1 are its coordinates.
    np.testing.assert_allclose(volume, np.linalg.slogdet(jacobian[: len(FREE)])[1], rtol=1e-12)
    np.testing.assert_allclose(backwards @ jacobian, np.eye(3), atol=1e-12)
    rows = compiled(lambda to, free: to(free))(to, np.stack([FREE, FREE + 1]))
    np.testing.assert_allclose(rows[0], value, rtol=1e-14)
    assert to(FREE.astype(np.float32)).dtype in (jnp.float32, jnp.float64)
    leaves, structure = jax.tree.flatten(to)
    assert jax.tree.structure(jax.tree.unflatten(structure, leaves)) == structure


def test_the_sets():
    far = 30 * FREE
    assert jnp.all(MAPS["exp"](far) > 0) and jnp.all(MAPS["softplus"](far) >= -1)
    assert jnp.all(jnp.diff(MAPS["ordered"](FREE)) > 0)
    shares = MAPS["simplex"](far)
    assert shares.shape == (4,) and jnp.all(shares >= 0)
    np.testing.assert_allclose(jnp.sum(shares), 1, rtol=1e-14)
    np.testing.assert_allclose(MAPS["simplex"](jnp.zeros(3)), 0.25, rtol=1e-14)
    inside = MAPS["bounded"](FREE)
    assert jnp.all(inside > -1) and jnp.all(inside < jnp.array([2.0, 3.0, 0.5]))
    np.testing.assert_allclose(reparametrise.Positive(form="softplus")(jnp.array([800.0])), 800)


def test_a_density_in_free_numbers_integrates_to_one():
    """With the volume factor; without it, the mutant, it does not."""
    free = np.linspace(-40, 8, 100_001)
    to = reparametrise.Positive()
    log_density = lambda x: stats.gamma.logpdf(x, 2.5)
    value, volume = compiled(jax.vmap(lambda free: (to(free), to.log_volume(free))))(free)
    total = lambda log_p: np.trapezoid(np.exp(log_p), free)
    np.testing.assert_allclose(total(log_density(value) + volume), 1, rtol=1e-8)
    assert abs(total(log_density(value)) - 1) > 0.1


def test_maps_refuse():
    with pytest.raises(ValueError, match="`lower` must be below `upper`"):
        reparametrise.Bounded(1.0, 0.0)
    with pytest.raises(ValueError, match="`form` must be one of 'exp', 'softplus'"):
        reparametrise.Positive(form="square")
    assert np.isnan(MAPS["exp"].inverse(-1.0)) and MAPS["exp"].inverse(0.0) == -jnp.inf


@pytest.mark.parametrize("law", ["normal", "uniform", "logistic", "laplace", "gumbel", "cauchy"])
def test_draws_follow_their_law(law):
    n, location, scale = 4000, 1.5, 0.7
    draws = reparametrise.location_scale(jax.random.key(5), location, scale, law=law, shape=(n,))
    scipy_law = {"normal": "norm", "gumbel": "gumbel_r"}.get(law, law)
    arguments = (location - scale, 2 * scale) if law == "uniform" else (location, scale)
    assert stats.kstest(np.asarray(draws), getattr(stats, scipy_law)(*arguments).cdf).pvalue > 1e-3


def test_pathwise_derivatives_of_draws():
    """E x^4 under a normal law, by both parameters."""

    def fourth(location, scale):
        return reparametrise.location_scale(jax.random.key(1), location, scale, shape=(200_000,)) ** 4

    by_location, by_scale = compiled(jax.jacfwd(fourth, argnums=(0, 1)))(0.5, 1.2)
    for slopes, exact in ((by_location, 4 * 0.5**3 + 12 * 0.5 * 1.2**2), (by_scale, 12 * 0.5**2 * 1.2 + 12 * 1.2**3)):
        assert abs(np.mean(slopes) - exact) < 4 * np.std(slopes) / np.sqrt(len(slopes))


def test_shapes_types_and_refusals_of_draws():
    key = jax.random.key(0)
    assert reparametrise.location_scale(key, jnp.zeros((2, 1)), jnp.ones(3)).shape == (2, 3)
    assert reparametrise.location_scale(key, jnp.float32(0), jnp.float32(1)).dtype == jnp.float32
    with pytest.raises(ValueError, match="`scale` must be positive"):
        reparametrise.location_scale(key, 0.0, 0.0)
    with pytest.raises(ValueError, match="`law` must be one of 'normal'"):
        reparametrise.location_scale(key, 0.0, 1.0, law="poisson")
