"""Twenty-five larger honest programs, as they are written at work, for a third score on first contact."""

from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
import optimistix as optx
from battery import Case, collect, vec

CASES: list[Case] = []
smooth = collect(CASES)
RNG = np.random.default_rng(26)
KEY = jax.random.key(15)


class VanDerWaals(eqx.Module):
    attraction: jax.Array
    covolume: jax.Array

    def pressure(self, density, temperature):
        return density * temperature / (1 - self.covolume * density) - self.attraction * density**2


@smooth(vec(0.5, 0.3, 1.2, 0.8))
def gas_density_by_implicit_bisection(theta):
    """Bisection reads signs alone, but the solver differentiates its root by the implicit function theorem."""
    gas = VanDerWaals(theta[0], theta[1])
    solver = optx.Bisection(rtol=1e-13, atol=1e-13)

    def excess(density, arguments):
        fluid, temperature, pressure = arguments
        return fluid.pressure(density, temperature) - pressure

    bracket = {"lower": 0.0, "upper": 1.5}
    density = optx.root_find(excess, solver, 0.5, args=(gas, theta[2], theta[3]), options=bracket).value
    return density * (1 - gas.attraction * density / theta[2])


NODES = np.array([[0.0, 0.0], [0.0, 1.0], [1.2, 0.1], [1.1, 1.0]])
BARS = np.array([[0, 2], [1, 3], [0, 3], [1, 2], [2, 3]])


class Truss(eqx.Module):
    area: jax.Array
    nodes: jax.Array
    bars: jax.Array = eqx.field(converter=jnp.asarray)

    def stiffness(self):
        start, end = self.nodes[self.bars[:, 0]], self.nodes[self.bars[:, 1]]
        length = jnp.linalg.norm(end - start, axis=1)
        unit = (end - start) / length[:, None]
        place = jax.nn.one_hot(self.bars[:, 1], 4) - jax.nn.one_hot(self.bars[:, 0], 4)
        stretch = jnp.einsum("bn,bd->bnd", place, unit).reshape(len(self.bars), 8)
        return jnp.einsum("b,bi,bj->ij", self.area / length, stretch, stretch)[4:, 4:]


@smooth(vec(1.0, 0.8, 0.6, 0.7, 0.5))
def truss_under_two_loads(area):
    """Stiffness assembled by einsum, two loads solved by one Cholesky operator."""
    truss = Truss(area, jnp.asarray(NODES), BARS)
    operator = lx.MatrixLinearOperator(truss.stiffness(), lx.positive_semidefinite_tag)
    loads = jnp.array([[0.0, -1.0, 0.0, 0.0], [0.3, 0.0, 0.0, -1.0]])
    deflect = lambda load: lx.linear_solve(operator, load, lx.Cholesky()).value
    moved = jax.vmap(deflect)(loads)
    return jnp.sqrt(jnp.sum(moved**2, axis=1)) + jnp.einsum("ij,ij->i", loads, moved)


@smooth(vec(1.5, 0.9, 0.2), np.linspace(0.0, 4.0, 12), rtol=1e-5)
def decay_fit_by_levenberg_marquardt(theta, t):
    """A wrong model is fitted to simulated data: accepted and rejected steps, but an implicit derivative."""
    data = theta[2] + jnp.exp(-((t / theta[0] + 0.01) ** theta[1]))

    def residual(model, observed):
        return model["height"] * jnp.exp(-model["rate"] * t) + model["floor"] - observed

    first = {"height": jnp.array(0.9), "rate": jnp.array(0.8), "floor": jnp.array(0.1)}
    solver = optx.LevenbergMarquardt(rtol=1e-11, atol=1e-11)
    model = optx.least_squares(residual, solver, first, args=data).value
    return jnp.stack([model["height"] / model["rate"], model["floor"]])


START = np.array([[0.024, 1.0], [1.1, 0.9], [2.3, 1.1], [3.2, 1.0], [0.6, 2.1], [1.7, 2.0], [2.9, 2.2]])
PAIRS = np.array(list(combinations(range(7), 2)))
BOX, CUT = 4.0, 1.8


