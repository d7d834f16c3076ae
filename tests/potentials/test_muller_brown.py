"""The Müller-Brown surface at its stationary points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pliant.potentials import MullerBrown

# Position, energy, number of negative curvatures.
STATIONARY_POINTS = [
    ((-0.5582236346, 1.4417258418), -146.69951721, 0),
    ((0.6234994049, 0.0280377585), -108.16672412, 0),
    ((-0.0500108230, 0.4666941049), -80.76781813, 0),
    ((-0.8220015587, 0.6243128028), -40.66484351, 1),
    ((0.2124865820, 0.2929883251), -72.24894011, 1),
]


@pytest.mark.parametrize(("point", "energy", "descents"), STATIONARY_POINTS)
def test_stationary_points(point, energy, descents):
    surface, point = MullerBrown(), jnp.array(point)
    assert float(surface(point)) == pytest.approx(energy, abs=1e-8)
    np.testing.assert_allclose(surface.force(point), 0, atol=5e-6)
    assert np.sum(np.linalg.eigvalsh(jax.hessian(surface)(point)) < 0) == descents


def test_the_stiffest_curvature_is_the_documented_one():
    deepest = jnp.array(STATIONARY_POINTS[0][0])
    assert np.linalg.eigvalsh(jax.hessian(MullerBrown())(deepest)).max() == pytest.approx(4068, abs=0.5)


def test_several_points_at_once_are_refused():
    with pytest.raises(ValueError, match=r"Argument `position` must have shape \(2,\).*\(7, 2\).*jax.vmap"):
        MullerBrown()(jnp.zeros((7, 2)))
