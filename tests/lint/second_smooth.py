"""Twenty-five further honest programs, for a second score on first contact: no rule may be tuned to them."""

import jax
import jax.numpy as jnp
import numpy as np
from battery import Case, collect, vec

CASES: list[Case] = []
smooth = collect(CASES)
RNG = np.random.default_rng(24)


@smooth(vec(0.9, 0.4, 1.3), jnp.asarray(RNG.normal(size=(10, 3))), jnp.asarray(RNG.normal(size=10)))
def streaming_softmax_attention(query, keys, values):
    """The running maximum changes hands along the stream; the mean does not notice."""

    def block(state, kv):
        top, total, mass = state
        score = kv[0] @ query
        new = jnp.maximum(top, score)
        fade, weight = jnp.exp(top - new), jnp.exp(score - new)
        return (new, fade * total + weight * kv[1], fade * mass + weight), None

    _, total, mass = jax.lax.scan(block, (-jnp.inf, 0.0, 0.0), (keys, values))[0]
    return total / mass


@smooth(vec(0.50, 0.52, 1.4))
def heat_capacity_of_sorted_levels(field):
    """Levels are sorted and cross within reach: a thermal mean is symmetric in them."""
    levels = jnp.sort(jnp.concatenate([field, 1.9 - field]))
    weight = jax.nn.softmax(-2.0 * (levels - levels[0]))
    return weight @ levels**2 - (weight @ levels) ** 2


@smooth(vec(0.31, 0.85, 1.32, 2.21, 0.47), rtol=1e-4)
def smoothed_particle_density(theta):
    """A cubic kernel in three pieces, twice continuously differentiable, of distances and of zero."""
    x, width = theta[:4], theta[4]
    q = jnp.abs(x[:, None] - x[None, :]) / width
    inner = 1 - 1.5 * q**2 + 0.75 * q**3
    outer = 0.25 * (2 - q) ** 3
    kernel = jnp.where(q < 1, inner, jnp.where(q < 2, outer, 0.0))
    return jnp.log(jnp.sum(kernel, 1) / width)


@smooth(vec(0.35, 1.2), jnp.asarray(RNG.normal(size=15)), rtol=1e-3)
def huber_regression(theta, y):
    """Quadratic, then linear: value and slope meet."""
    r = jnp.abs(y - theta[0] - theta[1] * jnp.linspace(-1.0, 1.0, 15))
    return jnp.mean(jnp.where(r < 0.8, 0.5 * r**2, 0.8 * (r - 0.4)))


@smooth(vec(1.0, 1.0, 1.0), 4.0)
def antenna_channel_capacity(gain, snr):
    """Three equal singular values, and a symmetric function of them."""
    mix = jnp.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])
    s = jnp.linalg.svd(gain[:, None] * mix, compute_uv=False)
    return jnp.sum(jnp.log1p(snr * s**2))


@smooth(vec(-1.0, -0.3, 0.2, 0.6), jnp.asarray(RNG.exponential(1.2, 20)))
def piecewise_exponential_survival(log_hazard, time):
    """Events are binned and exposures are clipped, all of it data."""
    edges = jnp.array([0.0, 0.4, 1.0, 2.0])
    bins = jnp.searchsorted(edges, time, side="right") - 1
    events = jax.ops.segment_sum(jnp.ones(20), bins, num_segments=4)
    width = jnp.append(jnp.diff(edges), jnp.inf)
    exposure = jnp.sum(jnp.clip(time[:, None] - edges, 0.0, width), axis=0)
    return events @ log_hazard - exposure @ jnp.exp(log_hazard)


@smooth(vec(1.3, 1.1))
def gas_volume_by_one_live_step(theta):
    """Newton's iteration is stopped at its end; one more step carries the whole derivative."""
    pressure = lambda v, p: 8 * p[0] / (3 * v - 1) - 3 / v**2 - p[1]
    step = lambda v, p: v - pressure(v, p) / jax.grad(pressure)(v, p)
    frozen = jax.lax.stop_gradient(theta)
    v = jax.lax.fori_loop(0, 30, lambda _, v: step(v, frozen), 8 * frozen[0] / (3 * frozen[1]))
    return step(jax.lax.stop_gradient(v), theta)


