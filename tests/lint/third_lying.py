"""Twenty-five larger lying programs, as they are written at work, for a third score on first contact."""

from functools import partial
from itertools import combinations

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from battery import BLIND, GROWTH, JUMPS, LOST, NEAR_KINK, NOISY, SINGULAR, Case, collect, vec

CASES: list[Case] = []
lying = collect(CASES)
RNG = np.random.default_rng(27)
KEY = jax.random.key(15)

PAIRS = np.array(list(combinations(range(6), 2)))


class TruncatedForceField(eqx.Module):
    epsilon: jax.Array
    sigma: jax.Array
    box: float = eqx.field(static=True)
    cut: float = eqx.field(static=True)

    def energy(self, x):
        gap = x[PAIRS[:, 0]] - x[PAIRS[:, 1]]
        gap = gap - self.box * jnp.round(gap / self.box)
        square = jnp.sum(gap**2, axis=1)
        ratio = (self.sigma**2 / square) ** 3
        pair = 4 * self.epsilon * (ratio**2 - ratio)
        return jnp.sum(jnp.where(square < self.cut**2, pair, 0.0))  # here


@lying(vec(1.0, 0.9, 1.0), expected=JUMPS, symptom="jump", helpers=(TruncatedForceField.energy,))
def truncated_forces_in_a_box(theta):
    """Potential cut without a shift; forces by grad lose the step, the trajectory's energy does not."""
    field = TruncatedForceField(theta[0], theta[1], 4.0, 1.6)
    x = jnp.array([[0.1, 0.2], [1.2, 0.3], [2.4, 0.1], [0.2, 1.5], [1.4, 1.6], [2.6, 1.7]])
    v = theta[2] * jnp.sin(jnp.arange(12.0).reshape(6, 2))
    force = jax.grad(lambda x: -field.energy(x))

    def verlet(state, _):
        x, v = state
        v = v + 0.015 * force(x)
        x = x + 0.03 * v
        return (x, v + 0.015 * force(x)), None

    x, v = jax.lax.scan(verlet, (x, v), None, length=16)[0]
    return 0.5 * jnp.sum(v**2) + field.energy(x)


class ZeroSuppressed(eqx.Module):
    radius: jax.Array
    noise: float = eqx.field(static=True)

    def cells(self, energy, centre):
        place = jnp.arange(9.0)
        share = jnp.exp(-jnp.abs(place - centre) / self.radius)
        return energy * share / jnp.sum(share)

    def read_out(self, energy, centre):
        cells = self.cells(energy, centre)
        return jnp.where(cells > self.noise, cells, 0.0)  # here


@lying(
    vec(1.1, 1.0),
    RNG.uniform(4.0, 9.0, 6),
    RNG.uniform(3.0, 5.0, 6),
    expected=JUMPS,
    symptom="jump",
    helpers=(ZeroSuppressed.read_out,),
)
def resolution_after_zero_suppression(theta, energies, centres):
    """Cells below the noise are not read out, in a method, under vmap; the energy resolution comes far after."""
    detector = ZeroSuppressed(theta[0], 0.5)
    cells = jax.vmap(detector.read_out)(theta[1] * energies, jnp.asarray(centres))
    energy = jnp.sum(cells, axis=1) / energies
    place = cells @ jnp.arange(9.0) / jnp.sum(cells, axis=1)
    return jnp.stack([jnp.std(energy), jnp.mean((place - centres) ** 2)])


class FlashConverter(eqx.Module):
    bits: int = eqx.field(static=True)

    def __call__(self, volts):
        top = 2.0**self.bits - 1
        return jnp.clip(jnp.floor(volts * 60.0), 0.0, top)  # here


@lying(vec(1.2, 3.0, 0.2), expected=LOST, symptom="zero", helpers=(FlashConverter.__call__,))
def charge_from_digitised_waveforms(theta):
    """Pulses are amplified, digitised, freed of their pedestal and integrated, channel by channel."""
    gain, decay, pedestal = theta
    converter = FlashConverter(8)
    t = jnp.arange(24.0)

    @jax.jit
    def channel(charge):
        since = jnp.maximum(t - 5.0, 0.0)
        pulse = charge * since / decay * jnp.exp(-since / decay)
        counts = converter(pedestal + gain * pulse)
        baseline = jnp.mean(counts[:5])
        return jnp.sum(counts[5:] - baseline)

    charges = jax.lax.map(channel, jnp.array([1.0, 2.2, 3.1]))
    return jnp.log(jnp.sum(charges**2))


