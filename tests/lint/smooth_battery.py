"""Honest programs, as written in physics, chemistry, statistics and engineering: nothing is to be found in them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from battery import Case, collect, vec
from jax.experimental.ode import odeint

CASES: list[Case] = []
smooth = collect(CASES)
RNG = np.random.default_rng(20)
KEY = 3

# Linear algebra


@smooth(vec(1.0, 2.0, 0.5, 1.5, 3.0), vec(1.0, 0.0, -0.4))
def resistor_network(conductance, current):
    """Node voltages of a chain of resistors with both ends grounded."""
    left, right = conductance[:3], conductance[1:4]
    matrix = jnp.diag(left + right) + conductance[4] * jnp.ones((3, 3)) / 9
    matrix = matrix - jnp.diag(right[:2], 1) - jnp.diag(right[:2], -1)
    return jnp.linalg.solve(matrix, current)


@smooth(vec(0.7, 2.1), jnp.linspace(0.1, 3.0, 12), jnp.asarray(RNG.normal(size=12)), rtol=1e-5)
def variable_projection(rates, t, y):
    """Amplitudes of two exponentials by least squares; the residual as a function of the rates."""
    design = jnp.exp(-t[:, None] * rates[None, :])
    amplitude = jnp.linalg.lstsq(design, y)[0]
    return jnp.sum((y - design @ amplitude) ** 2)


@smooth(vec(1.2, 0.4, 0.9), jnp.asarray(RNG.normal(size=(9, 2))))
def gaussian_log_likelihood(theta, data):
    factor = jnp.array([[theta[0], 0.0], [theta[1], theta[2]]])
    covariance = factor @ factor.T + 0.1 * jnp.eye(2)
    chol = jnp.linalg.cholesky(covariance)
    white = jax.scipy.linalg.solve_triangular(chol, data.T, lower=True)
    return -0.5 * jnp.sum(white**2) - data.shape[0] * jnp.sum(jnp.log(jnp.diag(chol)))


@smooth(vec(0.3, 0.8, 0.5))
def markov_chain_expm(rates):
    """Occupation of three states after time 1.7 under a rate matrix."""
    a, b, c = rates
    generator = jnp.array([[-a, a, 0.0], [b, -b - c, c], [0.0, 0.2, -0.2]])
    return jnp.array([1.0, 0.0, 0.0]) @ jax.scipy.linalg.expm(1.7 * generator)


@smooth(vec(1.0, 0.3, 2.5, 0.2, 4.5))
def matrix_logarithm(theta):
    """Of a positive matrix with well separated levels."""
    a, b, c, d, e = theta
    matrix = jnp.array([[a, b, 0.1], [b, c, d], [0.1, d, e]])
    levels, vectors = jnp.linalg.eigh(matrix)
    return jnp.sum((vectors * jnp.log(levels)) @ vectors.T * jnp.array([[1.0, 2.0, 3.0]]))


@smooth(vec(0.4, -1.1, 0.8))
def flow_volume(theta):
    """Log-volume change of a planar map by slogdet of its Jacobian."""
    layer = lambda x: x + jnp.tanh(jnp.outer(theta, jnp.array([0.2, 0.5, -0.3])) @ x + theta)
    return jnp.linalg.slogdet(jax.jacfwd(layer)(jnp.array([0.3, 0.1, -0.7])))[1]


@smooth(vec(2.0, 0.3, 1.5), jnp.asarray(RNG.normal(size=(6, 3))))
def d_optimal_design(weights, rows):
    return jnp.log(jnp.linalg.det(rows.T @ (jnp.tile(weights, 2)[:, None] * rows) + jnp.eye(3)))


@smooth(vec(1.0, 1.4, 0.8, 1.1))
def hueckel_chain_gap(hopping):
    """The gap of a chain of five sites: well separated levels."""
    levels = jnp.linalg.eigvalsh(jnp.diag(hopping, 1) + jnp.diag(hopping, -1) + jnp.diag(0.1 * jnp.arange(5.0)))
    return levels[2] - levels[1]


@smooth(vec(0.5, 2.0, 1.0))
def ground_state_dipole(field):
    """<x> in the lowest state of a particle on a grid, by eigenvectors with separated levels."""
    x = jnp.linspace(-2.0, 2.0, 9)
    kinetic = 4.0 * (2 * jnp.eye(9) - jnp.eye(9, k=1) - jnp.eye(9, k=-1))
    potential = field[0] * x + field[1] * x**2 + field[2] * x**4
    state = jnp.linalg.eigh(kinetic + jnp.diag(potential))[1][:, 0]
    return jnp.sum(x * state**2)


@smooth(vec(1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
def benzene_free_energy(hopping):
    """A ring of equal bonds: degenerate levels, but only a symmetric function of them."""
    ring = jnp.diag(hopping[:5], 1)
    ring = ring.at[0, 5].set(hopping[5])
    levels = jnp.linalg.eigvalsh(-(ring + ring.T))
    return -jnp.sum(jnp.log1p(jnp.exp(-2.0 * levels)))


@smooth(vec(3.0, 0.5, 1.2))
def nuclear_norm(theta):
    matrix = jnp.outer(theta, jnp.array([1.0, 0.5])) + jnp.array([[0.0, 1.0], [2.0, 0.0], [0.5, 0.5]])
    return jnp.sum(jnp.linalg.svd(matrix, compute_uv=False))


@smooth(vec(0.7, 1.9))
def whitened_residual(noise):
    q, r = jnp.linalg.qr(jnp.array([[1.0, 0.2], [0.3, 1.0], [0.5, 0.5]]) * noise)
    return jnp.sum(q[0]) + jnp.log(jnp.abs(jnp.diag(r))).sum()


@smooth(vec(1.0, 0.5, 3.0))
def power_iteration(theta):
    """Rayleigh quotient after forty normalised multiplications."""
    matrix = jnp.array([[2.0, 1.0, 0.0], [1.0, 1.0, 0.5], [0.0, 0.5, 0.3]]) + jnp.diag(theta)
    step = lambda _, v: (matrix @ v) / jnp.linalg.norm(matrix @ v)
    v = jax.lax.fori_loop(0, 40, step, jnp.ones(3) / jnp.sqrt(3.0))
    return v @ matrix @ v


@smooth(vec(2.0, 0.7), jnp.asarray(RNG.normal(size=10)))
def poisson_equation_by_conjugate_gradients(theta, charge):
    """A matrix-free iterative solve with an implicit derivative."""
    operator = lambda u: theta[0] * u + theta[1] * (2 * u - jnp.roll(u, 1) - jnp.roll(u, -1))
    u = jax.scipy.sparse.linalg.cg(operator, charge, tol=1e-13)[0]
    return jnp.vdot(u, charge)


@smooth(vec(0.4, 0.9, 1.3))
def tensor_network_norm(theta):
    """A periodic matrix-product state contracted by einsum."""
    site = jnp.stack([jnp.array([[theta[0], 0.3], [0.1, theta[1]]]), jnp.array([[0.2, theta[2]], [0.5, -0.4]])])
    transfer = jnp.einsum("sab,scd->acbd", site, site).reshape(4, 4)
    return jnp.log(jnp.trace(transfer @ transfer @ transfer @ transfer @ transfer))


# Differential equations and time stepping


@smooth(vec(1.1, 0.4, 0.1, 0.4), jnp.linspace(0.0, 3.0, 4), mode="reverse", rtol=1e-5)
def lotka_volterra_odeint(theta, times):
    rhs = lambda y, t: jnp.array([theta[0] * y[0] - theta[1] * y[0] * y[1], theta[2] * y[0] * y[1] - theta[3] * y[1]])
    return odeint(rhs, jnp.array([10.0, 5.0]), times, rtol=1e-11, atol=1e-11)[-1]


@smooth(vec(9.81, 1.2, 0.15))
def damped_pendulum_rk4(theta):
    gravity, length, damping = theta
    rhs = lambda y: jnp.array([y[1], -gravity / length * jnp.sin(y[0]) - damping * y[1]])

    def step(y, _):
        k1 = rhs(y)
        k2 = rhs(y + 0.01 * k1)
        k3 = rhs(y + 0.01 * k2)
        k4 = rhs(y + 0.02 * k3)
        return y + 0.02 / 6 * (k1 + 2 * k2 + 2 * k3 + k4), y[0]

    return jax.lax.scan(step, jnp.array([0.5, 0.0]), None, length=60)[1][::20]


@smooth(vec(1.0, 0.1, 0.2, 1.1))
def kepler_leapfrog(state):
    """Energy and angular momentum after fifty leapfrog steps."""
    force = lambda q: -q / jnp.sum(q**2) ** 1.5

    def step(qp, _):
        q, p = qp
        p = p + 0.01 * force(q)
        q = q + 0.02 * p
        return (q, p + 0.01 * force(q)), None

    (q, p), _ = jax.lax.scan(step, (state[:2], state[2:]), None, length=50)
    return jnp.array([0.5 * p @ p - 1 / jnp.linalg.norm(q), q[0] * p[1] - q[1] * p[0]])


@smooth(vec(0.8, 1.5), jnp.linspace(0.0, 1.0, 21))
def heat_equation(theta, x):
    """Explicit steps with a temperature-dependent conductivity."""
    u = theta[1] * jnp.exp(-40 * (x - 0.5) ** 2)

    def step(u, _):
        flux = theta[0] * (1 + 0.1 * (u[1:] + u[:-1])) * (u[1:] - u[:-1])
        return u.at[1:-1].add(0.2 * (flux[1:] - flux[:-1])), None

    return jax.lax.scan(step, u, None, length=40)[0][10]


@smooth(vec(0.9, 1.1, 1.3), jnp.linspace(0.0, 2 * jnp.pi, 16, endpoint=False))
def wave_equation_with_checkpoints(speed, x):
    velocity = speed[0] + 0.1 * speed[1] * jnp.cos(x) + 0.05 * speed[2] * jnp.sin(2 * x)

    @jax.checkpoint
    def step(pair, _):
        now, old = pair
        laplace = jnp.roll(now, 1) - 2 * now + jnp.roll(now, -1)
        return (2 * now - old + 0.1 * velocity**2 * laplace, now), None

    return jax.lax.scan(step, (jnp.sin(x), jnp.sin(x)), None, length=30)[0][0][:3]


@smooth(vec(0.35, 0.12), jnp.array([1.0, 3.0, 8.0, 21.0, 45.0]))
def epidemic_likelihood(theta, counts):
    """Susceptible-infected-recovered, Euler days, Poisson log-likelihood."""

    def day(state, _):
        s, i = state
        new = theta[0] * s * i / 1000.0
        return (s - new, i + new - theta[1] * i), new

    mean = jax.lax.scan(day, (995.0, 5.0), None, length=25)[1].reshape(5, 5).sum(1)
    return jnp.sum(counts * jnp.log(mean) - mean - jax.scipy.special.gammaln(counts + 1))


@smooth(vec(0.3, -0.5, 0.8, 0.2, 0.6, -0.9))
def neural_ode(weights):
    w = weights.reshape(2, 3)
    rhs = lambda y: jnp.tanh(w[:, :2] @ y + w[:, 2])
    step = lambda y, _: (y + 0.1 * rhs(y + 0.05 * rhs(y)), None)
    return jax.lax.scan(step, jnp.array([1.0, -0.5]), None, length=20)[0]


@smooth(vec(0.05, 1.0), jnp.linspace(0.0, 2 * jnp.pi, 32, endpoint=False), rtol=1e-5)
def burgers_spectral(theta, x):
    """Viscous Burgers flow in Fourier space, Euler steps."""
    k = jnp.fft.rfftfreq(32, 1 / 32.0)

    def step(u, _):
        nonlinear = jnp.fft.rfft(0.5 * u**2) * 1j * k
        return jnp.fft.irfft((jnp.fft.rfft(u) - 0.01 * nonlinear) / (1 + 0.01 * theta[0] * k**2), n=32), None

    return jax.lax.scan(step, theta[1] * jnp.sin(x), None, length=25)[0][4]


@smooth(vec(1.0, 2.0, 0.3))
def normal_modes(springs):
    """Square-root eigenvalues of a Hessian from nested derivatives."""

    def energy(x):
        stretch = jnp.diff(jnp.concatenate([jnp.zeros(1), x]))
        return 0.5 * jnp.sum(springs * stretch**2) + 0.05 * jnp.sum(stretch**4)

    return jnp.sqrt(jnp.linalg.eigvalsh(jax.hessian(energy)(jnp.array([0.1, 0.3, 0.2]))))


# Molecules and solids


@smooth(jnp.asarray([[0.02, 0.1, 0.05], [1.15, 0.07, 0.1], [0.5, 1.05, -0.1], [0.55, 0.4, 1.0], [2.0, 0.9, 0.6]]))
def switched_cluster(x):
    """Lennard-Jones with a quintic switch from 1.8 to 2.3: some pairs are inside it."""
    i, j = np.triu_indices(5, 1)
    r2 = jnp.sum((x[i] - x[j]) ** 2, -1)
    r = jnp.sqrt(r2)
    s = jnp.clip((2.3 - r) / 0.5, 0.0, 1.0)
    switch = s**3 * (10 - 15 * s + 6 * s**2)
    return jnp.sum(4 * (r2**-6 - r2**-3) * switch)


@smooth(vec(0.1, 0.2, 0.3, 1.5, 1.4, 1.6, 2.4, 0.6, 1.1))
def ewald_sum(flat):
    """Real-space and reciprocal parts of three charges in a box of side 3."""
    x, q = flat.reshape(3, 3), jnp.array([1.0, -2.0, 1.0])
    i, j = np.triu_indices(3, 1)
    shifts = 3.0 * jnp.asarray(np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), -1).reshape(-1, 3))
    r = jnp.linalg.norm((x[i] - x[j])[:, None] + shifts, axis=-1)
    real = jnp.sum((q[i] * q[j])[:, None] * jax.scipy.special.erfc(1.1 * r) / r)
    k = 2 * jnp.pi / 3.0 * jnp.asarray([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1], [1, 1, 1]])
    k2 = jnp.sum(k**2, -1)
    structure = jnp.abs(jnp.exp(1j * (k @ x.T)) @ q) ** 2
    return real + 4 * jnp.pi / 27.0 * jnp.sum(jnp.exp(-k2 / 4.84) / k2 * structure)


@smooth(vec(0.5, 0.6, 0.4, 3.4, 0.7, 0.9, 0.8, 3.3, 0.8))
def periodic_fluid(flat):
    """Minimum image by rounding: no pair is near half the box, so the integer parts stay."""
    x = flat.reshape(3, 3)
    i, j = np.triu_indices(3, 1)
    d = x[i] - x[j]
    d = d - 4.0 * jnp.round(d / 4.0)
    return jnp.sum(jnp.exp(-jnp.sum(d**2, -1)))


@smooth(vec(0.95, 1.9, 2.2), jnp.asarray([0, 1, 1, 0, 2]), jnp.asarray(RNG.normal(size=(5, 3))))
def typed_atoms(radii, species, x):
    """Parameters gathered and summed by the integer type of each atom."""
    r = radii[species]
    pair = (r[:, None] + r[None, :]) ** 2 / (0.5 + jnp.sum((x[:, None] - x[None, :]) ** 2, -1))
    per_type = jax.ops.segment_sum(jnp.sum(pair, 1), species, num_segments=3)
    return jnp.log(per_type)


@smooth(vec(0.7, 1.1, 2.3), vec(0.05, -0.08, 0.1))
def bond_angle_energy(x, offset):
    """Harmonic angle and torsion-like terms, far from collinear."""
    u, v = x, jnp.array([1.0, -0.4, 0.2]) + offset
    cosine = u @ v / (jnp.linalg.norm(u) * jnp.linalg.norm(v))
    angle = jnp.arccos(cosine)
    return (angle - 1.2) ** 2 + jnp.cos(3 * jnp.arctan2(u[1], u[0]))


@smooth(vec(3.9, 0.02), jnp.asarray([[1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 0, 0]]))
def powder_intensities(theta, miller):
    """Bragg intensities of a two-atom cell with a thermal factor."""
    spacing = theta[0] / jnp.sqrt(jnp.sum(miller**2, -1))
    basis = jnp.asarray([[0.0, 0.0, 0.0], [0.48, 0.5, 0.52]])
    amplitude = jnp.sum(jnp.array([1.0, 0.6]) * jnp.exp(2j * jnp.pi * (miller @ basis.T)), -1)
    return jnp.abs(amplitude) ** 2 * jnp.exp(-theta[1] / spacing**2)


@smooth(vec(1.1, 0.6, 0.3))
def self_consistent_field(theta):
    """Twelve damped density iterations on a three-site model."""
    hopping = -theta[0] * jnp.array([[0.0, 1.0, 0.2], [1.0, 0.0, 1.0], [0.2, 1.0, 0.0]])

    def iterate(_, density):
        vectors = jnp.linalg.eigh(hopping + jnp.diag(theta[1] * density + theta[2] * jnp.arange(3.0)))[1]
        return 0.5 * density + jnp.abs(vectors[:, 0]) ** 2

    return jax.lax.fori_loop(0, 12, iterate, jnp.full(3, 2 / 3.0))


@smooth(vec(1.5, 0.8), jnp.linspace(-1.2, 1.25, 8), rtol=1e-3)
def soft_wall(theta, x):
    """A wall written with `where` that meets the floor with slope zero: jump and slope jump are nil."""
    return jnp.sum(jnp.where(x > theta[1], theta[0] * (x - theta[1]) ** 2, 0.0)) + theta[0] * theta[1]


# Special functions


@smooth(vec(2.5, 4.0), jnp.array([0.0, 3.0, 1.0, 7.0, 4.0]))
def negative_binomial(theta, k):
    r, mean = theta
    gammaln = jax.scipy.special.gammaln
    logs = gammaln(k + r) - gammaln(r) - gammaln(k + 1) + r * jnp.log(r / (r + mean)) + k * jnp.log(mean / (r + mean))
    return jnp.sum(logs) + jax.scipy.special.digamma(r)


@smooth(vec(1.4, 0.6))
def student_t_tail(theta):
    """Tail probability by the incomplete beta function."""
    t = theta[0] / theta[1]
    return 0.5 * jax.scipy.special.betainc(2.5, 0.5, 5.0 / (5.0 + t**2))


@smooth(vec(2.3, 3.1))
def chi_square_power(theta):
    return jnp.array([jax.scipy.special.gammainc(theta[0], theta[1]), jax.scipy.special.gammaincc(1.5, theta[1] / 2)])


@smooth(vec(1.8, 0.6), jnp.array([0.1, 0.9, 0.4, -0.6]))
def von_mises(theta, angle):
    i0e = jax.scipy.special.i0e(theta[0])
    mean_resultant = jax.scipy.special.i1e(theta[0]) / i0e
    return jnp.sum(theta[0] * (jnp.cos(angle - theta[1]) - 1) - jnp.log(2 * jnp.pi * i0e)) + mean_resultant


@smooth(vec(0.4, 0.3, 1.6), jnp.linspace(-1.0, 3.0, 9))
def chromatographic_peak(theta, t):
    """A Gaussian convolved with an exponential."""
    mu, sigma, rate = theta
    arg = (mu + rate * sigma**2 - t) / (jnp.sqrt(2.0) * sigma)
    return rate / 2 * jnp.exp(rate / 2 * (2 * mu + rate * sigma**2 - 2 * t)) * jax.scipy.special.erfc(arg)


@smooth(vec(0.8, -1.7), jnp.linspace(-2.0, 2.0, 8), jnp.array([0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]))
def probit_regression(beta, x, y):
    z = beta[0] * x + beta[1]
    return jnp.sum(jax.scipy.stats.norm.logcdf(jnp.where(y == 1, z, -z)))


@smooth(vec(0.3, 0.6, 1.2))
def mixture_entropy(logits):
    p = jax.nn.softmax(logits)
    return jnp.sum(jax.scipy.special.entr(p)) - jnp.sum(jax.scipy.special.xlogy(p, jnp.array([0.2, 0.3, 0.5])))


@smooth(vec(3.2, 0.4))
def zeta_and_polygamma(theta):
    return jax.scipy.special.zeta(2.0, theta[0]) + jax.scipy.special.polygamma(1, theta[0]) * jax.scipy.special.logit(
        theta[1]
    )


@smooth(vec(0.3, 0.8))
def guarded_cross_entropy(p):
    """Clipped far from its bounds, as everyone does."""
    q = jnp.clip(p, 1e-7, 1 - 1e-7) * jnp.array([1.0, 0.9])
    return -jnp.sum(jnp.log(jnp.maximum(q, 1e-12))) - jnp.log1p(-q[0])


@smooth(vec(100.0, 0.25, 0.03), 105.0, 0.75)
def black_scholes(market, strike, maturity):
    spot, sigma, rate = market
    spread = sigma * jnp.sqrt(maturity)
    d1 = (jnp.log(spot / strike) + (rate + sigma**2 / 2) * maturity) / spread
    cdf = jax.scipy.stats.norm.cdf
    return spot * cdf(d1) - strike * jnp.exp(-rate * maturity) * cdf(d1 - spread)


@smooth(vec(2.0, 0.04, 0.3, -0.6))
def heston_characteristic(theta):
    """Complex arithmetic with a real outcome: a price by quadrature of a characteristic function."""
    kappa, level, vol, rho = theta
    u = jnp.linspace(0.25, 12.0, 24)
    b = kappa - 1j * rho * vol * u
    d = jnp.sqrt(b**2 + vol**2 * (u**2 + 1j * u))
    g = (b - d) / (b + d)
    decay = jnp.exp(-d)
    c = kappa * level / vol**2 * ((b - d) - 2 * jnp.log((1 - g * decay) / (1 - g)))
    phi = jnp.exp(c + 0.04 * (b - d) / vol**2 * (1 - decay) / (1 - g * decay))
    return jnp.sum(jnp.real(phi * jnp.exp(-0.1j * u) / (1j * u)))


@smooth(vec(0.9, 12.0, 1.0))
def pendulum_period_vmapped(theta):
    """The arithmetic-geometric mean for three amplitudes."""

    def period(amplitude):
        mean = lambda _, ab: ((ab[0] + ab[1]) / 2, jnp.sqrt(ab[0] * ab[1]))
        return 2 * jnp.pi * theta[2] / jax.lax.fori_loop(0, 6, mean, (1.0, jnp.cos(amplitude / 2)))[0]

    return jax.vmap(period)(theta[0] * jnp.array([0.3, 1.0, 1.9])) / jnp.sqrt(theta[1])


# Networks

IMAGE = jnp.asarray(RNG.normal(size=(1, 1, 8)))
TOKENS = jnp.asarray(RNG.normal(size=(4, 3)))


@smooth(jnp.asarray(RNG.normal(size=33)), jnp.asarray(RNG.normal(size=(6, 2))))
def multilayer_perceptron(flat, x):
    w1, b1, w2, b2 = flat[:16].reshape(2, 8), flat[16:24], flat[24:32], flat[32]
    return jnp.mean((jnp.tanh(x @ w1 + b1) @ w2 + b2 - jnp.sin(x[:, 0])) ** 2)


@smooth(jnp.asarray(RNG.normal(size=27)), TOKENS)
def attention(flat, x):
    query, key, value = (x @ w for w in flat.reshape(3, 3, 3))
    causal = jnp.tril(jnp.ones((4, 4), bool))
    score = jnp.where(causal, query @ key.T / jnp.sqrt(3.0), -jnp.inf)
    return jnp.sum(jax.nn.softmax(score, axis=-1) @ value, 0)


@smooth(jnp.asarray(RNG.normal(size=9)), TOKENS)
def layernorm_gelu_block(flat, x):
    h = jax.nn.gelu(x @ flat.reshape(3, 3))
    h = (h - h.mean(-1, keepdims=True)) * jax.lax.rsqrt(h.var(-1, keepdims=True) + 1e-5)
    return jnp.sum((x + h) ** 3)


@smooth(jnp.asarray(RNG.normal(size=(3, 4))), TOKENS, jnp.array([0, 3, 1, 2]))
def cross_entropy(weights, x, labels):
    logits = jax.nn.log_softmax(x @ weights)
    return -jnp.mean(jnp.take_along_axis(logits, labels[:, None], axis=1))


@smooth(jnp.asarray(RNG.normal(size=8)))
def convolution_swish_softplus(flat):
    kernel, head = flat[:3].reshape(1, 1, 3), flat[3:7]
    h = jax.nn.swish(jax.lax.conv_general_dilated(IMAGE, kernel, (2,), "SAME"))
    return jax.nn.softplus(jnp.vdot(h[0, 0], head) + flat[7])


@smooth(jnp.asarray(0.7 * RNG.normal(size=12)), jnp.asarray(RNG.normal(size=(10, 1))))
def gated_recurrence(flat, series):
    w = flat.reshape(3, 2, 2)

    def cell(h, x):
        gate = jax.nn.sigmoid(w[0] @ h + x)
        return (1 - gate) * h + gate * jnp.tanh(w[1] @ h + w[2] @ jnp.concatenate([x, x**2])), None

    return jax.lax.scan(cell, jnp.zeros(2), series)[0]


@smooth(vec(0.5, -0.3, 0.9), jnp.linspace(-1.0, 1.0, 5))
def unrolled_gradient_descent(start, x):
    """The loss after fifteen steps of an inner optimiser, as a function of its start."""
    loss = lambda w: jnp.mean((w[0] * jnp.tanh(w[1] * x) + w[2] - x**2) ** 2)
    step = lambda w, _: (w - 0.3 * jax.grad(loss)(w), None)
    return loss(jax.lax.scan(step, start, None, length=15)[0])


@smooth(vec(0.6, 1.7))
def deep_equilibrium_layer(theta):
    """A fixed point by `custom_root` with its implicit derivative."""
    residual = lambda z: z - jnp.tanh(theta[0] * z + theta[1] * jnp.array([0.2, -0.4]))
    solve = lambda f, z: jax.lax.fori_loop(0, 60, lambda _, z: z - f(z), z)
    tangent = lambda g, y: jnp.linalg.solve(jax.jacfwd(g)(jnp.zeros(2)), y)
    return jax.lax.custom_root(residual, jnp.zeros(2), solve, tangent)


@smooth(vec(3.0, 0.8))
def custom_linear_solve_by_jacobi(theta):
    matrix = jnp.array([[1.0, 0.2], [0.1, 1.0]]) * theta[0] + theta[1] * jnp.eye(2)
    matvec = lambda v: matrix @ v
    jacobi = lambda mv, b: jax.lax.fori_loop(0, 50, lambda _, u: u + (b - mv(u)) / jnp.diag(matrix), b)
    transposed = lambda vm, b: jax.lax.fori_loop(0, 50, lambda _, u: u + (b - vm(u)) / jnp.diag(matrix), b)
    return jax.lax.custom_linear_solve(matvec, jnp.array([1.0, 2.0]), jacobi, transposed)


# Signals, filters, statistics


@smooth(vec(1.2, 0.25), jnp.asarray(RNG.normal(size=32)))
def fft_convolution(theta, signal):
    t = jnp.arange(32.0)
    kernel = theta[0] * jnp.exp(-theta[1] * t)
    return jnp.fft.irfft(jnp.fft.rfft(signal, 64) * jnp.fft.rfft(kernel, 64), 64)[5:8]


@smooth(vec(0.2, 1.3, 0.4), jnp.arange(24.0))
def power_spectrum(theta, t):
    frequency, amplitude, phase = theta
    window = 0.5 - 0.5 * jnp.cos(2 * jnp.pi * t / 24)
    spectrum = jnp.fft.fft(window * amplitude * jnp.sin(2 * jnp.pi * frequency * t + phase))
    return jnp.abs(spectrum[3:7]) ** 2


@smooth(vec(50.0, 0.1, 1e-5))
def filter_impedance(parts):
    """The magnitude and phase of a series circuit at 200 Hz."""
    omega = 2 * jnp.pi * 200.0
    z = parts[0] + 1j * omega * parts[1] + 1 / (1j * omega * parts[2])
    return jnp.array([jnp.abs(z), jnp.angle(z)])


@smooth(vec(1.0, 0.7, 0.1), jnp.linspace(0.0, 2.0, 8), jnp.asarray(RNG.normal(size=8)))
def gaussian_process(theta, x, y):
    amplitude, length, noise = theta
    kernel = amplitude**2 * jnp.exp(-0.5 * ((x[:, None] - x[None]) / length) ** 2) + noise**2 * jnp.eye(8)
    chol = jax.scipy.linalg.cho_factor(kernel, lower=True)
    alpha = jax.scipy.linalg.cho_solve(chol, y)
    return -0.5 * y @ alpha - jnp.sum(jnp.log(jnp.diag(chol[0])))


@smooth(vec(0.9, 0.3, 0.5), jnp.asarray(RNG.normal(size=15)))
def kalman_filter(theta, data):
    decay, process, noise = theta

    def step(state, y):
        mean, var = decay * state[0], decay**2 * state[1] + process**2
        total = var + noise**2
        gain = var / total
        log = -0.5 * (jnp.log(2 * jnp.pi * total) + (y - mean) ** 2 / total)
        return (mean + gain * (y - mean), (1 - gain) * var), log

    return jnp.sum(jax.lax.scan(step, (0.0, 1.0), data)[1])


@smooth(vec(0.2, -0.4, 1.1, 0.5), jnp.array([0, 1, 1, 0, 1, 0, 0, 1]))
def hidden_markov_forward(theta, symbols):
    transition = jax.nn.log_softmax(theta.reshape(2, 2), axis=1)
    emission = jax.nn.log_softmax(jnp.array([[0.9, 0.1], [0.3, 0.8]]) * theta[0], axis=1)
    step = lambda a, s: (jax.nn.logsumexp(a[:, None] + transition, axis=0) + emission[:, s], None)
    return jax.nn.logsumexp(jax.lax.scan(step, emission[:, symbols[0]] - jnp.log(2.0), symbols[1:])[0])


@smooth(vec(1.3, 0.7), jnp.asarray(RNG.normal(size=(11,))))
def scaled_by_data_quantiles(theta, data):
    """Data are sorted, masked and counted; the parameters are not."""
    ordered = jnp.sort(data)
    spread = ordered[8] - ordered[2]
    inlier = jnp.abs(data - jnp.median(data)) < 1.5 * spread
    z = (data - theta[0]) / (theta[1] * spread)
    return jnp.sum(jnp.where(inlier, jnp.log1p(z**2), 0.0)) / jnp.sum(inlier)


@smooth(vec(0.8, 1.6), jnp.array([1.0, 2.0, 3.0, 4.0]), jnp.array([True, False, True, True]))
def censored_survival(theta, time, seen):
    """Weibull with censoring flags from the data."""
    log_hazard = jnp.log(theta[1] / theta[0]) + (theta[1] - 1) * jnp.log(time / theta[0])
    return jnp.sum(jnp.where(seen, log_hazard, 0.0) - (time / theta[0]) ** theta[1])


@smooth(vec(2.0, -1.0, 0.5))
def hand_written_logsumexp(x):
    """The greatest is subtracted and cancels."""
    top = jax.lax.stop_gradient(jnp.max(x))
    return top + jnp.log(jnp.sum(jnp.exp(x - top)))


@smooth(vec(2.0, 1.9, 0.5))
def logsumexp_with_live_maximum(x):
    """The maximum may change hands: the result does not notice."""
    top = jnp.max(x)
    return top + jnp.log(jnp.sum(jnp.exp(x - top)))


@smooth(vec(6.0, 0.4))
def wrapped_phase(theta):
    """A remainder inside a sine: the jump by a period is invisible, even within reach."""
    return jnp.sin(jnp.mod(theta[0] + theta[1], 2 * jnp.pi)) * theta[1]


@jax.custom_jvp
def log_one_plus_exp(x):
    return jnp.log(1 + jnp.exp(x))


@log_one_plus_exp.defjvp
def _(primals, tangents):
    return log_one_plus_exp(*primals), tangents[0] / (1 + jnp.exp(-primals[0]))


@smooth(vec(0.4, -1.2))
def right_custom_jvp(x):
    return jnp.sum(log_one_plus_exp(3 * x) * x)


@jax.custom_vjp
def half_square(x):
    return 0.5 * jnp.vdot(x, x)


half_square.defvjp(lambda x: (half_square(x), x), lambda x, g: (g * x,))


@smooth(vec(0.4, -1.2), mode="reverse")
def right_custom_vjp(x):
    return half_square(jnp.sin(x)) + x[0] ** 3


@smooth(vec(1.7, 2.4), jnp.array([0.0, 1.0, 2.0, 3.0, 4.0]), jnp.array([1.0, 2.0, 0.5, 3.0, 1.0]))
def table_inside_a_cell(theta, knots, values):
    """Linear interpolation: no knot can be reached."""
    return theta[1] * jnp.interp(theta[0], knots, values)


@smooth(vec(1.0, 2.0, -0.5, 0.7), jnp.array([0.3, 1.4, 2.2]))
def cubic_bspline(coefficient, x):
    """A uniform spline evaluated at data."""
    basis = lambda u: jnp.array([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3]) / 6
    cell = jnp.floor(x).astype(int)
    weights = jax.vmap(basis)(x - cell)
    return jnp.sum(weights * coefficient[(cell[:, None] + jnp.arange(4)) % 4], -1)


@smooth(vec(0.0, 0.5, 2.0))
def sinc_with_double_where(x):
    """At zero: value one and slope zero, by either branch."""
    safe = jnp.where(x == 0, 1.0, x)
    return jnp.sum(jnp.where(x == 0, 1.0, jnp.sin(safe) / safe) * jnp.arange(1.0, 4.0))


@smooth(vec(4.0, -2.0))
def safe_square_root(x):
    """The forbidden branch is fed a harmless number."""
    inside = jnp.where(x > 0, x, 1.0)
    return jnp.sum(jnp.where(x > 0, jnp.sqrt(inside), jnp.exp(x)))


@smooth(vec(1.5, 0.5), jnp.asarray(True))
def branch_on_a_flag(theta, periodic):
    return jax.lax.cond(periodic, lambda p: jnp.sin(p[0]) * p[1], lambda p: p[0] / p[1], theta)


@smooth(vec(0.9, 1.4), 7)
def while_on_a_count(theta, steps):
    """The number of iterations comes from the data."""
    body = lambda c: (c[0] + 1, theta[0] * jnp.sin(c[1]) + theta[1])
    return jax.lax.while_loop(lambda c: c[0] < steps, body, (0, 0.1))[1]


# Draws with fixed keys


@smooth(vec(1.3, 0.6), KEY)
def reparametrised_normal(theta, seed):
    z = jax.random.normal(jax.random.key(seed), (50,))
    return jnp.mean(jnp.tanh(theta[0] + theta[1] * z))


@smooth(vec(0.4, -0.3, 0.8, 1.2), KEY)
def variational_bound(flat, seed):
    """An evidence bound with a Gaussian encoder and analytical divergence."""
    x = jnp.array([0.5, -1.0, 2.0])
    mean, log_scale = flat[0] * x + flat[1], 0.1 * flat[2] * x
    z = mean + jnp.exp(log_scale) * jax.random.normal(jax.random.key(seed), (3,))
    divergence = 0.5 * jnp.sum(mean**2 + jnp.exp(2 * log_scale) - 1 - 2 * log_scale)
    return -jnp.sum((x - flat[3] * jnp.tanh(z)) ** 2) - divergence


@smooth(vec(1.0, 0.3, 0.8), KEY)
def correlated_normals(theta, seed):
    covariance = jnp.array([[theta[0], theta[1]], [theta[1], theta[2]]])
    draws = jax.random.multivariate_normal(jax.random.key(seed), theta[:2], covariance, (20,), method="cholesky")
    return jnp.mean(jnp.exp(-0.5 * jnp.sum(draws**2, -1)))


@smooth(vec(0.5, 2.0), KEY)
def exponential_and_uniform_draws(theta, seed):
    """Waiting times with a rate, positions between two bounds."""
    first, second = jax.random.split(jax.random.key(seed))
    waits = jax.random.exponential(first, (30,)) / theta[1]
    places = jax.random.uniform(second, (30,), jnp.float64, minval=theta[0], maxval=theta[1])
    return jnp.mean(jnp.exp(-waits) * places**2)


@smooth(vec(100.0, 0.2), KEY)
def variance_swap_paths(market, seed):
    """A path-dependent claim without a kink."""
    noise = jax.random.normal(jax.random.key(seed), (20, 12))
    steps = (0.01 - market[1] ** 2 / 2) / 12 + market[1] * jnp.sqrt(1 / 12.0) * noise
    path = market[0] * jnp.exp(jnp.cumsum(steps, 1))
    return jnp.array([jnp.mean(jnp.sum(steps**2, 1)), jnp.mean(jax.nn.softplus(path.mean(1) / 10 - 10.0))])


@smooth(vec(0.7, 1.2), KEY)
def langevin_in_a_scan(theta, seed):
    def step(x, key):
        force = -theta[0] * x - x**3
        return x + 0.05 * force + jnp.sqrt(0.1 * theta[1]) * jax.random.normal(key), x

    keys = jax.random.split(jax.random.key(seed), 40)
    return jnp.mean(jax.lax.scan(step, 0.5, keys)[1] ** 2)


@functools.cache
def frozen_gammas(seed, child, shape, number):
    """The quantiles of gamma draws; the draws at other shapes follow from them."""
    key = jax.random.key(seed) if child is None else jax.random.split(jax.random.key(seed))[child]
    shape = np.asarray(shape)
    quantile = scipy.special.gammainc(shape, jax.random.gamma(key, shape, number))
    return lambda other: scipy.special.gammaincinv(other, quantile)


def frozen_gamma(p, seed):
    return np.mean(np.log1p(p[1] * frozen_gammas(seed, None, 2.5, (40,))(p[0])))


@smooth(vec(2.5, 0.8), KEY, smooth=frozen_gamma, rtol=1e-4)
def gamma_draws(theta, seed):
    """Implicitly reparametrised: the rejection inside is the sampler's business."""
    return jnp.mean(jnp.log1p(theta[1] * jax.random.gamma(jax.random.key(seed), theta[0], (40,))))


def frozen_beta(p, seed):
    a, b = frozen_gammas(seed, 0, 1.5, (30,))(p[0]), frozen_gammas(seed, 1, 2.5, (30,))(p[1])
    return np.mean((a / (a + b)) ** 2)


@smooth(vec(1.5, 2.5), KEY, smooth=frozen_beta, rtol=1e-4)
def beta_draws(theta, seed):
    return jnp.mean(jax.random.beta(jax.random.key(seed), theta[0], theta[1], (30,)) ** 2)


def frozen_dirichlet(p, seed):
    gamma = frozen_gammas(seed, None, (1.2, 2.0, 3.5), (25, 3))(p)
    return np.mean(np.sum((gamma / gamma.sum(-1, keepdims=True)) ** 2, -1))


@smooth(vec(1.2, 2.0, 3.5), KEY, smooth=frozen_dirichlet, rtol=1e-4)
def dirichlet_draws(alpha, seed):
    return jnp.mean(jnp.sum(jax.random.dirichlet(jax.random.key(seed), alpha, (25,)) ** 2, -1))