@jax.custom_jvp
def eccentric_anomaly(mean, e):
    newton = lambda _, a: a - (a - e * jnp.sin(a) - mean) / (1 - e * jnp.cos(a))
    return jax.lax.fori_loop(0, 12, newton, mean)


@eccentric_anomaly.defjvp
def _(primals, tangents):
    anomaly = eccentric_anomaly(*primals)
    return anomaly, (tangents[0] + jnp.sin(anomaly) * tangents[1]) / (1 - primals[1] * jnp.cos(anomaly))


@smooth(vec(0.9, 0.35, 1.7))
def orbit_by_an_implicit_rule(theta):
    """Kepler's equation at four times; the rule is that of the implicit function."""
    mean = theta[0] * jnp.array([0.2, 0.9, 1.7, 2.9])
    anomaly = jax.vmap(eccentric_anomaly, (0, None))(mean, theta[1])
    return theta[2] * jnp.stack([jnp.cos(anomaly) - theta[1], jnp.sqrt(1 - theta[1] ** 2) * jnp.sin(anomaly)])


@smooth(vec(0.8, 1.5, 0.6))
def least_action_by_the_envelope(theta):
    """The minimiser is stopped: at a minimum its share of the derivative is nil."""
    energy = lambda x, p: 0.5 * p[0] * (x - p[2]) ** 2 + p[1] * jnp.log(jnp.cosh(x + 1))
    newton = lambda _, x: x - jax.grad(energy)(x, theta) / jax.grad(jax.grad(energy))(x, theta)
    lowest = jax.lax.fori_loop(0, 20, newton, 0.0)
    return energy(jax.lax.stop_gradient(lowest), theta)


MIX = jnp.array([[0.3, -0.2, 0.1], [0.2, 0.1, 0.3], [-0.1, 0.4, 0.2]])


@jax.custom_vjp
def steady_state(drive):
    return jax.lax.fori_loop(0, 60, lambda _, z: jnp.tanh(MIX @ z + drive), jnp.zeros(3))


def steady_state_adjoint(kept, cotangent):
    z, drive = kept
    jacobian = jax.jacobian(lambda z: jnp.tanh(MIX @ z + drive))(z)
    weight = jnp.linalg.solve((jnp.eye(3) - jacobian).T, cotangent)
    return (jax.vjp(lambda d: jnp.tanh(MIX @ z + d), drive)[1](weight)[0],)


steady_state.defvjp(lambda drive: (steady_state(drive), (steady_state(drive), drive)), steady_state_adjoint)


@smooth(vec(0.4, -0.7, 0.2), mode="reverse")
def rate_network_with_an_adjoint(drive):
    """A fixed point whose reverse rule solves the adjoint equation."""
    return jnp.sum(steady_state(drive) * jnp.array([1.0, 2.0, -1.0])) + jnp.sum(drive**2)


@smooth(jnp.asarray([[0.1, 0.2], [0.9, -0.3], [0.4, 0.8], [-0.6, 0.5]]), vec(1.0, -1.0, 2.0, -1.0))
def screened_charges_without_self(x, charge):
    """The diagonal is replaced before the root and masked after it."""
    own = jnp.eye(4, dtype=bool)
    square = jnp.sum((x[:, None] - x[None, :]) ** 2, -1)
    r = jnp.sqrt(jnp.where(own, 1.0, square))
    return 0.5 * jnp.sum(jnp.where(own, 0.0, jnp.outer(charge, charge) * jnp.exp(-r / 0.7) / r))