STATIONS = np.array([[0.0, 0.0], [9.0, 1.0], [2.0, 8.0], [8.0, 9.0]])


def pick_arrival(trace, template):
    n = 2 * len(trace)
    correlation = jnp.fft.irfft(jnp.fft.rfft(trace, n) * jnp.conj(jnp.fft.rfft(template, n)), n)
    return 0.1 * jnp.argmax(correlation[: len(trace)])  # here


@lying(vec(3.1, 4.2, 0.9), expected=LOST, symptom="zero", helpers=(pick_arrival,))
def earthquake_located_by_correlation(theta):
    """Arrival times are whole samples of a matched filter; least squares then turns them into a place."""
    t = 0.1 * jnp.arange(128)
    wavelet = jnp.exp(-2 * t) * jnp.sin(5 * t)

    def arrival(station):
        delay = jnp.sqrt(jnp.sum((theta[:2] - station) ** 2)) * theta[2]
        late = t - delay
        trace = jnp.exp(-2 * jnp.abs(late)) * jnp.sin(5 * late) * jax.nn.sigmoid(40 * late)
        return pick_arrival(trace, wavelet)

    times = jax.vmap(arrival)(jnp.asarray(STATIONS))
    distance = times / 0.9
    matrix = 2 * jnp.asarray(STATIONS[1:] - STATIONS[:1])
    right = distance[0] ** 2 - distance[1:] ** 2 + jnp.sum(STATIONS[1:] ** 2, axis=1)
    operator = lx.MatrixLinearOperator(matrix)
    return lx.linear_solve(operator, right, lx.QR()).value


@jax.jit
def nearest_centre(points, centres):
    square = jnp.sum((points[:, None] - centres[None]) ** 2, axis=-1)
    return jax.nn.one_hot(jnp.argmin(square, axis=1), len(centres))  # here


@lying(
    vec(1.0, 0.8),
    RNG.normal(size=(16, 2)) + np.repeat([[0.0, 0.0], [0.8, 0.5]], 8, axis=0),
    expected=JUMPS,
    symptom="jump",
    helpers=(nearest_centre,),
)
def separation_of_hard_clusters(theta, points):
    """Two rounds of k-means on stretched points: members change sides, and the centres leap."""
    points = points * jnp.stack([theta[0], 1.0])

    def update(_, centres):
        member = nearest_centre(points, centres)
        mass = jnp.sum(member, axis=0) + 0.1
        return (member.T @ points + 0.1 * centres) / mass[:, None]

    centres = jax.lax.fori_loop(0, 2, update, theta[1] * jnp.array([[-0.3, 0.1], [1.3, 1.1]]))
    return jnp.sqrt(jnp.sum((centres[0] - centres[1]) ** 2))


def resample(key, particles, log_weight):
    cumulative = jnp.cumsum(jax.nn.softmax(log_weight))
    comb = (jnp.arange(len(particles)) + jax.random.uniform(key)) / len(particles)
    return particles[jnp.minimum(jnp.searchsorted(cumulative, comb), len(particles) - 1)]  # here


RETURNS = 1.5 * np.array([0.3, -1.6, 2.2, 0.1, -0.2, 1.9])


@lying(vec(1.0, 0.8), KEY, expected=NOISY, symptom="bias", helpers=(resample,))
def last_volatility_by_a_particle_filter(theta, key):
    """Stochastic volatility: systematic resampling in a scan forgets that weights depend on parameters."""

    def day(state, observed):
        log_vol, key = state
        key, move, comb = jax.random.split(key, 3)
        log_vol = 0.9 * log_vol + theta[1] * jax.random.normal(move, log_vol.shape)
        scale = theta[0] * jnp.exp(log_vol)
        log_weight = -0.5 * (observed / scale) ** 2 - jnp.log(scale)
        return (resample(comb, log_vol, log_weight), key), None

    state = (jnp.zeros(16), key)
    (log_vol, _), _ = jax.lax.scan(day, state, jnp.asarray(RETURNS))
    return jnp.mean(log_vol)