@jax.jit
def argon_energy(x, epsilon, sigma):
    gap = x[PAIRS[:, 0]] - x[PAIRS[:, 1]]
    gap = gap - BOX * jnp.round(gap / BOX)
    s = jnp.sum(gap**2, axis=1)
    ratio = (sigma**2 / s) ** 3
    switch = jnp.where(s < CUT**2, (1 - s / CUT**2) ** 4, 0.0)
    return jnp.sum(4 * epsilon * (ratio**2 - ratio) * switch)


@smooth(vec(1.1, 0.7, 1.0), rtol=1e-4)
def argon_wrapped_into_its_box(theta):
    """An atom leaves through one wall and enters through the other; the cut-off is switched below half the box."""
    force = lambda x: -jax.grad(argon_energy)(x, theta[0], theta[1])
    v = theta[2] * jnp.asarray(0.5 * np.sin(np.arange(14.0).reshape(7, 2) + 4.0))

    def verlet(state, _):
        x, v, f = state
        v = v + 0.01 * f
        x = jnp.mod(x + 0.02 * v, BOX)
        f = force(x)
        return (x, v + 0.01 * f, f), None

    x = jnp.asarray(START)
    x, v, _ = jax.lax.scan(verlet, (x, v, force(x)), None, length=10)[0]
    return jnp.stack([0.5 * jnp.sum(v**2), argon_energy(x, theta[0], theta[1])])


class Calorimeter(eqx.Module):
    critical: jax.Array
    birks: jax.Array
    layers: int = eqx.field(static=True)

    def deposits(self, energy):
        depth = 0.5 + jnp.arange(self.layers)
        shape = 1 + 0.5 * jnp.log(energy / self.critical)
        profile = jnp.exp((shape - 1) * jnp.log(0.5 * depth) - 0.5 * depth - jax.lax.lgamma(shape))
        return 0.5 * energy * profile

    def signal(self, energy):
        light = self.deposits(energy)
        return jnp.sum(light / (1 + self.birks * light))


@smooth(vec(0.4, 0.05), np.array([12.0, 30.0, 7.5, 0.0, 21.0, 0.0]))
def calorimeter_with_padded_events(theta, energy):
    """Padding is empty events: the data say which, and they are made harmless before the logarithm."""
    calorimeter = Calorimeter(theta[0], theta[1], 14)
    real = energy > 0
    signal = jax.vmap(calorimeter.signal)(jnp.where(real, energy, 1.0))
    ratio = jnp.where(real, signal / jnp.where(real, energy, 1.0), 0.0)
    mean = jnp.sum(ratio) / jnp.sum(real)
    return jnp.stack([mean, jnp.sqrt(jnp.sum(jnp.where(real, ratio - mean, 0.0) ** 2) / jnp.sum(real))])


class Track(NamedTuple):
    state: jax.Array
    covariance: jax.Array
    chi2: jax.Array


@smooth(vec(0.3, 0.05, 1.4), RNG.normal(size=(4, 8)), RNG.uniform(size=(4, 8)) > 0.25)
def track_fits_with_missing_hits(theta, hits, seen):
    """Kalman filters of several tracks at once; planes without a hit are passed by."""
    noise, scattering, spacing = theta
    move = jnp.array([[1.0, 0.0], [0.0, 1.0]]) + spacing * jnp.array([[0.0, 1.0], [0.0, 0.0]])
    kick = scattering**2 * jnp.array([[0.1, 0.2], [0.2, 1.0]])

    def plane(track, measured):
        hit, there = measured
        state, p = move @ track.state, move @ track.covariance @ move.T + kick
        spread = p[0, 0] + noise**2
        gain = jnp.where(there, p[:, 0] / spread, 0.0)
        residual = hit - state[0]
        p = p - jnp.outer(gain, p[0])
        chi2 = track.chi2 + jnp.where(there, residual**2 / spread + jnp.log(spread), 0.0)
        return Track(state + gain * residual, p, chi2), None

    def fit(hits, seen):
        start = Track(jnp.zeros(2), jnp.eye(2), jnp.array(0.0))
        return jax.lax.scan(plane, start, (hits, seen))[0]

    tracks = jax.vmap(fit)(jnp.asarray(hits), jnp.asarray(seen))
    return jnp.stack([jnp.mean(tracks.chi2), jnp.mean(tracks.state[:, 1] ** 2)])


