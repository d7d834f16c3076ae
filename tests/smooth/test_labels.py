"""Derivatives that are biased by intention: what they are, and that they say so in every program."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smooth_checks import GRID, MASS, compiled, density

import pliant
from pliant import smooth
from pliant.core.labels import biased, labels
from pliant.dynamics import OverdampedLangevin
from pliant.estimators import BPTT
from pliant.observables import Final


def scanned(body):
    return lambda x: jax.lax.scan(lambda c, _: (jnp.sin(c * x) + body(c), None), x, None, length=3)[0]


PROGRAMS = {
    "detach": scanned(smooth.detach),
    "clip_gradient": scanned(lambda c: smooth.clip_gradient(c, 0.1)),
    "straight_through": scanned(lambda c: smooth.straight_through(jnp.round(c), c)),
}
ALONE = {
    "detach": smooth.detach,
    "clip_gradient": lambda x: smooth.clip_gradient(x, 0.1),
    "straight_through": lambda x: smooth.straight_through(jnp.round(x), x),
}
TRANSFORMS = {
    "plain": lambda f: f,
    "jit": jax.jit,
    "gradient": jax.grad,
    "gradient of jit": lambda f: jax.grad(jax.jit(f)),
    "jit of value and gradient": lambda f: jax.jit(jax.value_and_grad(f)),
    "checkpoint": lambda f: jax.grad(jax.checkpoint(f)),
    "vmap": lambda f: lambda x: jax.vmap(jax.grad(f))(jnp.stack([x, x])),
    "linearise": lambda f: lambda x: jax.vjp(f, x)[1](1.0),
    "cond": lambda f: lambda x: jax.lax.cond(x > 0, f, lambda x: x, x),
    "while": lambda f: lambda x: jax.lax.while_loop(lambda c: c > 5, f, x),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("programs", [PROGRAMS, ALONE], ids=["scan", "alone"])
def test_the_label_survives(programs, transform):
    for name, program in programs.items():
        assert labels(transform(program), 1.3) == [name]


def test_forward_mode_keeps_the_label():
    for name in ("detach", "straight_through"):
        tangent = lambda x, f=PROGRAMS[name]: jax.jvp(f, (x,), (1.0,))
        assert labels(tangent, 1.3) == [name]


def test_several_labels_and_none():
    both = lambda x: PROGRAMS["detach"](x) + PROGRAMS["clip_gradient"](x)
    assert labels(jax.grad(both), 1.0) == ["clip_gradient", "detach"]
    honest = lambda x: jax.lax.stop_gradient(x) + jnp.sum(smooth.sort(jnp.stack([x, 1.0]), 0.1))
    assert labels(jax.grad(honest), 1.0) == []
    hard = lambda x: smooth.gumbel_softmax(jax.random.key(0), x, 1.0, hard=True)[0]
    assert labels(jax.grad(hard), jnp.zeros(3)) == ["straight_through"]


def test_a_rule_that_forgets_its_label_is_found_out():
    """A mutant: labelled in the function, but not in its forward rule."""

    @jax.custom_vjp
    def mutant(x):
        return biased("mutant", x)

    mutant.defvjp(lambda x: (x, None), lambda _, g: (g / 2,))
    assert labels(mutant, 1.0) == ["mutant"]
    assert labels(jax.grad(mutant), 1.0) == []


def test_detached():
    tree = {"a": jnp.array([1.0, 2.0]), "n": jnp.array(3)}
    assert jax.tree.all(jax.tree.map(jnp.array_equal, smooth.detach(tree), tree))
    assert jax.grad(lambda x: x * smooth.detach(x))(3.0) == 3.0


def test_clipped():
    tree = {"a": jnp.array([1.0, 2.0]), "b": jnp.array(2.0)}
    loss = lambda tree, limit, by: sum(jnp.sum(2 * leaf) for leaf in smooth.clip_gradient(tree, limit, by=by).values())
    slope = jax.jit(jax.grad(loss), static_argnums=2)
    length = lambda tree: np.sqrt(sum(np.sum(np.square(leaf)) for leaf in tree.values()))
    np.testing.assert_allclose(length(slope(tree, 1.5, "norm")), 1.5, rtol=1e-12)
    np.testing.assert_array_equal(slope(tree, 100.0, "norm")["a"], [2, 2])  # exact where it does not clip
    np.testing.assert_allclose(slope(tree, 1.5, "value")["a"], [1.5, 1.5])
    np.testing.assert_allclose(slope({**tree, "b": jnp.float32(1)}, 1.5, "value")["b"], np.float32(1.5))
    spoiled = jax.grad(lambda x: jnp.sum(smooth.clip_gradient(x, 1.0) * jnp.array([1.0, jnp.nan])))(jnp.ones(2))
    assert np.all(np.isnan(spoiled))
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda x: smooth.clip_gradient(x, 1.0), (1.0,), (1.0,))
    with pytest.raises(ValueError, match="`limit` must be positive"):
        smooth.clip_gradient(1.0, 0.0)
    with pytest.raises(ValueError, match="`by` must be one of 'norm', 'value'"):
        smooth.clip_gradient(1.0, 1.0, by="size")


def test_straight_through():
    f = lambda x: smooth.straight_through(jnp.floor(x), smooth.digitise(x, 0.5, codes=10)) ** 2
    x = 3.1
    value, slope = compiled(jax.value_and_grad(f))(x)
    soft_slope = compiled(jax.grad(lambda x: smooth.digitise(x, 0.5, codes=10)))(x)
    assert value == 9.0
    np.testing.assert_allclose(slope, 2 * 3.0 * soft_slope, rtol=1e-12)
    with pytest.raises(ValueError, match="`hard` must have the form of `soft`"):
        smooth.straight_through(jnp.zeros(2), jnp.zeros(3))
    with pytest.raises(ValueError, match="`hard` must have the form of `soft`"):
        smooth.straight_through(jnp.array(1), jnp.array(1.0))


def test_the_bias_of_straight_through_does_not_go_with_the_width():
    """Of E h³ = P(x > 0) the slope is the density; 3 h² times that of the soft step averages to 3/2 of it at every width."""

    def mean(m, w):
        hard = jnp.where(GRID + m > 0, 1.0, 0.0)
        return MASS @ smooth.straight_through(hard, smooth.step(GRID + m, w)) ** 3

    slope = jax.jit(jax.grad(mean))
    for w in (0.1, 0.01):
        np.testing.assert_allclose(slope(0.0, w), 1.5 * density(0.0), rtol=0.05)


def test_the_verdict_of_a_gradient_names_the_label():
    def estimated(pull):
        law = OverdampedLangevin(lambda x: 0.5 * jnp.sum(pull(k) * x**2), x0=jnp.ones(1), dt=0.1)
        law = eqx.tree_at(lambda law: law.kT, law, jnp.array(1.0))
        return pliant.gradient(law, Final(), BPTT(), horizon=20, replicas=512, key=jax.random.key(0))

    k = 1.0
    assert not any("biased by intention" in reason for reason in estimated(lambda k: k).verdict.reasons)
    clipped = estimated(lambda k: k + 0 * smooth.clip_gradient(jnp.asarray(k), 0.1)).verdict
    assert not clipped.trusted
    assert any("`clip_gradient` stands in the program" in reason for reason in clipped.reasons)
