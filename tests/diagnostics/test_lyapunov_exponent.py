"""Lyapunov exponents against linear maps, Lorenz's flow and the double well; moments against a spectrum in closed form."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import eigh

from pliant import Evolve
from pliant.diagnostics import lyapunov_exponent, moment_lyapunov_exponent
from pliant.dynamics import OverdampedLangevin
from pliant.potentials import DoubleWell, Harmonic
from pliant.systems import Lorenz63

KEY = jax.random.key(3)


class Linear(Evolve):
    """x' = M x."""

    matrix: jax.Array
    noise = ()

    def init(self, key):
        return jnp.ones(len(self.matrix))

    def step(self, state, noise, t):
        return self.matrix @ state


def test_linear_map_is_exact():
    """A map with eigenvalues 1.3, -0.9 and 0.2 in a skew basis; the first orthonormalisations forget the start."""
    basis = np.random.default_rng(0).normal(size=(3, 3))
    matrix = basis @ np.diag([1.3, -0.9, 0.2]) @ np.linalg.inv(basis)
    found, error = lyapunov_exponent(Linear(jnp.asarray(matrix)), horizon=400, burn_in=200, every=4, key=KEY)
    np.testing.assert_allclose(found, np.log(np.abs([1.3, -0.9, 0.2])), rtol=1e-9)
    assert np.all(error < 1e-9)


def lorenz(**options: Any) -> Any:
    return lyapunov_exponent(Lorenz63().law(), horizon=12_000, burn_in=2000, key=KEY, **options)


def test_lorenz():
    """Against 0.9056, 0, -14.5721 (Viswanath 1998; Sprott 2003); their sum is the divergence of the field."""
    found, error = lorenz(replicas=32)
    assert np.all(error[[0, 2]] < 0.01)
    # Along the flow the growth is a bounded difference over the length of the trajectory, and its spread tells nothing.
    assert abs(found[1]) < 5e-3
    assert np.all(np.abs(found - [0.9056, 0.0, -14.5721])[[0, 2]] < 4 * error[[0, 2]] + 2e-4)
    np.testing.assert_allclose(found.sum(), -(10 + 1 + 8 / 3), atol=2e-4)


def test_batches_of_one_trajectory_are_cautious():
    """The error from batches is not below what replicas show, and a few times it at most."""
    _, many = lorenz(replicas=32, exponents=1)
    _, one = lorenz(replicas=8, exponents=1)
    assert 0.5 < one[0] * np.sqrt(8) / (many[0] * np.sqrt(32)) < 5


def test_double_well_at_fixed_noise():
    r"""Overdamped on a line: $\langle \log |1 - h U''| \rangle / h$, near $-\langle U'' \rangle = -5.99$ at beta = 1."""
    dt = 0.002
    law = OverdampedLangevin(DoubleWell(), x0=jnp.ones(1), dt=dt)
    found, error = lyapunov_exponent(law, horizon=10_000, burn_in=1000, replicas=256, key=KEY)

    # The scheme samples the shadow potential up to O(dt^2).
    def weight(x):
        state = law.init(KEY)
        return np.exp(float(law.log_density(type(state)(jnp.array([x])))))

    x = np.linspace(-3, 3, 1201)
    density = np.array([weight(value) for value in x])
    rate = np.log(np.abs(1 - dt * (12 * x**2 - 4))) / dt
    exact = density @ rate / density.sum()
    assert abs(exact + 5.99) < 0.1 and error[0] < 0.1
    assert abs(found[0] - exact) < 4 * error[0]


def test_moments_of_a_spring_are_exact():
    """On a harmonic potential every tangent decays as exp(-k t): Lambda(p) = -p k."""
    law = OverdampedLangevin(Harmonic(jnp.array(0.7)), x0=jnp.zeros(1), dt=0.01)
    value, _ = moment_lyapunov_exponent(law, 2.0, method="grid", box=(-8.0, 8.0))
    np.testing.assert_allclose(value, -1.4, atol=1e-6)
    value, error = moment_lyapunov_exponent(law, 2.0, horizon=100, replicas=8, key=KEY)
    np.testing.assert_allclose(value, 2 * np.log(1 - 0.007) / 0.01, rtol=1e-9)
    assert error < 1e-9