KNOTS = np.linspace(0.0, 3.0, 7)


class NaturalSpline(eqx.Module):
    values: jax.Array
    bends: jax.Array

    def __init__(self, values):
        n, h = len(KNOTS), KNOTS[1] - KNOTS[0]
        matrix = np.eye(n) * 4 + np.eye(n, k=1) + np.eye(n, k=-1)
        matrix[0], matrix[-1] = np.eye(n)[0], np.eye(n)[-1]
        right = jnp.zeros(n).at[1:-1].set(6 * (values[2:] - 2 * values[1:-1] + values[:-2]) / h**2)
        self.values, self.bends = values, jnp.linalg.solve(matrix, right)

    def __call__(self, x):
        h = KNOTS[1] - KNOTS[0]
        i = jnp.clip(jnp.searchsorted(KNOTS, x) - 1, 0, len(KNOTS) - 2)
        b = (x - jnp.asarray(KNOTS)[i]) / h
        a = 1 - b
        curve = (a**3 - a) * self.bends[i] + (b**3 - b) * self.bends[i + 1]
        return a * self.values[i] + b * self.values[i + 1] + h**2 / 6 * curve


@smooth(vec(0.6, 0.9, 1.4, 1.1, 0.7, 0.8, 1.0), rtol=1e-4)
def cooling_along_a_spline(values):
    """Temperature falls through the knots of a cubic spline; where it crosses one, two derivatives go on."""
    rate = NaturalSpline(values)

    def step(temperature, _):
        first = -rate(temperature)
        second = -rate(temperature + 0.05 * first)
        return temperature + 0.1 * second, temperature

    _, path = jax.lax.scan(step, jnp.array(2.7), None, length=22)
    return jnp.mean(path**2)


class Surface(NamedTuple):
    curvature: jax.Array
    gap: jax.Array
    ratio: jax.Array


@smooth(vec(0.08, -0.06, 0.03, 1.5, 1.62))
def telephoto_spot_size(theta):
    """Rays refracted at four spheres, guarded against missing one or being reflected, which none of them is."""
    lens = Surface(
        jnp.stack([theta[0], theta[1], theta[1], theta[2]]),
        jnp.array([1.0, 0.6, 0.3, 0.4]),
        jnp.stack([1 / theta[3], theta[3], 1 / theta[4], theta[4]]),
    )

    def guarded_root(s):
        return jnp.where(s > 0, jnp.sqrt(jnp.where(s > 0, s, 1.0)), 0.0)

    def refract(ray, surface):
        p, d = ray
        p = p - jnp.array([1.0, 0.0]) * surface.gap
        b = d[0] - surface.curvature * (p @ d)
        h = surface.curvature * (p @ p) - 2 * p[0]
        p = p + d * h / (b + guarded_root(b**2 - surface.curvature * h))
        normal = jnp.array([1.0, 0.0]) - surface.curvature * p
        cosine = d @ normal
        bent = guarded_root(1 - surface.ratio**2 * (1 - cosine**2))
        return (p, surface.ratio * d + (bent - surface.ratio * cosine) * normal), None

    def trace(height):
        ray = (jnp.stack([0.0, height]), jnp.array([1.0, 0.0]))
        p, d = jax.lax.scan(refract, ray, lens)[0]
        return p[1] + d[1] / d[0] * (9.0 - p[0])

    spot = jax.vmap(trace)(jnp.linspace(0.2, 1.5, 7))
    return jnp.sqrt(jnp.mean(spot**2))