class Note(eqx.Module):
    volatility: jax.Array
    rate: jax.Array

    def path(self, key):
        z = jax.random.normal(key, (4,))
        return jnp.exp(jnp.cumsum(self.rate - self.volatility**2 / 2 + self.volatility * z))

    def payoff(self, key):
        def observe(state, price):
            alive, paid, year = state
            called = price >= 1.05  # here
            discount = jnp.exp(-self.rate * year)
            paid = paid + jnp.where(alive & called, discount * (1 + 0.2 * year), 0.0)
            return (alive & ~called, paid, year + 1), None

        path = self.path(key)
        (alive, paid, _), _ = jax.lax.scan(observe, (jnp.array(True), 0.0, 1.0), path)
        return paid + jnp.where(alive, 0.5 * jnp.exp(-4 * self.rate) * path[-1], 0.0)


@lying(vec(0.25, 0.04), KEY, expected=NOISY, symptom="bias", helpers=(Note.payoff,))
def autocallable_note(market, key):
    """Redeemed at the first date above a barrier; eight paths under vmap, a method of a module."""
    note = Note(market[0], market[1])
    return jnp.mean(jax.vmap(note.payoff)(jax.random.split(key, 8)))


@lying(vec(1.0, 0.8), KEY, expected=NOISY, symptom="bias")
def impatient_customers(theta, key):
    """A queue whose customers go away when they would wait too long; profit counts those who stay."""
    arrival, service = jax.random.split(key)
    between = jax.random.exponential(arrival, (20,)) / theta[0]
    work = jax.random.exponential(service, (20,)) * theta[1]

    def customer(backlog, pair):
        gap, needed = pair
        wait = jnp.maximum(backlog - gap, 0.0)
        stays = wait < 0.6  # here
        profit = jnp.where(stays, 1.0 - 0.1 * wait, 0.0)
        return wait + jnp.where(stays, needed, 0.0), profit

    _, profits = jax.lax.scan(customer, jnp.array(0.5), (between, work))
    return jnp.mean(profits)


@lying(vec(2.0, 0.3), KEY, expected=NOISY, symptom="bias")
def hamiltonian_monte_carlo(theta, key):
    """Leapfrog by grad is differentiable, the decision after it is not: the variance of the chain is biased."""
    energy = lambda x: jnp.sum(0.5 * theta[0] * x**2 + 0.25 * theta[1] * x**4)
    force = lambda x: -jax.grad(energy)(x)

    def leap(_, state):
        x, p = state
        p = p + 0.45 * force(x)
        x = x + 0.9 * p
        return x, p + 0.45 * force(x)

    def move(x, key):
        kick, decide = jax.random.split(key)
        p = jax.random.normal(kick, x.shape)
        new, q = jax.lax.fori_loop(0, 2, leap, (x, p))
        rise = energy(new) - energy(x) + 0.5 * jnp.sum(q**2 - p**2)
        accept = jnp.log(jax.random.uniform(decide)) < -rise  # here
        x = jnp.where(accept, new, x)
        return x, jnp.mean(x**2)

    _, squares = jax.lax.scan(move, jnp.array([0.5, -0.3]), jax.random.split(key, 8))
    return jnp.mean(squares)


GAPS = -np.log(RNG.uniform(size=60))


@lying(vec(1.3, 0.5), expected=LOST, symptom="zero")
def counts_after_dead_time(theta):
    """Pulses come at a rate, a counter rests after each: what is corrected afterwards is a whole number."""
    rate, rest = theta
    times = jnp.cumsum(GAPS / rate)

    def pulse(last, time):
        counted = time - last > rest  # here
        return jnp.where(counted, time, last), counted

    _, counted = jax.lax.scan(pulse, -10.0, times)
    measured = jnp.sum(counted) / 40.0
    return measured / (1 - 0.5 * measured / 2)


