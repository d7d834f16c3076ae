"""Safe functions: the value of the plain one, its derivative where it has one, a finite convention where it has not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from smooth_checks import check_order, compiled

from pliant.smooth import safe

# name: (safe, plain, arguments where both agree, arguments at the edge, value there, derivatives there)
PAIRS = {
    "sqrt": (safe.sqrt, jnp.sqrt, (0.3,), (0.0,), 0.0, (0.0,)),
    "log": (lambda x: safe.log(x, floor=0.1), jnp.log, (0.3,), (0.0,), np.log(0.1) - 1, (10.0,)),
    "divide": (safe.divide, jnp.divide, (2.0, -0.3), (2.0, 0.0), 0.0, (0.0, 0.0)),
    "arctan2": (safe.arctan2, jnp.arctan2, (0.2, -0.7), (0.0, 0.0), 0.0, (0.0, 0.0)),
    "arccos": (safe.arccos, jnp.arccos, (-0.4,), (1.0,), 0.0, (0.0,)),
    "arccos below": (safe.arccos, jnp.arccos, (0.999,), (-1.0 - 1e-15,), np.pi, (0.0,)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_pairs(name):
    mine, plain, away, edge, value, slopes = PAIRS[name]
    every = tuple(range(len(away)))
    all_of = lambda f: compiled(lambda *x: (f(*x), jax.grad(f, every)(*x), jax.hessian(f)(*x)))
    mine_of, plain_of = all_of(mine), all_of(plain)
    for x in (away, tuple(1.01 * a for a in away) if "arccos" not in name else away):
        for found, wanted in zip(mine_of(*x), plain_of(*x), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-13)
    found = mine_of(*edge)
    np.testing.assert_allclose(found[0], value, rtol=1e-14)
    np.testing.assert_allclose(found[1], slopes)
    assert np.all(np.isfinite(found[2]))
    assert np.isnan(mine_of(*(np.nan for _ in edge))[0])
    assert mine(*map(jnp.float32, edge)).dtype == jnp.float32


@pytest.mark.parametrize("name", ["sqrt", "divide", "arctan2", "arccos"])
def test_the_plain_function_is_found_out(name):
    _, plain, _, edge, _, _ = PAIRS[name]
    assert not np.all(np.isfinite(jax.grad(plain, tuple(range(len(edge))))(*edge)))


def test_a_fault_is_not_hidden():
    assert np.isnan(safe.sqrt(-1.0))
    assert safe.divide(1.0, 0.0, otherwise=7.0) == 7.0


def test_the_logarithm_goes_on_as_a_line_with_a_bias_of_order_one():
    x = jnp.array([0.1, 0.05, -1.0])
    np.testing.assert_allclose(safe.log(x, floor=0.1), np.log(0.1) + (x - 0.1) / 0.1, atol=1e-15)
    u = np.linspace(0, 1, 200_001)[1:]
    check_order(lambda a: jnp.mean(safe.log(u, floor=a)), np.mean(np.log(u)), 1)
    assert np.isfinite(safe.log(0.0)) and np.isfinite(jax.grad(safe.log)(0.0))
    assert np.isfinite(safe.log(jnp.float32(0))) and safe.log(jnp.float32(1e-30)) < -43
    with pytest.raises(ValueError, match="`floor` must be positive"):
        safe.log(1.0, floor=0.0)


def test_lengths():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_allclose(safe.norm(x), [5, 0]), np.testing.assert_allclose(safe.norm(x, axis=0), [3, 4])
    np.testing.assert_allclose(safe.norm(x, axis=None), 5)
    np.testing.assert_allclose(jax.grad(lambda x: jnp.sum(safe.norm(x)))(x), [[0.6, 0.8], [0, 0]])
    assert np.isnan(safe.norm(jnp.array([jnp.nan, 0.0])))


def test_angles_keep_their_digits():
    a = np.array([1.0, 2.0, -0.5])
    across = np.array([2.0, -1.0, 0.0]) / np.sqrt(5) * np.sqrt(5.25)
    turned_by = jax.jit(jax.value_and_grad(lambda t: safe.angle(a, 2.0 * (jnp.cos(t) * a + jnp.sin(t) * across))))
    for true in (1e-9, 0.3, np.pi / 2, np.pi - 1e-6):
        angle, slope = turned_by(true)
        np.testing.assert_allclose(angle, true, rtol=1e-6 if true < 1e-6 else 1e-10)
        np.testing.assert_allclose(slope, 1, rtol=1e-5)
    arccosine = lambda b: np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))
    assert arccosine(2 * (a + 1e-9 * across)) != pytest.approx(1e-9, rel=0.1)  # a mutant
    slope = compiled(jax.grad(safe.angle, (0, 1)))
    for b in (a, 3 * a, -2 * a, np.zeros(3)):
        assert np.all(np.isfinite(slope(a, b)))
    assert safe.angle(a, jnp.zeros(3)) == 0


RANDOM = np.random.default_rng(0)
ROTATION = np.linalg.qr(RANDOM.normal(size=(5, 5)))[0]
LEVELS = np.array([1.0, 1.0, 1.0, 3.0, 3.0])
A = ROTATION @ np.diag(LEVELS) @ ROTATION.T
E = RANDOM.normal(size=(5, 5))
E = E + E.T


def along(f, times=1):
    """The derivative along E, so many times."""
    for _ in range(times):
        f = lambda a, f=f: jax.jvp(f, (a,), (E,))[1]
    return compiled(f)


def slope_of(f, h=1e-3):
    """Along E at the degenerate matrix, by differences of order four."""
    at = lambda s: np.asarray(f(A + s * h * E))
    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * h)


FUNCTIONS = {
    "projector": (lambda a: safe.projector(a, 0, 3), None),
    "projector by vectors": (lambda a: safe.eigh(a)[1][:, :3] @ safe.eigh(a)[1][:, :3].T, None),
    "sum over a level": (lambda a: jnp.sum(safe.eigh(a)[0][:3] ** 2), None),
    "free energy": (lambda a: -jnp.log(jnp.sum(jnp.exp(-safe.eigh(a)[0]))), None),
    "exponential": (lambda a: safe.matrix_function(jnp.exp, a), lambda a: scipy.linalg.expm(np.asarray(a))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives_at_degenerate_levels(name):
    mine, other = FUNCTIONS[name]
    mine = compiled(mine)
    found = along(FUNCTIONS[name][0])(A)
    np.testing.assert_allclose(found, slope_of(other or mine), atol=1e-7)
    weight = np.cos(np.arange(25.0)).reshape(5, 5) if found.ndim else 1.0
    backwards = compiled(jax.grad(lambda a: jnp.sum(weight * FUNCTIONS[name][0](a))))(A)
    np.testing.assert_allclose(np.sum(backwards * E), np.sum(weight * found), rtol=1e-10)
    assert np.all(np.isfinite(backwards))


def test_plain_eigenvectors_are_found_out():
    plain = lambda a: jnp.linalg.eigh(a)[1][:, :3] @ jnp.linalg.eigh(a)[1][:, :3].T
    assert not np.all(np.isfinite(along(plain)(np.diag(LEVELS))))
    assert np.all(np.isfinite(along(FUNCTIONS["projector"][0])(np.diag(LEVELS))))


def test_a_function_by_eigenvectors_misses_what_splits_a_level():
    """A mutant: V f(levels) V' has finite derivatives and they are wrong, which is why `matrix_function` is there."""
    mutant = lambda a: (safe.eigh(a)[1] * jnp.exp(safe.eigh(a)[0])) @ safe.eigh(a)[1].T
    wrong = along(mutant)(A)
    assert np.all(np.isfinite(wrong))
    assert np.max(np.abs(wrong - along(FUNCTIONS["exponential"][0])(A))) > 0.1