@smooth(vec(1.3, 0.35, 0.2), np.linspace(-1.0, 1.0, 64))
def overlap_of_chirps(theta, t):
    """The match of two signals under coloured noise, the unknown phase taken out by a modulus."""
    envelope = np.exp(-4 * t**2)
    signal = envelope * jnp.cos(12 * theta[0] * t + 9 * theta[1] * t**2)
    template = envelope * np.cos(15 * t + 3 * t**2)
    spectrum, reference = jnp.fft.rfft(signal), jnp.fft.rfft(template)
    frequency = jnp.arange(len(spectrum)) / len(spectrum)
    weight = 1 / (theta[2] + frequency**2)
    inner = lambda a, b: jnp.sum(weight * a * jnp.conj(b))
    norm = jnp.sqrt(jnp.real(inner(spectrum, spectrum)) * jnp.real(inner(reference, reference)))
    return jnp.abs(inner(spectrum, reference)) / norm


@partial(jax.jit, static_argnames="geometric")
def softened_call(path, strike, geometric=False):
    mean = jnp.exp(jnp.mean(jnp.log(path), axis=-1)) if geometric else jnp.mean(path, axis=-1)
    return 0.15 * jax.nn.softplus((mean - strike) / 0.15)


@smooth(vec(1.0, 0.3, 0.05), 15)
def asian_option_with_a_control(market, seed):
    """Antithetic paths from a fixed key, a control variate by regression, a payoff softened at its strike."""
    spot, volatility, rate = market
    half = jax.random.normal(jax.random.fold_in(jax.random.key(seed), 3), (16, 8))
    noise = jnp.concatenate([half, -half])

    def day(log_price, z):
        log_price = log_price + (rate - volatility**2 / 2) / 8 + volatility * z / jnp.sqrt(8.0)
        return log_price, log_price

    walk = lambda z: jnp.exp(jax.lax.scan(day, jnp.log(spot), z)[1])
    paths = jax.vmap(walk)(noise)
    payoff, control = softened_call(paths, 1.0), softened_call(paths, 1.0, geometric=True)
    slope = jnp.cov(payoff, control)[0, 1] / jnp.var(control, ddof=1)
    return jnp.exp(-rate) * (jnp.mean(payoff) - slope * (jnp.mean(control) - 0.07))


ATTENTION = eqx.nn.MultiheadAttention(2, 6, key=jax.random.fold_in(KEY, 0))
EMBEDDING = eqx.nn.Embedding(9, 6, key=jax.random.fold_in(KEY, 1))
NORM = eqx.nn.LayerNorm(6)


@smooth(vec(1.2, 0.9, 0.4), np.array([3, 1, 7, 7, 0, 0]))
def decoder_reads_a_padded_sentence(theta, tokens):
    """Words look up integers, masks hide the future and the padding: both are the data's own."""
    model = eqx.tree_at(lambda m: m.query_proj.weight, ATTENTION, replace_fn=lambda w: theta[0] * w)
    tokens = jnp.asarray(tokens)
    real = tokens != 0
    mask = jnp.tril(jnp.ones((6, 6), bool)) & real[None, :]
    x = theta[1] * jax.vmap(EMBEDDING)(tokens)
    for _ in range(2):
        y = jax.vmap(NORM)(x)
        x = x + model(y, y, y, mask=mask)
        x = x + theta[2] * jax.nn.gelu(jax.vmap(NORM)(x))
    logits = jax.vmap(NORM)(x[:-1]) @ EMBEDDING.weight.T
    loss = -jax.nn.log_softmax(logits)[jnp.arange(5), tokens[1:]]
    return jnp.sum(jnp.where(real[1:], loss, 0.0)) / jnp.sum(real[1:])


POTENTIAL = eqx.nn.MLP(3, "scalar", 8, 2, activation=jnp.tanh, key=jax.random.fold_in(KEY, 2))
DROPOUT = eqx.nn.Dropout(0.3)