@lying(vec(1.2, 3.0), expected=LOST, symptom="reverse")
def chemical_clock_with_adaptive_steps(theta):
    """Heun's method with steps chosen by its error, in a while loop: no gradient goes back through it."""

    def rhs(y):
        square = y[0] ** 2 * y[1]
        return jnp.stack([theta[0] - (theta[1] + 1) * y[0] + square, theta[1] * y[0] - square])

    def attempt(state):
        t, h, y = state
        h = jnp.minimum(h, 1.0 - t)
        first = rhs(y)
        second = rhs(y + h * first)
        error = jnp.max(jnp.abs(second - first)) * h / 2
        good = error < 1e-3
        y = jnp.where(good, y + h / 2 * (first + second), y)
        t = jnp.where(good, t + h, t)
        return t, h * jnp.clip(0.9 * jnp.sqrt(1e-3 / (error + 1e-12)), 0.3, 2.0), y

    start = (jnp.array(0.0), jnp.array(0.1), jnp.array([1.0, 1.0]))
    return jax.lax.while_loop(lambda s: s[0] < 1.0 - 1e-9, attempt, start)[2]  # here


@lying(vec(1.0, 0.4), expected=JUMPS, symptom="jump")
def steps_accepted_or_refused(theta):
    """A bounded number of attempts, steps halved where the error is large: with the pattern the result moves."""
    rhs = lambda y, t: -theta[0] * y * (1 + 4 * jnp.exp(-((t - 0.6) ** 2) / 0.02)) + theta[1]

    def attempt(state, _):
        t, h, y = state
        first = rhs(y, t)
        second = rhs(y + h * first, t + h)
        good = jnp.abs(second - first) * h / 2 < 0.02  # here
        y = jnp.where(good, y + h / 2 * (first + second), y)
        t = jnp.where(good, t + h, t)
        return (t, jnp.where(good, jnp.minimum(1.5 * h, 0.2), 0.5 * h), y), None

    t, _, y = jax.lax.scan(attempt, (jnp.array(0.0), jnp.array(0.15), jnp.array(1.0)), None, length=14)[0]
    return y + (1.2 - t) * rhs(y, t)


def keep_while_better(state, candidate, loss):
    weights, best, going = state
    going = going & (loss < best - 4e-3)  # here
    weights = jnp.where(going, candidate, weights)
    return weights, jnp.where(going, loss, best), going


@lying(vec(0.5, 0.3), expected=JUMPS, symptom="jump", helpers=(keep_while_better,))
def training_stopped_early(theta):
    """Ridge regression by descent, frozen once the validation loss has stopped to fall enough."""
    rate, ridge = theta
    x = jnp.linspace(-1, 1, 12)
    design = jnp.stack([jnp.ones(12), x, x**2], axis=1)
    target = jnp.exp(x)
    loss = lambda w, rows: jnp.mean((design[rows] @ w - target[rows]) ** 2)
    train, validate = np.arange(0, 12, 2), np.arange(1, 12, 2)

    def epoch(state, _):
        slope = jax.grad(loss)(state[0], train) + 0.05 * ridge * state[0]
        candidate = state[0] - rate * slope
        return keep_while_better(state, candidate, loss(candidate, validate)), None

    start = (jnp.zeros(3), jnp.array(jnp.inf), jnp.array(True))
    weights, _, _ = jax.lax.scan(epoch, start, None, length=40)[0]
    return weights


@lying(
    vec(0.5, 0.8),
    np.cumsum(RNG.normal(size=(3, 10)), axis=1) * 0.4 + (RNG.uniform(size=(3, 10)) > 0.7) * 1.5,
    expected=JUMPS,
    symptom="jump",
)
def tracks_without_their_outliers(theta, hits):
    """A Kalman filter passes by hits outside its gate, and the gate is as wide as its parameters say."""
    noise, drift = theta

    @jax.jit
    def update(state, hit):
        mean, variance, chi2 = state
        variance = variance + drift**2
        spread = variance + noise**2
        pull = (hit - mean) ** 2 / spread
        gain = variance / spread * (pull < 2.0)  # here
        chi2 = chi2 + jnp.log(spread)
        return (mean + gain * (hit - mean), (1 - gain) * variance, chi2), mean

    def fit(hits):
        (mean, _, chi2), _ = jax.lax.scan(update, (0.0, 1.0, 0.0), hits)
        return mean + 0.01 * chi2

    return jax.vmap(fit)(jnp.asarray(hits))


class PairEnergy(eqx.Module):
    depth: jax.Array
    width: jax.Array

    def __call__(self, x, real):
        gap = x[:, None] - x[None, :]
        distance = jnp.sqrt(jnp.sum(gap**2, axis=-1))  # here
        both = real[:, None] & real[None, :] & ~jnp.eye(len(x), dtype=bool)
        decay = jnp.where(both, jnp.exp(-(distance - 1.0) / self.width), 0.0)
        return 0.5 * self.depth * jnp.sum(decay**2 - 2 * decay)