@smooth(vec(0.7, 0.3, 1.6))
def red_black_relaxation(theta):
    """Sites take turns by the parity of their index; boundaries by comparing the index."""
    site = jnp.arange(12)
    conductivity = theta[0] + theta[1] * (site // 6)
    fixed = (site == 0) | (site > 10)

    def half_sweep(i, u):
        left, right = jnp.roll(conductivity * u, 1), jnp.roll(conductivity * u, -1)
        new = (left + right + 0.1) / (jnp.roll(conductivity, 1) + jnp.roll(conductivity, -1))
        return jnp.where(fixed | (site % 2 == i % 2), u, new)

    return jax.lax.fori_loop(0, 24, half_sweep, jnp.where(fixed, theta[2], 0.0))[3:6]


@smooth(vec(1.8, 0.4, 0.9))
def controller_below_saturation(gains):
    """The actuator's limits and the guard against wind-up are there and never act."""

    def step(state, target):
        x, v, total = state
        error = target - x
        wanted = gains[0] * error + gains[1] * total - gains[2] * v
        push = jnp.clip(wanted, -6.0, 6.0)
        total = total + jnp.where(jnp.abs(wanted) < 6.0, 0.1 * error, 0.0)
        return (x + 0.1 * v, v + 0.1 * push, total), 0.1 * error**2

    target = jnp.where(jnp.arange(40) < 20, 1.0, -0.5)
    return jnp.sum(jax.lax.scan(step, (0.0, 0.0, 0.0), target)[1])


@smooth(jnp.asarray([[0.1, 0.2, -0.1], [1.1, 0.1, 0.3], [0.2, 0.9, 0.2], [0.3, 0.4, -1.2]]))
def tetrahedron_shape(x):
    """Volume by an absolute determinant, handedness by its sign, edges by norms: none can vanish."""
    det = jnp.linalg.det(x[1:] - x[0])
    i, j = np.triu_indices(4, 1)
    edge = jnp.linalg.norm(x[i] - x[j], axis=1)
    return jnp.array([jnp.cbrt(jnp.abs(det) / 6) / edge.mean(), jnp.sign(det) * jnp.sum(edge**3)])


@smooth(vec(0.6, 0.3), jnp.asarray(RNG.exponential(1.0, 14)), 21)
def bootstrap_of_a_box_cox_mean(theta, data, seed):
    """Rows are drawn with replacement by the key alone."""
    rows = jax.random.randint(jax.random.key(seed), (30, 14), 0, 14)
    transformed = ((data + theta[1]) ** theta[0] - 1) / theta[0]
    return jnp.std(jnp.mean(transformed[rows], axis=1))


@smooth(vec(1.1, 0.8), 22)
def reweighted_events_after_cuts(theta, seed):
    """Events from a fixed generator are cut once; the parameters only weigh them."""
    first, second = jax.random.split(jax.random.key(seed))
    mass = 1.0 + 0.9 * jax.random.normal(first, (60,))
    seen = (mass > 0.3) & (jax.random.uniform(second, (60,)) < 0.7 + 0.1 * jnp.tanh(mass))
    log_ratio = jax.scipy.stats.norm.logpdf(mass, theta[0], theta[1]) - jax.scipy.stats.norm.logpdf(mass, 1.0, 0.9)
    weight = jnp.where(seen, jnp.exp(log_ratio), 0.0)
    return jnp.sum(weight * mass) / jnp.sum(weight)


@smooth(jnp.asarray(RNG.normal(size=12)), jnp.asarray(RNG.normal(size=(5, 2))), 23)
def dropout_at_a_given_rate(flat, x, seed):
    """Units are silenced by coins that know nothing of the weights."""
    keep = jax.random.bernoulli(jax.random.key(seed), 0.75, (5, 4))
    hidden = jnp.where(keep, jax.nn.elu(x @ flat[:8].reshape(2, 4) + 3.0) / 0.75, 0.0)
    return jnp.mean(jnp.tanh(hidden @ flat[8:]))


@smooth(vec(0.6, 0.3, 0.9), 11)
def chain_of_states_by_repeated_squaring(theta, steps):
    """A power of a matrix by the bits of a count."""
    matrix = jnp.array(
        [[theta[0], 1 - theta[0], 0.0], [theta[1], 0.5, 0.5 - theta[1]], [0.1, 0.9 - theta[2], theta[2]]]
    )

    def bit(state):
        n, base, power = state
        return n // 2, base @ base, jnp.where(n % 2 == 1, power @ base, power)

    return jax.lax.while_loop(lambda s: s[0] > 0, bit, (steps, matrix, jnp.eye(3)))[2][0]


@smooth(vec(1.2, 0.5, 0.8))
def splitting_cycled_by_a_counter(theta):
    """Drift, kick and friction in turn; which one is a matter of the step's number."""
    drift = lambda qp: (qp[0] + 0.1 * qp[1], qp[1])
    kick = lambda qp: (qp[0], qp[1] - 0.1 * theta[0] * jnp.sin(qp[0]))
    friction = lambda qp: (qp[0], qp[1] * jnp.exp(-0.1 * theta[1]))
    turn = lambda i, qp: jax.lax.switch(i % 3, [drift, kick, friction], qp)
    return jnp.stack(jax.lax.fori_loop(0, 30, turn, (theta[2], 0.0)))


@smooth(vec(0.02, 0.025, 0.03, 0.028), jnp.array([0.5, 1.0, 2.0, 3.5, 5.0, 12.0]))
def bonds_on_an_interpolated_curve(rates, times):
    """Times of payment lie on the nodes and beyond them: the curve is linear in its rates."""
    zero = jnp.interp(times, jnp.array([1.0, 2.0, 5.0, 10.0]), rates)
    return jnp.array([3.0, 3.0, 3.0, 3.0, 103.0, 50.0]) @ jnp.exp(-zero * times)


@smooth(vec(1.7, 0.9, 0.4), jnp.linspace(0.0, 2.0, 24))
def delay_by_unwrapping_a_phase(theta, frequency):
    """The angle wraps here and there within reach, and unwrapping undoes it."""
    phase = theta[2] + 2 * jnp.pi * theta[0] * frequency + theta[1] * frequency**2
    unwrapped = jnp.unwrap(jnp.angle((1 + 0.1 * theta[1]) * jnp.exp(1j * phase)))
    centred = frequency - frequency.mean()
    return centred @ unwrapped**2 / (centred @ centred)


@smooth(vec(2.03, 4.55, 6.9), jnp.asarray(RNG.normal(size=12)), rtol=1e-3)
def force_on_particles_between_mesh_points(x, mesh):
    """The cell is the floor of the place; cubic weights hand over without a trace to the second order."""
    cell = jnp.floor(x)
    u = x - cell
    weight = jnp.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], -1) / 6
    return jnp.sum(weight * mesh[cell.astype(int)[:, None] + jnp.arange(4)], -1)