@smooth(vec(0.0, 1.1, 0.2, 0.9, 1.3, 0.4), 15)
def force_of_a_learnt_potential(flat, seed):
    """The force is a gradient within; dropout masks are drawn at a fixed rate, the same for every call."""
    x = flat.reshape(3, 2)

    def energy(x, key):
        inner = x[:, None] - x[None, :]
        squares = jnp.sum(inner[np.triu_indices(3, 1)] ** 2, axis=1)
        features = DROPOUT(jnp.exp(-squares), key=key)
        return POTENTIAL(features) + 0.1 * jnp.sum(squares)

    keys = jax.random.split(jax.random.key(seed), 4)
    force = jax.vmap(jax.grad(energy), in_axes=(None, 0))(x, keys)
    return jnp.sum(jnp.mean(force, axis=0) ** 2) + jnp.mean(jnp.var(force, axis=0))


@smooth(vec(0.25, 0.6, 0.1))
def density_matrix_by_purification(theta):
    """Occupation becomes nought or one by a fixed number of cubic steps; a gap keeps the matrix smooth."""
    n = 8
    hop = 1 + theta[0] * (-1.0) ** jnp.arange(n - 1)
    site = theta[1] * (-1.0) ** jnp.arange(n) + theta[2] * jnp.linspace(-1, 1, n)
    hamiltonian = jnp.diag(site) - jnp.diag(hop, 1) - jnp.diag(hop, -1)

    def purify(_, p):
        square = p @ p
        return 3 * square - 2 * square @ p

    start = 0.5 * (jnp.eye(n) - hamiltonian / 3.5)
    p = jax.lax.fori_loop(0, 14, purify, start)
    bonds = jnp.diagonal(p, 1)
    return jnp.stack([jnp.einsum("ij,ji->", p, hamiltonian), jnp.sum(bonds**2), jnp.linspace(-1, 1, n) @ jnp.diag(p)])


@smooth(vec(0.8, 0.3, 0.05))
def pollution_in_an_upwind_river(theta):
    """The scheme asks for the sign of the current, which is positive all along and for all reach."""
    speed, bend, mixing = theta
    x = jnp.linspace(0, 2 * np.pi, 24, endpoint=False)
    current = speed * (1 + bend * jnp.sin(x))
    start = jnp.exp(-4 * (x - 2.0) ** 2)

    def step(c, _):
        back, ahead = c - jnp.roll(c, 1), jnp.roll(c, -1) - c
        carried = jnp.where(current > 0, current * back, current * ahead)
        spread = mixing * (jnp.roll(c, -1) - 2 * c + jnp.roll(c, 1))
        return c - 0.1 * carried / 0.26 + spread, None

    @jax.checkpoint
    def day(c, _):
        c, _ = jax.lax.scan(step, c, None, length=5)
        return c, c[12]

    c, dose = jax.lax.scan(day, start, None, length=4)
    return jnp.stack([jnp.mean(dose), jnp.sum(c**2)])


@jax.jit
def counterflow_duty(hot, cold, transfer):
    small, large = jnp.minimum(hot, cold), jnp.maximum(hot, cold)
    z = transfer * (1 / small - 1 / large)
    near = z < 1e-5
    safe = jnp.where(near, 1.0, z)
    phi = jnp.where(near, 1 - z / 2 + z**2 / 6, -jnp.expm1(-safe) / safe)
    return transfer * phi / (1 + transfer * phi / large)


@smooth(vec(1.0, 1.04, 1.6))
def heat_exchangers_in_series(theta):
    """Smaller and larger stream change places within reach: of a counterflow the duty is analytic in both."""
    hot, cold, transfer = theta

    def pass_on(temperatures, area):
        h, c = temperatures
        duty = counterflow_duty(hot, cold, area * transfer) * (h - c)
        return (h - duty / hot, c + duty / cold), duty

    (outlet, _), duties = jax.lax.scan(pass_on, (90.0, 20.0), jnp.array([0.3, 0.5, 0.8]))
    return jnp.append(duties, outlet) / 50


class Jets(NamedTuple):
    pt: jax.Array
    eta: jax.Array
    phi: jax.Array


def pair_mass(jets, i, j):
    angle = jnp.cosh(jets.eta[i] - jets.eta[j]) - jnp.cos(jets.phi[i] - jets.phi[j])
    return jnp.sqrt(2 * jets.pt[i] * jets.pt[j] * angle)


PAIRINGS = np.array([[0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 1, 2]])