@lying(vec(1.0, 0.9, 1.2), expected=SINGULAR, symptom="nonfinite", helpers=(PairEnergy.__call__,))
def stretched_molecules_padded_with_nought(theta):
    """The mask comes after the root: two padded atoms on one place spoil the strain of every molecule."""
    positions = jnp.asarray(np.cos(np.arange(24.0)).reshape(2, 4, 3) + 2.0 * np.arange(4)[:, None])
    sizes = jnp.array([4, 2])
    model = PairEnergy(theta[0], theta[1])

    def molecule(x, size):
        real = jnp.arange(4) < size
        x = theta[2] * jnp.where(real[:, None], x, 0.0)
        return model(x, real)

    return jax.jit(jax.vmap(molecule))(positions, sizes)


@jax.custom_vjp
def fused_norm(x):
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred / jnp.sqrt(jnp.mean(centred**2, axis=-1, keepdims=True) + 1e-6)


def fused_norm_forward(x):
    y = fused_norm(x)
    return y, (y, jnp.std(x, axis=-1, keepdims=True))


def fused_norm_backward(kept, cotangent):
    y, spread = kept
    centred = cotangent - jnp.mean(cotangent, axis=-1, keepdims=True)
    return (centred / spread,)


fused_norm.defvjp(fused_norm_forward, fused_norm_backward)


class Block(eqx.Module):
    up: eqx.nn.Linear
    down: eqx.nn.Linear

    def __call__(self, x):
        return x + self.down(jax.nn.silu(self.up(fused_norm(x))))


BLOCK = Block(
    eqx.nn.Linear(4, 6, key=jax.random.fold_in(KEY, 1)),
    eqx.nn.Linear(6, 4, key=jax.random.fold_in(KEY, 2)),
)


@lying(
    vec(0.4, 1.1, -0.7, 0.9),
    expected=BLIND,
    symptom="mismatch",
    mode="reverse",
)
def residual_network_with_a_fused_norm(x):
    """A hand-written backward pass forgets that the spread depends on its input."""
    for _ in range(2):
        x = BLOCK(x)
    return jnp.sum(jnp.tanh(fused_norm(x)) * jnp.arange(4.0))  # here


DENSITY = np.linspace(0.0, 3.0, 7)
PRESSURE = 0.3 * DENSITY**2 + 0.2 * np.sin(DENSITY)
SLOPE = np.gradient(PRESSURE, DENSITY)


@jax.custom_jvp
def tabulated_pressure(density):
    i = jnp.clip((density / 0.5).astype(int), 0, 5)
    s = (density - 0.5 * i) / 0.5
    p, m = jnp.asarray(PRESSURE), 0.5 * jnp.asarray(SLOPE)
    left = (1 + 2 * s) * (1 - s) ** 2 * p[i] + s * (1 - s) ** 2 * m[i]
    return left + s**2 * (3 - 2 * s) * p[i + 1] + s**2 * (s - 1) * m[i + 1]


def tabulated_pressure_rule(primals, tangents):
    (density,), (change,) = primals, tangents
    i = jnp.clip((density / 0.5).astype(int), 0, 5)
    return tabulated_pressure(density), jnp.asarray(SLOPE)[i] * change


tabulated_pressure.defjvp(tabulated_pressure_rule)


@lying(vec(1.3, 0.4), expected=BLIND, symptom="mismatch")
def piston_on_a_tabulated_gas(theta):
    """A cubic table with a rule that answers by the slope at the knot below."""
    density, mass = theta

    def step(state, _):
        length, speed = state
        speed = speed + 0.05 * (tabulated_pressure(density / length) - 0.5) / mass  # here
        return (length + 0.05 * speed, speed), length

    _, path = jax.lax.scan(step, (jnp.array(1.0), jnp.array(0.0)), None, length=12)
    return jnp.mean(path**2)


def relaxed_charges(hardness, field, softness):
    operator = lx.MatrixLinearOperator(hardness + softness * jnp.eye(4), lx.symmetric_tag)
    charges = lx.linear_solve(operator, -field, lx.LU()).value
    return jax.lax.stop_gradient(charges)  # here