def test_second_derivatives():
    """Of a projector they are right even at degenerate levels; of a function where levels are distinct."""
    p = compiled(lambda a: safe.projector(a, 0, 3))
    difference = lambda f, a, h: (f(a + h * E) - 2 * f(a) + f(a - h * E)) / h**2
    np.testing.assert_allclose(along(lambda a: safe.projector(a, 0, 3), 2)(A), difference(p, A, 1e-3), atol=1e-3)
    distinct = A + ROTATION @ np.diag(np.arange(5.0)) @ ROTATION.T
    exponential = compiled(lambda a: safe.matrix_function(jnp.exp, a))
    second = along(lambda a: safe.matrix_function(jnp.exp, a), 2)
    np.testing.assert_allclose(second(distinct), difference(exponential, distinct, 1e-4), rtol=1e-4, atol=1e-3)
    assert np.all(np.isnan(second(A)))  # said in the docstring, and no silent number


def test_close_levels_lose_few_digits():
    """Around the width where divided differences give way to an integral."""
    flip = np.array([[0.0, 1.0], [1.0, 0.0]])
    slope = compiled(lambda a: jax.jvp(lambda a: safe.matrix_function(jnp.exp, a), (a,), (flip,))[1])
    for gap in (1e-3, 1e-5, 1e-6, 1e-9):
        found = slope(np.diag([1.0, 1.0 + gap]))[0, 1]
        np.testing.assert_allclose(found, np.e * np.expm1(gap) / gap, rtol=1e-9)


def test_what_a_function_closes_over():
    trace = lambda b: jnp.sum(safe.matrix_function(lambda x: jnp.exp(b * x), A) * E)
    exact = scipy.linalg.expm(0.7 * A) @ A
    np.testing.assert_allclose(compiled(jax.grad(trace))(0.7), np.sum(exact * E), rtol=1e-10)


def test_batches_types_and_refusals():
    batch = np.stack([A, A + E])
    for f in (
        lambda a: safe.eigh(a)[0],
        lambda a: safe.projector(a, 1, 2),
        lambda a: safe.matrix_function(jnp.tanh, a),
    ):
        one, rows, mapped = compiled(lambda a, f=f: (f(a[1]), f(a), jax.vmap(f)(a)))(batch)
        np.testing.assert_allclose(rows[1], one, atol=1e-12)
        np.testing.assert_allclose(mapped[1], one, atol=1e-12)
    assert safe.projector(A.astype(np.float32), 0, 3).dtype == jnp.float32
    assert safe.matrix_function(jnp.exp, jnp.zeros((3, 3))).tolist() == np.eye(3).tolist()
    for f in (safe.eigh, lambda a: safe.projector(a, 0, 1), lambda a: safe.matrix_function(jnp.exp, a)):
        with pytest.raises(ValueError, match="`matrix` must be real with shape"):
            f(jnp.zeros((2, 3)))
    with pytest.raises(ValueError, match="must obey 0 <= start < stop <= 5"):
        safe.projector(A, 3, 6)