@smooth(vec(1.0, 0.04, 80.0), RNG.uniform(30, 90, (6, 4)), RNG.normal(size=(6, 4)), RNG.uniform(-3, 3, (6, 4)))
def softly_paired_jets(theta, pt, eta, phi):
    """Every pairing is kept with its weight; the softmax subtracts its own maximum, whichever it is."""
    scale, slope, mass = theta

    def event(pt, eta, phi):
        jets = Jets(scale * pt * (1 + slope * eta**2), eta, phi)
        masses = jax.vmap(lambda p: jnp.stack([pair_mass(jets, p[0], p[1]), pair_mass(jets, p[2], p[3])]))(PAIRINGS)
        chi2 = jnp.sum(((masses - mass) / 40) ** 2, axis=1)
        top = jnp.max(-chi2)
        weight = jnp.exp(-chi2 - top)
        weight = weight / jnp.sum(weight)
        return weight @ jnp.mean(masses, axis=1), jax.nn.logsumexp(-chi2)

    mean, evidence = jax.vmap(event)(jnp.asarray(pt), jnp.asarray(eta), jnp.asarray(phi))
    return jnp.stack([jnp.mean(mean) / mass, jnp.mean(evidence)])


@smooth(vec(0.7, 0.2), RNG.poisson(5.0, 10).astype(float))
def emission_image_by_expectation_maximisation(theta, counts):
    """A dozen multiplicative updates of an image; counts are data, some of them may be nought."""
    width, background = theta
    place, pixel = jnp.linspace(0, 9, 10), jnp.linspace(0, 9, 7)
    system = jnp.exp(-0.5 * ((place[:, None] - pixel[None, :]) / width) ** 2) / width
    sensitivity = jnp.sum(system, axis=0)

    def update(_, image):
        expected = system @ image + background
        return image * (system.T @ (counts / expected)) / sensitivity

    image = jax.lax.fori_loop(0, 12, update, jnp.ones(7))
    share = image / jnp.sum(image)
    return jnp.stack([-jnp.sum(share * jnp.log(share + 1e-3)), jnp.sum(pixel * share)])


@smooth(vec(0.9, 0.3), 15)
def reweighted_markov_chain(theta, seed):
    """Moves are accepted or refused under a fixed reference; parameters enter by the weights of what was kept."""
    reference = lambda x: -0.5 * x**2 - 0.05 * x**4
    target = lambda x: -0.5 * theta[0] * x**2 - 0.1 * theta[1] * x**4

    def move(x, key):
        propose, decide = jax.random.split(key)
        new = x + 1.2 * jax.random.normal(propose)
        accept = jnp.log(jax.random.uniform(decide)) < reference(new) - reference(x)
        x = jnp.where(accept, new, x)
        return x, x

    _, chain = jax.lax.scan(move, jnp.array(0.3), jax.random.split(jax.random.key(seed), 40))
    log_weight = jax.vmap(lambda x: target(x) - reference(x))(chain)
    weight = jax.nn.softmax(log_weight)
    return jnp.stack([weight @ chain**2, jnp.log(1 / jnp.sum(weight**2))])


class Reactor(eqx.Module):
    slow: jax.Array
    fast: jax.Array
    back: jax.Array

    def __call__(self, y):
        a = self.slow * y[0]
        b = self.fast * y[1] ** 2
        c = self.back * y[1] * y[2]
        return jnp.stack([-a + c, a - b - c, b])


@smooth(vec(0.4, 60.0, 8.0))
def stiff_reactor_by_implicit_steps(theta):
    """Every backward step solved by eight Newton steps, each with a linear solve, within a scan."""
    reactor = Reactor(*theta)

    def step(y, h):
        residual = lambda new: new - y - h * reactor(new)

        def newton(_, new):
            operator = lx.MatrixLinearOperator(jax.jacfwd(residual)(new))
            return new - lx.linear_solve(operator, residual(new)).value

        new = jax.lax.fori_loop(0, 8, newton, y)
        return new, new

    _, path = jax.lax.scan(step, jnp.array([1.0, 0.0, 0.0]), jnp.geomspace(0.01, 1.0, 8))
    return jnp.append(path[-1], 20 * jnp.mean(path[:, 1]))