@lying(vec(1.2, 0.7, 0.4), expected=BLIND, symptom="mismatch", helpers=(relaxed_charges,))
def dipole_with_frozen_charges(theta):
    """Charges held fixed are right for the energy, which is least in them, and wrong for the dipole."""
    length, softness, bias = theta
    place = length * jnp.array([0.0, 1.0, 2.1, 3.3])
    hardness = 1 / jnp.sqrt((place[:, None] - place[None, :]) ** 2 + 1.0)
    field = bias * place + jnp.array([0.3, -0.1, 0.2, -0.4])
    charges = relaxed_charges(hardness, field, 1 + softness)
    energy = 0.5 * charges @ (hardness + (1 + softness) * jnp.eye(4)) @ charges + field @ charges
    return jnp.stack([energy, charges @ place])


GROUPS = np.array([0.05, 0.2, 0.5, 0.9, 1.4, 2.2, 3.5])
CROSS = np.array([5.0, 3.1, 2.4, 2.9, 1.8, 1.5, 1.1, 0.9])


def group_cross_section(energy):
    return jnp.asarray(CROSS)[jnp.searchsorted(GROUPS, energy)]  # here


@lying(vec(3.0, 0.6), expected=LOST, symptom="zero", helpers=(group_cross_section,))
def slowing_down_in_energy_groups(theta):
    """Energy falls smoothly in nested scans, but the cross-section is looked up by group."""
    energy, loss = theta

    def collide(state, _):
        energy, attenuation = state
        attenuation = attenuation + 0.02 * group_cross_section(energy)
        return (energy * (1 - 0.1 * loss), attenuation), None

    @jax.checkpoint
    def region(state, _):
        state, _ = jax.lax.scan(collide, state, None, length=4)
        return state, jnp.exp(-state[1])

    _, flux = jax.lax.scan(region, (energy, jnp.array(0.0)), None, length=5)
    return jnp.sum(flux)


@lying(
    vec(1.0, 0.3),
    RNG.uniform(30, 90, (10, 5)),
    RNG.uniform(-2, 2, (10, 5)),
    RNG.uniform(-3, 3, (10, 5)),
    expected=JUMPS,
    symptom="jump",
)
def mass_of_the_two_leading_jets(theta, pt, eta, phi):
    """Calibration depends on the angle, so that within reach another jet leads."""
    corrected = theta[0] * pt * (1 + theta[1] * eta**2)

    def event(pt, eta, phi):
        lead = jax.lax.top_k(pt, 2)[1]  # here
        a, b = lead[0], lead[1]
        angle = jnp.cosh(eta[a] - eta[b]) - jnp.cos(phi[a] - phi[b])
        return jnp.sqrt(2 * pt[a] * pt[b] * angle)

    masses = jax.vmap(event)(corrected, jnp.asarray(eta), jnp.asarray(phi))
    return jnp.mean(masses) / 100


@lying(vec(1.0, 0.35), expected=NEAR_KINK, symptom="kink")
def rain_from_a_column_of_cloud(theta):
    """Cloud water turns into rain above a threshold: layers reach it at times that parameters move."""
    supply, threshold = theta

    def layer(water, height):
        water = water + 0.05 * supply * jnp.exp(-height)
        rain = 0.3 * jnp.maximum(water - threshold, 0.0)  # here
        return water - rain, rain

    def step(state, _):
        water, fallen = state
        heights = jnp.linspace(0.0, 1.5, 4)
        water, rain = jax.vmap(layer)(water, heights)
        return (water, 0.9 * fallen + jnp.sum(rain)), fallen

    (_, fallen), path = jax.lax.scan(step, (0.1 * jnp.ones(4), jnp.array(0.0)), None, length=12)
    return jnp.stack([fallen, jnp.mean(path)])


class Basin(eqx.Module):
    friction: jax.Array
    depth: jax.Array

    def step(self, state, wind):
        u, v, eta = state
        speed = jnp.sqrt(u**2 + v**2)  # here
        drag = self.friction * speed / self.depth
        slope = (jnp.roll(eta, -1) - jnp.roll(eta, 1)) / 2
        u, v = u + 0.1 * (wind - drag * u - slope + 0.2 * v), v + 0.1 * (-drag * v - 0.2 * u)
        eta = eta - 0.1 * self.depth * (jnp.roll(u, -1) - jnp.roll(u, 1)) / 2
        return (u, v, eta), jnp.mean(eta**2)


