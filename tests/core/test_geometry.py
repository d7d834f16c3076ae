"""Dihedral angles, safe lengths and nearest images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pliant.core.geometry import dihedral, minimum_image, safe_norm


def four_atoms(angle: float) -> jax.Array:
    """i and l perpendicular to the axis j -> k (along z), l turned clockwise from i by `angle`, seen along the axis."""
    return jnp.array([[1.0, 0, 0], [0.0, 0, 0], [0.0, 0, 1.0], [np.cos(angle), np.sin(angle), 1.0]])


@pytest.mark.parametrize("angle", [0.0, 0.4, 3.0, -3.0, -0.4, 1e-9, np.pi])
def test_the_dihedral_angle_and_its_sign(angle):
    # Looking along +z, from z = 0, the x axis turns clockwise towards the y axis.
    assert float(dihedral(four_atoms(angle), (0, 1, 2, 3))) == pytest.approx(angle, abs=1e-15)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1.0, np.pi])
def test_its_derivative_is_finite_and_right_even_where_it_is_flat(angle):
    def turned(by):
        return dihedral(four_atoms(0.0).at[3, :2].set(jnp.array([jnp.cos(by), jnp.sin(by)])), (0, 1, 2, 3))

    assert float(jax.grad(turned)(angle)) == pytest.approx(1.0, rel=1e-12)


def test_a_wrong_number_of_indices_is_refused():
    with pytest.raises(ValueError, match="Argument `indices` must hold four particle numbers, but it held 3"):
        dihedral(four_atoms(0.3), (0, 1, 2))


def test_the_length_of_the_zero_vector_has_derivative_zero():
    np.testing.assert_array_equal(jax.grad(safe_norm)(jnp.zeros(3)), 0)
    np.testing.assert_allclose(jax.grad(safe_norm)(jnp.array([3.0, 0, 4.0])), [0.6, 0, 0.8])


def test_the_minimum_image_is_the_shortest():
    box = jnp.array([2.0, 3.0, 5.0])
    displacement = jax.random.uniform(jax.random.key(0), (50, 3), minval=-9.0, maxval=9.0)
    images = displacement + box * jnp.stack(jnp.meshgrid(*[jnp.arange(-6, 7)] * 3), -1).reshape(-1, 1, 3)
    shortest = jnp.min(jnp.sum(images**2, axis=-1), axis=0)
    np.testing.assert_allclose(jnp.sum(minimum_image(displacement, box) ** 2, axis=-1), shortest, rtol=1e-12)
