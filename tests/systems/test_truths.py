"""The exact answers themselves, by routes that share nothing with them."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import flat, name

import pliant.dynamics
import pliant.systems
from pliant.dynamics import ABOBA, BAOAB, OBABO, Langevin, OverdampedLangevin, VelocityVerlet
from pliant.observables import Final, PathFunctional
from pliant.potentials import Harmonic
from pliant.systems import (
    AlanineDipeptide,
    DoubleWellSystem,
    HarmonicOscillator,
    MullerBrownSystem,
    OrnsteinUhlenbeck,
    _affine,
    muller_brown,
)
from pliant.systems._system import squared_distance

CASES = [
    (OrnsteinUhlenbeck, OverdampedLangevin, ("k",)),
    (HarmonicOscillator, OBABO, ("k",)),
    (HarmonicOscillator, VelocityVerlet, ("k",)),
    (DoubleWellSystem, OverdampedLangevin, ("a", "b")),
    (DoubleWellSystem, VelocityVerlet, ("a", "b")),
    (DoubleWellSystem, BAOAB, ("a", "b")),
]


@pytest.mark.parametrize(("system", "dynamics", "parameters"), CASES, ids=name)
def test_gradient_is_the_derivative_of_the_value(system, dynamics, parameters):
    """Central differences of the exact value."""
    h, truth = 1e-5, truth_of(system(), dynamics)
    for parameter in parameters:
        at = getattr(system(), parameter)
        above, below = (truth_of(dataclasses.replace(system(), **{parameter: at + s * h}), dynamics) for s in (1, -1))
        slope = (above.value - below.value) / (2 * h)
        np.testing.assert_allclose(getattr(truth.gradient, parameter), slope, rtol=1e-7, atol=1e-10)


def truth_of(system, dynamics):
    law = system.law(dynamics, 0.05)
    truth = system.truth(law, system.observable(burn_in=3), 20)
    assert np.all(flat((truth.value_error, truth.gradient_error)) < 1e-9)
    return truth


@pytest.mark.parametrize("observable", [Final(squared_distance), OrnsteinUhlenbeck().observable(burn_in=7)], ids=name)
def test_closed_form_agrees_with_the_recursion(observable):
    closed, iterated = OrnsteinUhlenbeck(k=1.3, kT=0.7, x0=2.0), HarmonicOscillator(k=1.3, kT=0.7, x0=2.0)
    law = closed.law(dt=0.2)
    a, b = closed.truth(law, observable, 30), iterated.truth(law, observable, 30)
    np.testing.assert_allclose(flat((a.value, a.gradient)), flat((b.value, b.gradient)), rtol=1e-12)


def test_stationary_limit_of_the_closed_form():
    system, h = OrnsteinUhlenbeck(k=1.3, kT=0.7), 0.2
    truth = system.truth(system.law(dt=h), Final(squared_distance), 2000)
    width = 1.3 * (1 - 1.3 * h / 2)
    np.testing.assert_allclose([truth.value, truth.gradient.k], [0.7 / width, -0.7 * (1 - 1.3 * h) / width**2])


QUARTER = 0.5**2 / 4


@pytest.mark.parametrize(
    ("letters", "moments"),
    [
        ("BAOAB", (1, 1 - QUARTER)),
        ("ABOBA", (1, 1 / (1 - QUARTER))),
        ("OBABO", (1 / (1 - QUARTER), 1)),
        ("OABAO", (1 - QUARTER, 1)),
    ],
)
def test_stationary_moments_of_splittings(letters, moments):
    """Known in closed form for k = m = kT = 1, whatever the friction."""
    found = _affine.splitting(letters, k=1.0, dt=0.5, kT=1.0, mass=1.0, friction=0.9).stationary()
    np.testing.assert_allclose(np.diag(found), moments, rtol=1e-12)


def test_leimkuhler_matthews_is_exact():
    found = _affine.leimkuhler_matthews(k=1.3, dt=0.6, kT=0.7, mass=1.0, friction=1.0).stationary()
    np.testing.assert_allclose(found[0, 0], 0.7 / 1.3, rtol=1e-12)


@pytest.mark.parametrize("dynamics", [OverdampedLangevin, BAOAB, OBABO, ABOBA, VelocityVerlet], ids=name)
def test_recursion_takes_the_steps_of_the_dynamics(dynamics):
    """The affine map of a state, with its noise, is what `step` does to it."""
    system = HarmonicOscillator(k=1.3, kT=0.7, mass=1.4, friction=0.6, x0=0.3, v0=-0.4)
    law = system.law(dynamics, 0.2)
    recursion = _affine.of_law(law)
    noise = () if dynamics is VelocityVerlet else jnp.linspace(-0.5, 0.8, law.noise.size).reshape(law.noise.shape)
    after = law.step(law.init(jax.random.key(0)), noise, 0)
    columns = np.ravel(noise) if len(np.ravel(noise)) else np.zeros(1)
    expected = recursion.matrix @ recursion.mean + recursion.noise @ columns
    found = np.concatenate([np.ravel(after.position), *([np.ravel(after.velocity)] if len(expected) > 1 else [])])
    np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_splitting_by_any_word_is_known():
    law = Langevin(Harmonic(), x0=jnp.ones(1), dt=0.3, splitting="BAOA")
    assert HarmonicOscillator().truth(law, HarmonicOscillator().observable(), 4).of == "discretised"


def test_mueller_brown_against_a_coarser_grid():
    """Trapezoids have converged: a grid of another spacing gives the same ten digits."""
    surface = MullerBrownSystem().law().potential
    fine = muller_brown._quadrature(surface, 1.0, points=801)
    coarse = muller_brown._quadrature(surface, 1.0, points=347)
    np.testing.assert_allclose(np.append(*fine), np.append(*coarse), rtol=1e-8)


def test_mueller_brown_gradient_is_the_derivative_of_the_value():
    surface = MullerBrownSystem().law().potential
    _, gradient = muller_brown._quadrature(surface, 1.0)
    for index in range(4):
        moved = [
            muller_brown._quadrature(eqx.tree_at(lambda s: s.A, surface, surface.A.at[index].add(s * 1e-2)), 1.0)[0]
            for s in (1, -1)
        ]
        np.testing.assert_allclose(gradient[index], (moved[0] - moved[1]) / 2e-2, rtol=1e-5)


@pytest.mark.parametrize("system", pliant.systems.components().values(), ids=name)
def test_truth_has_the_structure_of_wrt(system):
    instance = system()
    for dynamics, defaults in instance.defaults.items():
        law = instance.law(getattr(pliant.dynamics, dynamics), defaults["dt"])
        truth = instance.truth(law, instance.observable(defaults["burn_in"]), defaults["burn_in"] + 1)
        if truth is not None:
            selected = jax.tree.map(lambda leaf, obs=truth.value.shape: obs + jnp.shape(leaf), instance.wrt(law))
            assert jax.tree.map(jnp.shape, truth.gradient) == selected
            assert jax.tree.map(jnp.shape, truth.gradient_error) == selected


def test_scales_of_the_force_field():
    """Derivatives at scale one: the torsion energy, and twice the Coulomb energy, left when charges are taken away."""
    potential = AlanineDipeptide().law().potential
    molecule, position = potential.molecule, potential.molecule.reference_position * 1.02
    energy = jax.jit(lambda scales: eqx.tree_at(lambda p: p.scales, potential, scales)(position))
    slope = jax.jit(jax.grad(energy))(potential.scales)
    neutral = energy(eqx.tree_at(lambda scales: scales.charge, potential.scales, jnp.zeros(())))
    np.testing.assert_allclose(slope.torsion, jax.jit(lambda x: molecule.energies(x))(position)["torsions"], rtol=1e-12)
    np.testing.assert_allclose(slope.charge, 2 * (energy(potential.scales) - neutral), rtol=1e-12)
    force = -jax.jit(jax.grad(lambda x: potential(x)))(position)
    np.testing.assert_allclose(jax.jit(lambda x: potential.force(x))(position), force, rtol=1e-9, atol=1e-7)


def test_no_truth_for_what_is_not_solved():
    system = HarmonicOscillator()
    law = system.law(BAOAB, 0.1)
    assert system.truth(law, PathFunctional(), 10) is None
    assert system.truth(law, Final(lambda state: jnp.sum(state.position)), 10) is None
    assert AlanineDipeptide().defaults["BAOAB"]["burn_in"] < AlanineDipeptide().defaults["BAOAB"]["horizon"]
    with pytest.raises(ValueError, match="HarmonicOscillator"):
        OrnsteinUhlenbeck().law(BAOAB)


def test_the_continuum_under_a_time_step_is_that_of_the_boltzmann_density():
    system, observable = DoubleWellSystem(), DoubleWellSystem().observable(10)
    law = system.law(OverdampedLangevin, 0.05)
    assert system.truth(law, observable, 100).of == "discretised"
    assert system.continuum(law, observable, 100).value == system.truth(system.law(BAOAB, 0.05), observable, 100).value
    assert system.continuum(law, PathFunctional(), 100) is None
    assert OrnsteinUhlenbeck().continuum(OrnsteinUhlenbeck().law(dt=0.1), OrnsteinUhlenbeck().observable(1), 9) is None