@lying(vec(0.3, 0.8), expected=SINGULAR, symptom="nonfinite", helpers=(Basin.step,))
def surge_from_a_sea_at_rest(theta):
    """The first step's speed is the root of nothing: the value is nought, its derivative is not a number."""
    basin = Basin(theta[0], theta[1])
    rest = (jnp.zeros(8), jnp.zeros(8), jnp.zeros(8))
    wind = 0.3 * jnp.sin(2 * jnp.pi * jnp.arange(8) / 8) * jnp.ones((10, 1))
    _, surge = jax.lax.scan(lambda state, push: basin.step(state, push), rest, wind)
    return jnp.sum(surge)


def likeliest(score):
    return jnp.argmax(score, axis=0)  # here


@lying(vec(1.2, 1.6), RNG.integers(0, 2, 60), expected=LOST, symptom="zero", helpers=(likeliest,))
def dwell_time_on_a_decoded_path(theta, symbols):
    """The likeliest path of hidden states, traced backwards; how long it dwells is a whole number."""
    stay = jax.nn.sigmoid(2 * theta[0])
    log_move = jnp.log(jnp.array([[0.0, 1.0], [1.0, 0.0]]) * (1 - stay) + jnp.eye(2) * stay)
    log_emit = jax.nn.log_softmax(jnp.array([[0.5, -0.4], [-0.3, 0.35]]) * theta[1], axis=1)

    def forward(score, symbol):
        paths = score[:, None] + log_move
        return jnp.max(paths, axis=0) + log_emit[:, symbol], likeliest(paths)

    score, pointers = jax.lax.scan(forward, jnp.zeros(2), jnp.asarray(symbols))

    def backward(state, pointer):
        return pointer[state], state

    _, path = jax.lax.scan(backward, likeliest(score), pointers, reverse=True)
    return jnp.exp(-0.05 * jnp.sum(path))


@lying(vec(0.6, 3.0, 0.5), expected=JUMPS, symptom="jump")
def picture_of_a_ball_on_a_floor(theta):
    """Each ray asks whether it meets the ball; its outline moves over the middles of pixels."""
    radius, distance, light = theta
    centre = jnp.stack([0.0, 0.1, distance])
    lamp = jnp.array([0.6, 0.7, -0.4]) / jnp.sqrt(1.01)

    def shade(direction):
        along = direction @ centre
        gap = along**2 - centre @ centre + radius**2
        hit = gap > 0  # here
        reach = along - jnp.sqrt(jnp.where(hit, gap, 1.0))
        normal = (reach * direction - centre) / radius
        ball = 0.2 + light * jax.nn.softplus(4 * (normal @ lamp)) / 4
        floor = light * jnp.exp(-(direction[1] ** 2))
        return jnp.where(hit, ball, floor)

    at = jnp.linspace(-0.3, 0.3, 7)
    x, y = jnp.meshgrid(at, at)
    rays = jnp.stack([x, y, jnp.ones_like(x)], axis=-1)
    rays = rays / jnp.linalg.norm(rays, axis=-1, keepdims=True)
    return jnp.mean(jax.vmap(jax.vmap(shade))(rays) ** 2)


@partial(jax.jit, static_argnames="number")
def weather(start, forcing, number):
    def tendency(x):
        return (jnp.roll(x, -1) - jnp.roll(x, 2)) * jnp.roll(x, 1) - x + forcing

    def step(x, _):
        half = x + 0.025 * tendency(x)
        x = x + 0.05 * tendency(half)
        return x, jnp.mean(x**2)

    return jax.lax.scan(step, start, None, length=number)  # here


@lying(vec(8.0, 1.0), expected=GROWTH, symptom="blowup", helpers=(weather,))
def mean_energy_of_chaotic_weather(theta):
    """Forty days of spin-up and as many of averaging: the climate is tame, its derivative is not."""
    start = theta[0] * jnp.ones(8) + theta[1] * jnp.sin(jnp.arange(8.0))
    spun, _ = weather(start, theta[0], 800)
    _, energy = weather(spun, theta[0], 400)
    return jnp.mean(energy) / 10
