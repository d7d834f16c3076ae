"""Figures of merit of per-replica gradients, against laws whose moments are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pliant.diagnostics import effective_dimension, norm_stability


def test_norm_stability_of_known_laws() -> None:
    draw = np.random.default_rng(1)
    normals = draw.standard_normal(200_000)
    # Of |x| the variance is 1 - 2/pi and the mean sqrt(2/pi); the spread of the estimate is some 2 / sqrt(n).
    assert abs(norm_stability(normals) - (np.pi / 2 - 1)) < 4 * 2 / np.sqrt(len(normals))
    directions = draw.standard_normal((1000, 3))
    assert norm_stability(directions / np.linalg.norm(directions, axis=1, keepdims=True)) < 1e-28
    # A lognormal has exp(s^2) - 1.
    heavy = np.exp(0.5 * draw.standard_normal(400_000))
    assert abs(norm_stability(heavy) / np.expm1(0.25) - 1) < 4 * 3 / np.sqrt(len(heavy))


def test_norm_stability_wants_two_replicas() -> None:
    with pytest.raises(ValueError, match="at least 2 replicas, but it held 1"):
        norm_stability(np.ones((1, 3)))


SPECTRUM = 1.0 / np.arange(1, 41)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [64, 256, 4096])
def test_dimension_of_a_covariance_whatever_the_number_of_replicas(replicas: int) -> None:
    truth = np.sum(SPECTRUM) ** 2 / np.sum(SPECTRUM**2)
    draw = np.random.default_rng(replicas)
    found = [
        effective_dimension(np.sqrt(SPECTRUM) * draw.standard_normal((replicas, len(SPECTRUM)))) for _ in range(40)
    ]
    values, errors = np.transpose(found)
    # Numerator and denominator are unbiased; what the ratio adds is of the order of its variance.
    assert abs(np.mean(values) - truth) < 4 * np.std(values) / np.sqrt(40) + 0.5 * np.var(values) / truth
    assert 0.6 < np.mean(errors) / np.std(values) < 1.7


def test_the_plain_ratio_is_biased() -> None:
    """What `effective_dimension` is better than: the participation ratio of the sample covariance."""
    draw = np.random.default_rng(0)
    plain = []
    for _ in range(40):
        values = np.linalg.eigvalsh(np.cov((np.sqrt(SPECTRUM) * draw.standard_normal((64, 40))).T))
        plain.append(np.sum(values) ** 2 / np.sum(values**2))
    truth = np.sum(SPECTRUM) ** 2 / np.sum(SPECTRUM**2)
    assert np.mean(plain) < truth - 5 * np.std(plain) / np.sqrt(40)


def test_dimension_of_a_hessian_exactly_and_by_random_signs() -> None:
    small = jnp.asarray(SPECTRUM)
    exact, error = effective_dimension(function=lambda x: 0.5 * jnp.sum(small * x**2), at=jnp.ones(40))
    assert error == 0.0
    np.testing.assert_allclose(exact, np.sum(SPECTRUM) ** 2 / np.sum(SPECTRUM**2), rtol=1e-12)
    spectrum = 1.0 / np.arange(1, 401) ** 0.5
    mixing = np.linalg.qr(np.random.default_rng(3).standard_normal((400, 400)))[0]
    matrix = jnp.asarray(mixing * spectrum @ mixing.T)
    found, error = effective_dimension(
        function=lambda x: 0.5 * x @ matrix @ x, at=jnp.zeros(400), key=jax.random.key(1), probes=400
    )
    assert 0 < error < 0.05 * found
    assert abs(found - np.sum(spectrum) ** 2 / np.sum(spectrum**2)) < 4 * error


def test_dimension_says_what_it_needs() -> None:
    with pytest.raises(ValueError, match="either `gradients`, or `function`"):
        effective_dimension()
    with pytest.raises(ValueError, match="at least 64 replicas, but it held 10"):
        effective_dimension(np.ones((10, 3)))