@smooth(vec(0.71, 0.66, 2.0))
def log_one_minus_exp_either_way(x):
    """Two ways of writing one function, each where it is accurate."""
    return jnp.sum(jnp.where(x < jnp.log(2.0), jnp.log(-jnp.expm1(-x)), jnp.log1p(-jnp.exp(-x))))


@smooth(
    vec(0.5, -0.5), jnp.asarray([[1.0, 1.03], [1.0, 0.96], [-0.4, 1.2], [0.3, 0.32]]), jnp.array([1.0, 0.0, 0.0, 1.0])
)
def cross_entropy_in_stable_parts(w, x, label):
    """The kinks of the maximum and of the modulus cancel where a score changes sign, as all but one do within reach."""
    score = x @ w
    return jnp.mean(jnp.maximum(score, 0.0) - score * label + jnp.log1p(jnp.exp(-jnp.abs(score))))


@smooth(vec(0.098, 0.4, 1.3))
def magnetisation_by_series_or_formula(field):
    """Langevin's function: a series below a tenth, where its next term is beyond the digits."""

    def langevin(x):
        series = lambda x: x / 3 - x**3 / 45 + 2 * x**5 / 945 - x**7 / 4725 + 2 * x**9 / 93555
        formula = lambda x: 1 / jnp.tanh(x) - 1 / x
        return jax.lax.cond(jnp.abs(x) < 0.1, series, formula, x)

    return jnp.stack([langevin(field[i]) for i in range(3)])
