"""Switching functions and potentials of finite range."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smooth_checks import check_order, compiled

from pliant import smooth

RC, W = 2.5, 0.5
FORMS = {"quintic": 2, "charmm": 1}


def lennard_jones(r):
    return 4 * (r**-12 - r**-6)


def derivatives(f, count):
    """f and its derivatives, elementwise."""
    found = [f]
    for _ in range(count):
        found.append(jax.grad(found[-1]))
    return [compiled(jax.vmap(g)) for g in found]


@pytest.mark.parametrize("form", FORMS)
def test_a_switch_has_its_continuous_derivatives_and_no_more(form):
    parts = derivatives(lambda r: smooth.switch(r, W, radius=RC, form=form), 3)
    eps = 1e-9
    for edge, value in ((RC - W, 1.0), (RC, 0.0)):
        sides = np.array([edge - eps, edge + eps])
        np.testing.assert_allclose(parts[0](sides), value, atol=1e-12)
        for order in range(1, 4):
            left, right = parts[order](sides)
            assert (abs(left - right) < 1e-5) == (order <= FORMS[form])
    r = np.linspace(0, 4, 101)
    values = parts[0](r)
    assert np.all(values[r >= RC] == 0) and np.all(values[r <= RC - W] == 1) and np.all(np.diff(values) <= 0)


def test_charmm_is_the_formula_in_squares():
    r, a, b = np.linspace(2.0, 2.5, 9), 2.0, 2.5
    formula = (b**2 - r**2) ** 2 * (b**2 + 2 * r**2 - 3 * a**2) / (b**2 - a**2) ** 3
    switched = compiled(lambda r: smooth.switch(r, b - a, radius=b, form="charmm"))
    np.testing.assert_allclose(switched(r), formula, atol=1e-13)


@pytest.mark.parametrize("form", ["quintic", "charmm", "shifted_force", "shifted"])
def test_a_cut_off_potential(form):
    width = W if form in FORMS else None
    cut = smooth.cutoff(lennard_jones, width, radius=RC, form=form)
    value, slope = derivatives(cut, 1)
    sides = np.array([RC - 1e-9, RC, RC + 1e-9, 7.0])
    np.testing.assert_allclose(value(sides), 0, atol=1e-9)
    assert np.all(value(sides)[1:] == 0) and np.all(slope(sides)[1:] == 0)
    assert (abs(slope(sides)[0]) < 1e-7) == (form != "shifted")
    if form in FORMS:
        few = np.array([1.1, 1.9, 1.95, 2.0])
        np.testing.assert_allclose(value(few), lennard_jones(few), rtol=1e-14)
    else:
        force_shift = jax.grad(lennard_jones)(RC) if form == "shifted_force" else 0
        np.testing.assert_allclose(slope(np.full(4, 1.1)), jax.grad(lennard_jones)(1.1) - force_shift, rtol=1e-12)


def test_sharp_truncation_is_found_out():
    """A mutant: without the shift the energy jumps by what the facts of Lennard-Jones say."""
    mutant = lambda r: jnp.where(r < RC, lennard_jones(r), 0)
    assert abs(abs(mutant(RC - 1e-9)) - 0.01631689) < 1e-7


def test_towards_sharp_truncation_at_order_one():
    r = np.linspace(1.5, RC, 40_001)
    mean = lambda w: jnp.trapezoid(smooth.cutoff(lennard_jones, w, radius=RC)(r), r)
    check_order(mean, np.trapezoid(lennard_jones(r), r), 1, (0.02, 0.01))


def test_parameters_inside_and_infinities_beyond():
    energy = jax.jit(lambda eps, rc, w: smooth.cutoff(lambda r: eps * lennard_jones(r), w, radius=rc)(2.3))
    slopes = compiled(jax.grad(energy, argnums=(0, 1, 2)))(1.5, RC, W)
    h = 1e-6
    for i in range(3):
        step = np.zeros(3)
        step[i] = h
        at = np.array([1.5, RC, W])
        np.testing.assert_allclose(slopes[i], (energy(*(at + step)) - energy(*(at - step))) / (2 * h), rtol=1e-6)
    forced = lambda eps: smooth.cutoff(lambda r: eps * lennard_jones(r), radius=RC, form="shifted_force")(1.2)
    value, slope = compiled(jax.value_and_grad(forced))(1.0)
    np.testing.assert_allclose(slope, value, rtol=1e-12)  # linear
    root = lambda r: jnp.sqrt(3.0 - r)  # no number beyond 3
    assert compiled(jax.grad(smooth.cutoff(root, 0.5, radius=2.0)))(5.0) == 0


def test_types_and_static_mistakes():
    assert smooth.switch(jnp.float32(2.2), W, radius=RC).dtype == jnp.float32
    assert smooth.cutoff(lennard_jones, radius=RC, form="shifted")(jnp.float32(1.2)).dtype == jnp.float32
    many = jax.vmap(lambda w: smooth.switch(2.3, w, radius=RC))(jnp.array([0.1, 0.5]))
    np.testing.assert_allclose(many, [1, smooth.switch(2.3, 0.5, radius=RC)])
    with pytest.raises(ValueError, match="`width` must not exceed `radius`"):
        smooth.switch(1.0, 3.0, radius=2.0)
    with pytest.raises(ValueError, match="`form` must be one of"):
        smooth.switch(1.0, 1.0, radius=2.0, form="sharp")
    with pytest.raises(ValueError, match="must be given for a switch alone"):
        smooth.cutoff(lennard_jones, radius=2.0)
    with pytest.raises(ValueError, match="must be given for a switch alone"):
        smooth.cutoff(lennard_jones, 0.1, radius=2.0, form="shifted")