SHAPES = RNG.normal(size=(3, 4, 3)) + 2.0 * np.arange(4)[:, None] * np.array([1.0, 0.2, 0.0])
SIZES = np.array([4, 2, 3])


@smooth(vec(1.0, 1.4), SHAPES, SIZES)
def padded_molecules_and_their_forces(theta, positions, sizes):
    """Missing atoms sit on one place; the distance is made safe before its root, and hidden after it."""
    depth, width = theta

    def energy(x, real):
        both = real[:, None] & real[None, :] & ~jnp.eye(4, dtype=bool)
        square = jnp.sum((x[:, None] - x[None, :]) ** 2, axis=-1)
        distance = jnp.sqrt(jnp.where(both, square, 1.0))
        decay = jnp.exp(-(distance - 1.5) / width)
        return 0.5 * jnp.sum(jnp.where(both, depth * (decay**2 - 2 * decay), 0.0))

    def molecule(x, size):
        real = jnp.arange(4) < size
        x = jnp.where(real[:, None], x, 0.0)
        value, gradient = jax.value_and_grad(energy)(x, real)
        return value, jnp.sum(gradient**2)

    values, squares = jax.vmap(molecule)(jnp.asarray(positions), jnp.asarray(sizes))
    return jnp.stack([jnp.sum(values), jnp.log(jnp.sum(squares))])


@smooth(vec(0.6, 1.0, 0.9, 0.7))
def staff_of_an_open_network(theta):
    """Traffic equations, then Erlang's recurrence for two, three and four servers, told apart by integers."""
    arrival, service = theta[0], theta[1:]
    routing = jnp.array([[0.0, 0.5, 0.3], [0.1, 0.0, 0.4], [0.2, 0.0, 0.0]])
    flow = jnp.linalg.solve(jnp.eye(3) - routing.T, arrival * jnp.array([1.0, 0.2, 0.0]))

    def station(load, servers):
        def blocking(k, b):
            new = load * b / (k + 1.0 + load * b)
            return jnp.where(k < servers, new, b)

        b = jax.lax.fori_loop(0, 4, blocking, jnp.ones(()))
        wait = b / (1 - load / servers * (1 - b))
        return load + wait * load / (servers - load)

    people = jax.vmap(station)(flow / service, jnp.array([2, 3, 4]))
    return jnp.sum(people) / arrival


@smooth(vec(0.58, 0.15, 0.78, 2.5))
def neutrinos_at_their_detectors(theta):
    """Amplitudes through three layers of matter by eigenvectors, whose phases no probability sees."""
    s12, s13, s23 = jnp.sin(theta[:3])
    c12, c13, c23 = jnp.cos(theta[:3])
    one = jnp.array([[c12, s12, 0], [-s12, c12, 0], [0, 0, 1]])
    two = jnp.array([[c13, 0, s13], [0, 1, 0], [-s13, 0, c13]]) * jnp.exp(
        1j * jnp.array([[0, 0, -1], [0, 0, 0], [1, 0, 0]])
    )
    three = jnp.array([[1, 0, 0], [0, c23, s23], [0, -s23, c23]])
    mixing = three @ two @ one
    masses = jnp.stack([0.0, 0.075, theta[3]])

    def probability(energy):
        vacuum = jnp.einsum("ai,i,bi->ab", mixing, masses, jnp.conj(mixing)) / (2 * energy)

        def layer(amplitude, matter):
            density, length = matter
            level, vector = jnp.linalg.eigh(vacuum + density * jnp.diag(jnp.array([1.0, 0, 0])))
            carry = jnp.einsum("ai,i,bi->ab", vector, jnp.exp(-1j * level * length), jnp.conj(vector))
            return carry @ amplitude, None

        start = jnp.array([0, 1, 0], complex)
        amplitude, _ = jax.lax.scan(layer, start, jnp.array([[0.2, 1.0], [0.5, 1.5], [0.2, 1.0]]))
        return jnp.abs(amplitude) ** 2

    return jnp.sum(jax.lax.map(probability, jnp.array([0.8, 1.3, 2.1])), axis=0)