def well() -> OverdampedLangevin:
    return OverdampedLangevin(DoubleWell(), x0=jnp.ones(1), dt=0.01)


def spectrum(p: float, size: int = 60) -> tuple[np.ndarray, np.ndarray]:
    r"""The same operator by another route: $-\partial^2 + V$ with $V = U'^2/4 - U''/2 + p U''$, in Hermite functions.

    Returns the growth rates, and the contribution of each at time zero to $\mathbb E |\partial X_t / \partial X_0|^p$
    from $X_0 = 1$.
    """
    scale = 0.5
    points, weights = np.polynomial.hermite.hermgauss(2 * size)
    basis, x = hermite(points, size), scale * points
    slope, curvature = 4 * x * (x**2 - 1), 12 * x**2 - 4
    potential = slope**2 / 4 - curvature / 2 + p * curvature
    matrix = (basis * weights * potential) @ basis.T
    n = np.arange(size - 2)
    off = np.sqrt((n + 1) * (n + 2))
    kinetic = np.diag(np.arange(size) + 0.5) - 0.5 * (np.diag(off, 2) + np.diag(off, -2))
    values, vectors = eigh(matrix + kinetic / scale**2)
    ground = np.exp(points**2 / 2 - (x**2 - 1) ** 2 / 2)
    here = hermite(np.array([1 / scale]), size)[:, 0] * np.exp(-0.5 / scale**2)
    return -values, (here @ vectors) * (vectors.T @ (basis * weights) @ ground)


def hermite(x: np.ndarray, size: int) -> np.ndarray:
    """Orthonormal Hermite polynomials, shape (size, points)."""
    rows = [np.pi**-0.25 * np.ones_like(x), np.pi**-0.25 * np.sqrt(2) * x]
    for n in range(1, size - 1):
        rows.append(np.sqrt(2 / (n + 1)) * x * rows[n] - np.sqrt(n / (n + 1)) * rows[n - 1])
    return np.array(rows)


@pytest.mark.parametrize(("p", "expected"), [(1.0, -0.749), (2.0, 1.523)])
def test_moments_of_the_double_well(p, expected):
    """The mean of a pathwise gradient decays at the spectral gap, its second moment grows."""
    value, error = moment_lyapunov_exponent(well(), p, method="grid", points=4001)
    np.testing.assert_allclose(value, spectrum(p)[0][0], atol=2e-5)
    np.testing.assert_allclose(value, expected, atol=5e-4)
    assert error < 1e-4


def test_the_typical_exponent_is_the_slope_at_zero():
    h = 1e-3
    above, below = (moment_lyapunov_exponent(well(), s * h, method="grid", points=2001)[0] for s in (1, -1))
    z = quad(lambda x: np.exp(-((x**2 - 1) ** 2)), -4, 4)[0]
    curvature = quad(lambda x: (12 * x**2 - 4) * np.exp(-((x**2 - 1) ** 2)), -4, 4)[0] / z
    np.testing.assert_allclose((above - below) / (2 * h), -curvature, rtol=1e-3)
    np.testing.assert_allclose(curvature, 5.993, atol=1e-3)


def test_monte_carlo_against_the_spectrum_at_finite_time():
    """The growth between times 1 and 2 from X_0 = 1, where faster modes have not quite gone."""
    value, error = moment_lyapunov_exponent(well(), 1.0, horizon=200, replicas=100_000, key=KEY)
    rates, shares = spectrum(1.0)
    exact = np.log((shares @ np.exp(2 * rates)) / (shares @ np.exp(rates)))
    np.testing.assert_allclose(shares.sum(), 1.0, atol=1e-6)
    assert error < 0.1 and abs(value - exact) < 4 * error


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: moment_lyapunov_exponent(well(), method="guess"), "method"),
        (lambda: moment_lyapunov_exponent(Lorenz63().law(), method="grid"), "3 dimensions"),
        (lambda: moment_lyapunov_exponent(Linear(jnp.eye(1)), method="grid"), "HasDrift"),
        (lambda: lyapunov_exponent(well(), horizon=10, burn_in=10, key=KEY), "burn_in"),
        (lambda: lyapunov_exponent(well(), horizon=10, exponents=2, key=KEY), "exponents"),
    ],
)
def test_bad_arguments_are_named(call, match):
    with pytest.raises(ValueError, match=match):
        call()
