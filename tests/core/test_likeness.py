"""Programs are the same where they do the same to the same variables, whatever these are called."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pliant.core.likeness import alike
from pliant.core.programs import trace

SHAPE = jax.ShapeDtypeStruct((3,), jnp.float64)


def programs(*functions):
    return [trace(function, SHAPE, SHAPE)[0] for function in functions]


def looped(factor):
    return lambda x, y: lax.scan(lambda c, _: (factor * jnp.sin(c) + y, None), x, None, length=4)[0]


def held(values):
    table = np.asarray(values)
    return lambda x, y: x * table + y


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x, y: jnp.sin(x) - y, lambda a, b: jnp.sin(a) - b),
        (looped(2.0), looped(2.0)),
        (held([1.0, 2.0, 3.0]), held([4.0, 5.0, 6.0])),
        (lambda x, y: jax.jit(jnp.cos)(x) + y, lambda x, y: jax.jit(jnp.cos)(x) + y),
    ],
    ids=["names", "loops", "constants", "calls"],
)
def test_traced_anew_a_program_is_the_same(one, other):
    assert alike(*programs(one, other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x, y: x - y, lambda x, y: y - x),
        (lambda x, y: x + y, lambda x, y: (x + y, x)),
        (lambda x, y: x + 2.0 * y, lambda x, y: x + 3.0 * y),
        (lambda x, y: jnp.sin(x) + y, lambda x, y: jnp.cos(x) + y),
        (lambda x, y: jnp.cumsum(x) + y, lambda x, y: lax.cumsum(x, reverse=True) + y),
        (looped(2.0), looped(3.0)),
        (held([1.0, 2.0, 3.0]), held([[1.0, 2.0, 3.0]])),
        (lambda x, y: jnp.sin(x) + y, lambda x, y: jnp.sin(x) + jnp.sin(x) * y),
    ],
    ids=["wiring", "outputs", "literals", "operations", "parameters", "inside", "shapes", "length"],
)
def test_any_other_difference_counts(one, other):
    assert not alike(*programs(one, other))


def test_tuples_are_compared_by_element():
    one, other = programs(lambda x, y: x - y, lambda x, y: y - x)
    assert alike((one, (1, "a")), (programs(lambda x, y: x - y)[0], (1, "a")))
    assert not alike((one, 1), (other, 1)) and not alike((one, 1), (one, 2)) and not alike((one,), (one, 1))