class Mixture(NamedTuple):
    weight: jax.Array
    mean: jax.Array
    spread: jax.Array


@smooth(vec(1.2, 0.4), np.concatenate([RNG.normal(-1.5, 0.6, 9), RNG.normal(1.2, 0.9, 12)]))
def mixture_by_expectation_maximisation(theta, data):
    """Soft memberships, ten rounds, with a prior on the spreads; data are stretched by a parameter."""
    x = jnp.sign(data) * jnp.abs(data) ** theta[0]

    def log_density(mixture):
        z = (x[:, None] - mixture.mean) / mixture.spread
        return jnp.log(mixture.weight) - 0.5 * z**2 - jnp.log(mixture.spread)

    def improve(mixture, _):
        member = jax.nn.softmax(log_density(mixture), axis=1)
        mass = jnp.sum(member, axis=0)
        mean = member.T @ x / mass
        variance = (jnp.sum(member * (x[:, None] - mean) ** 2, axis=0) + theta[1]) / (mass + 1)
        return Mixture(mass / len(x), mean, jnp.sqrt(variance)), None

    first = Mixture(jnp.array([0.5, 0.5]), jnp.array([-1.0, 1.0]), jnp.array([1.0, 1.0]))
    last, _ = jax.lax.scan(improve, first, None, length=10)
    return jnp.append(last.mean, jnp.mean(jax.nn.logsumexp(log_density(last), axis=1)))


@jax.custom_jvp
def debye_integral(x):
    node, weight = np.polynomial.legendre.leggauss(24)
    u = 0.5 * x * (1 + node)
    return 0.5 * x * jnp.sum(weight * u**3 / jnp.expm1(u))


@debye_integral.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    return debye_integral(x), x**3 / jnp.expm1(x) * dx


@smooth(vec(1.6, 0.7, 0.3))
def heat_stored_in_a_debye_crystal(theta):
    """An integral with its upper end as a rule, called at many temperatures from within a scan."""
    debye, electrons, leak = theta

    def warm(temperature, power):
        energy = 9 * temperature**4 / debye**3 * debye_integral(debye / temperature)
        capacity = 0.3 + energy / temperature + electrons * temperature
        temperature = temperature + 0.2 * (power - leak * temperature**2) / capacity
        return temperature, energy

    temperature, energies = jax.lax.scan(warm, jnp.array(0.5), 1 + jnp.sin(jnp.arange(12.0)))
    return jnp.stack([temperature, jnp.mean(energies)])


@jax.tree_util.register_dataclass
@dataclass
class Beamline:
    strength: Any
    length: Any


@smooth(vec(1.1, -0.9, 0.8, -1.2))
def beam_through_quadrupoles(strength):
    """Magnets focus or not by the sign of their strength: both formulas are run, each on a harmless argument."""
    line = Beamline(strength, jnp.array([0.3, 0.4, 0.35, 0.25]))

    def matrix(k, length):
        focusing = k > 0
        a = jnp.sqrt(jnp.where(focusing, k, 1.0)) * length
        b = jnp.sqrt(jnp.where(focusing, 1.0, -k)) * length
        c = jnp.where(focusing, jnp.cos(a), jnp.cosh(b))
        s = jnp.where(focusing, jnp.sin(a) / a, jnp.sinh(b) / b) * length
        return jnp.stack([jnp.stack([c, s]), jnp.stack([-k * s, c])])

    def magnet(beam, element):
        drift = jnp.array([[1.0, 0.5], [0.0, 1.0]])
        m = drift @ matrix(element.strength, element.length)
        beam = m @ beam @ m.T
        return beam, jnp.sqrt(beam[0, 0])

    beam, sizes = jax.lax.scan(magnet, jnp.array([[1.0, -0.2], [-0.2, 0.3]]), line)
    return jnp.append(sizes, jnp.sqrt(jnp.linalg.det(beam)) * beam[1, 1])
