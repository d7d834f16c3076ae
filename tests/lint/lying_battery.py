"""Programs whose derivative lies, is lost or useless; `# here` marks the guilty line."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from battery import AT_KINK, BLIND, GROWTH, JUMPS, LOST, NEAR_KINK, NOISY, RANDOM, SINGULAR, Case, collect, vec

CASES: list[Case] = []
lying = collect(CASES)
RNG = np.random.default_rng(21)
KEY = jax.random.key(5)

# Rounding, counting, comparing


@lying(vec(1.7, 0.31), jnp.asarray(RNG.uniform(1, 20, 12)), expected=LOST, symptom="zero")
def adc_counts(theta, charge):
    """A detector's converter: gain and pedestal, then whole counts."""
    return jnp.sum(jnp.floor(theta[0] * charge + theta[1]))  # here


@lying(vec(12.3, 0.47), expected=LOST, symptom="jump")
def whole_crates(theta):
    """Shipping: a price per started crate."""
    return 4.0 * jnp.ceil(theta[0] / theta[1]) + 0.2 * theta[0]  # here


@lying(vec(3.149, 1.07), expected=LOST, symptom="jump")
def price_in_cents(theta):
    return jnp.round(theta[0] * theta[1], 2) * 5.0  # here


@lying(vec(0.52, -0.2), jnp.linspace(-1.0, 1.5, 300), expected=LOST, symptom="zero")
def majority_vote(theta, x):
    return jnp.mean(jnp.sign(x - theta[0] * x**2 - theta[1]))  # here


@lying(vec(1.52, 0.8), jnp.linspace(0.0, 3.0, 61), expected=LOST, symptom="zero")
def peak_position(theta, x):
    spectrum = jnp.exp(-((x - theta[0]) ** 2) / theta[1])
    return x[jnp.argmax(spectrum)]  # here


@lying(vec(0.9, 1.6), jnp.linspace(-2.0, 2.0, 81), expected=LOST, symptom="zero")
def grid_minimiser(theta, x):
    index = jnp.argmin(theta[0] * (x - theta[1] / 2) ** 2)  # here
    return jnp.take(x, index) ** 2


@lying(vec(0.5, 0.52, 0.9, 0.1), jnp.array([1.0, 2.0, 3.0, 4.0]), expected=LOST, symptom="zero")
def rank_correlation(score, truth):
    rank = jnp.argsort(jnp.argsort(score))  # here
    return jnp.corrcoef(rank, truth)[0, 1]


@lying(vec(1.95), jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array([5.0, 7.0, 4.0, 9.0]), expected=LOST, symptom="zero")
def tabulated_rate(theta, edges, rates):
    """The rate of the bin, without interpolation."""
    return rates[jnp.searchsorted(edges, theta[0]) - 1]  # here


@lying(vec(0.4, 0.9), jnp.asarray(RNG.normal(size=60)), expected=NOISY | LOST, symptom="zero")
def histogram_of_smeared_sample(theta, noise):
    counts, _ = jnp.histogram(theta[0] + theta[1] * noise, bins=8, range=(-3.0, 3.0))  # here
    return counts.astype(float) / 60


@lying(vec(0.4, 0.9), jnp.asarray(RNG.normal(size=40)), expected=LOST, symptom="zero")
def digitised_levels(theta, x):
    levels = jnp.digitize(theta[1] * x + theta[0], jnp.linspace(-2.0, 2.0, 9))  # here
    return jnp.mean(levels * 0.5)


@lying(vec(2.95, 0.7), expected=LOST, symptom="zero")
def integer_cast(theta):
    return theta.astype(jnp.int32)[0] * 1.5  # here


@lying(vec(0.6), jnp.asarray(RNG.normal(size=50)), expected=LOST, symptom="zero")
def cut_efficiency(threshold, energy):
    return jnp.mean(energy > threshold[0])  # here


@lying(vec(0.95, 1.01), jnp.asarray(RNG.uniform(0, 2, 6)), expected=LOST, symptom="jump")
def trigger(theta, hits):
    """A bonus when the total passes a line."""
    total = jnp.sum(theta[0] * hits)
    fired = (total > theta[1] * jnp.sum(hits) * 0.94).astype(float)  # here
    return fired * 2.0 + total


@lying(vec(1.02), expected=LOST, symptom="jump")
def heaviside_dose(dose):
    return jnp.heaviside(dose[0] - 1.0, 0.5) * 3.0  # here


@lying(vec(2.97, 0.8), expected=JUMPS | LOST, symptom="jump")
def sawtooth(theta):
    """The slope is right everywhere but where the tooth falls."""
    return jnp.mod(theta[0], 1.0) * theta[1]  # here


@lying(vec(7.9, 2.0), expected=LOST, symptom="jump")
def remainder_by_parameter(theta):
    return jax.lax.rem(theta[0], theta[1]) + 0.1 * theta[0]  # here


@lying(vec(7.1, 1.4), expected=LOST, symptom="zero")
def whole_turns(theta):
    return (theta[0] // theta[1]) * 0.5  # here


@lying(vec(0.62, 1.3, 2.41), expected=LOST, symptom="zero")
def nearest_grid_deposit(position):
    """Particles counted in the nearest cell."""
    cell = jnp.round(2 * position).astype(int)  # here
    density = jnp.zeros(8).at[cell].add(1.0)
    return jnp.sum(density * jnp.cos(jnp.arange(8.0)))


@lying(vec(0.1, 1.02, 2.0, 3.1), expected=LOST, symptom="zero")
def neighbour_count(x):
    """A neighbour list rebuilt on every call."""
    distance = jnp.abs(x[:, None] - x[None, :])
    listed = jnp.where(distance < 1.0, 1, 0)  # here
    return jnp.sum(listed, axis=1).astype(float)


@lying(vec(0.5, 0.55, 0.2), vec(1.0, 5.0, 2.0), expected=LOST, symptom="zero")
def hard_gate(logits, experts):
    """A mixture of experts that sends everything to the best."""
    return jax.nn.one_hot(jnp.argmax(logits), 3) @ experts  # here


@lying(vec(0.95, 0.9, 0.2, 0.85), vec(3.0, 1.0, 4.0, 1.5), expected=LOST, symptom="zero")
def top_two(score, gain):
    chosen = jax.lax.top_k(score, 2)[1]  # here
    return jnp.sum(gain[chosen])


@lying(vec(0.3, -1.2, 0.77), jnp.array([0.5, 1.0, -2.0]), expected=LOST, symptom="zero")
def eight_bit_weights(w, x):
    quantised = (w * 16).astype(jnp.int8).astype(jnp.float64) / 16  # here
    return jnp.tanh(quantised @ x)


@lying(vec(1.03, 0.1), expected=LOST, symptom="jump")
def rounded_time_steps(theta):
    """Decay until T with a step dt: the number of steps is whole."""
    number = jnp.floor(theta[0] / theta[1])  # here
    step = lambda i, y: jnp.where(i < number, y * (1 - theta[1]), y)
    return jax.lax.fori_loop(0, 16, step, 1.0)


@lying(vec(0.98, 0.02), jnp.asarray(RNG.normal(size=300)), expected=LOST, symptom="zero")
def first_passage_step(theta, noise):
    """The first step at which a walk is above a wall."""
    walk = jnp.cumsum(theta[1] + 0.3 * noise)
    return jnp.argmax(walk > theta[0]) * 0.01  # here


@lying(vec(0.8, 0.6), jnp.asarray(RNG.uniform(-1, 1, (200, 2))), expected=LOST | NOISY, symptom="zero")
def hit_or_miss_area(axes, points):
    inside = jnp.sum((points / axes) ** 2, axis=1) <= 1  # here
    return 4 * jnp.mean(inside)


@lying(vec(4.05), expected=LOST, symptom="jump")
def tiered_fare(distance):
    """A fare with steps, by select."""
    d = distance[0]
    return jnp.select([d < 2, d < 4, d < 8], [2.0, 3.0, 4.5], 7.0) + 0.1 * d  # here


@lying(vec(1.96, 0.3), expected=LOST, symptom="jump")
def model_by_regime(theta):
    """The regime is cast to an index of a switch."""
    regime = jnp.clip(theta[0].astype(int), 0, 2)  # here
    branches = [lambda p: p**2, lambda p: 2 * p + 1, lambda p: jnp.exp(p)]
    return jax.lax.switch(regime, branches, theta[1])


@lying(vec(0.51, 0.49), expected=LOST, symptom="zero")
def parity_of_bits(theta):
    return jax.lax.population_count((theta * 50).astype(jnp.int32)).sum().astype(float)  # here


@lying(vec(0.7, 0.72, 0.3), expected=LOST, symptom="zero")
def all_within_tolerance(theta):
    return jnp.where(jnp.all(theta < 0.74), 1.0, 0.0)  # here


@lying(vec(2.03, 1.98), expected=LOST, symptom="zero")
def equality_on_a_grid(theta):
    return (jnp.rint(theta[0]) == jnp.rint(theta[1] * 1.24)).astype(float)  # here


# Stopped, replaced and hidden derivatives


@lying(vec(0.7, 1.3), expected=BLIND, symptom="zero")
def stopped_entirely(theta):
    return jnp.sin(jax.lax.stop_gradient(theta[0] * theta[1]))  # here


@lying(vec(0.7, 1.3), expected=BLIND, symptom="mismatch")
def stopped_in_part(theta):
    """A normaliser held fixed that does not cancel."""
    weight = jnp.exp(theta)
    return jnp.sum(weight * jnp.array([1.0, 3.0])) / jax.lax.stop_gradient(jnp.sum(weight))  # here


@lying(vec(0.9, 0.4), expected=BLIND, symptom="mismatch")
def truncated_backpropagation(theta):
    """The carry is cut at every fourth step."""

    def step(h, i):
        h = jnp.where(i % 4 == 0, jax.lax.stop_gradient(h), h)  # here
        return jnp.tanh(theta[0] * h + theta[1]), None

    return jax.lax.scan(step, 0.1, jnp.arange(10))[0]


@lying(vec(0.83, -0.41), expected=LOST, symptom="slopes")
def straight_through_quantiser(theta):
    rounded = theta + jax.lax.stop_gradient(jnp.round(4 * theta) / 4 - theta)  # here
    return jnp.sum(rounded**2)


@lying(vec(0.4, 1.2), expected=BLIND, symptom="mismatch")
def stopped_inside_remat(theta):
    @jax.checkpoint
    def layer(h):
        return jnp.tanh(theta[1] * jax.lax.stop_gradient(h) + h)  # here

    return layer(layer(theta[0]))


@lying(vec(0.6, 0.2), expected=BLIND | {"info"}, symptom="raises")
def callback_without_a_rule(theta):
    """A host function: no derivative at all."""
    shape = jax.ShapeDtypeStruct((2,), jnp.float64)
    return jnp.sum(jax.pure_callback(lambda x: np.sin(np.asarray(x)), shape, theta))  # here


@lying(vec(0.6, 0.2), expected=BLIND, symptom="zero")
def callback_behind_a_stop(theta):
    shape = jax.ShapeDtypeStruct((2,), jnp.float64)
    frozen = jax.lax.stop_gradient(theta)  # here
    return jnp.sum(jax.pure_callback(lambda x: np.exp(np.asarray(x)), shape, frozen))


@jax.custom_jvp
def table_lookup(x):
    return jax.pure_callback(lambda v: np.cosh(np.asarray(v)), jax.ShapeDtypeStruct((), jnp.float64), x)


table_lookup.defjvp(lambda primals, tangents: (table_lookup(*primals), jnp.zeros_like(tangents[0])))


@lying(vec(0.6, 0.2), expected=BLIND, symptom="zero")
def callback_with_a_zero_rule(theta):
    return table_lookup(theta[0] * theta[1] * 4)  # here


@jax.custom_vjp
def doubled_gradient(x):
    return jnp.sum(x**3)


doubled_gradient.defvjp(lambda x: (doubled_gradient(x), x), lambda x, g: (6 * g * x**2,))


@lying(vec(0.5, 1.5), expected=BLIND, symptom="mismatch", mode="reverse")
def wrong_factor_in_vjp(theta):
    return doubled_gradient(jnp.exp(theta))  # here


@jax.custom_jvp
def relaxation_time(rate):
    return 1 / rate


relaxation_time.defjvp(lambda p, t: (relaxation_time(*p), t[0] / p[0] ** 2))


@lying(vec(0.5, 1.5), expected=BLIND, symptom="mismatch")
def wrong_sign_in_jvp(theta):
    return jnp.sum(theta * jax.vmap(relaxation_time)(theta + 1.0) ** 3)  # here


@jax.custom_jvp
def arrhenius(prefactor, barrier):
    return prefactor * jnp.exp(-barrier)


@arrhenius.defjvp
def _(primals, tangents):
    rate = arrhenius(*primals)
    return rate, tangents[0] * rate / primals[0]


@lying(vec(2.0, 0.9), expected=BLIND, symptom="mismatch")
def rule_forgets_an_argument(theta):
    return jnp.log(1.0 + arrhenius(theta[0], theta[1]))  # here


@jax.custom_vjp
def clipped_gradient(x):
    return x


clipped_gradient.defvjp(lambda x: (x, None), lambda _, g: (jnp.clip(g, -0.1, 0.1),))


@lying(vec(0.5, 1.5), expected=BLIND, symptom="mismatch", mode="reverse")
def gradient_clipped_by_a_rule(theta):
    return jnp.sum(jnp.sinh(2 * clipped_gradient(theta)))  # here


@jax.custom_vjp
def reversal(x):
    return x


reversal.defvjp(lambda x: (x, None), lambda _, g: (-g,))


@lying(vec(0.5, 1.5, -0.2), expected=BLIND, symptom="mismatch", mode="reverse")
def gradient_reversal_layer(theta):
    """Domain adaptation: honest for its trainer, not for a reader of the derivative."""
    features = jnp.tanh(theta[:2])
    return jnp.sum(features**2) + jnp.sum(reversal(features) * theta[2])  # here


@lying(vec(2.0, 0.7), expected=BLIND, symptom="mismatch")
def implicit_solve_with_wrong_tangent(theta):
    """The tangent solve forgets the Jacobian."""
    residual = lambda z: z**3 + theta[0] * z - theta[1]
    newton = lambda f, z: jax.lax.fori_loop(0, 20, lambda _, z: z - f(z) / (3 * z**2 + theta[0]), z)
    return jax.lax.custom_root(residual, 0.5, newton, lambda g, y: y)  # here


@jax.custom_vjp
def floor_with_slope_one(x):
    return jnp.floor(x)


floor_with_slope_one.defvjp(lambda x: (jnp.floor(x), None), lambda _, g: (g,))


@lying(vec(2.31, 5.9), expected=LOST, symptom="slopes", mode="reverse")
def floor_inside_custom_vjp(theta):
    return jnp.sum(floor_with_slope_one(theta) ** 2)  # here


# Kinks: at the arguments, and within reach


@lying(2.0, expected={"LIES"}, symptom="slopes")
def min_of_parabola_and_line(t):
    """Slopes 4 and 2."""
    return jnp.minimum(t**2, 2 * t)  # here


@lying(0.0, expected={"LIES"}, symptom="slopes")
def identity_as_two_relus(x):
    """Slope one on both sides; the rules give zero."""
    return jax.nn.relu(x) - jax.nn.relu(-x)  # here


@lying(vec(0.0, 1.2), expected=AT_KINK, symptom="slopes")
def lasso_penalty(beta):
    return jnp.sum((beta - 0.5) ** 2) + 0.7 * jnp.sum(jnp.abs(beta))  # here


@lying(vec(1.0, 0.4), expected=AT_KINK, symptom="slopes")
def clipped_at_its_bound(theta):
    return jnp.sum(jnp.clip(theta, 0.0, 1.0) * 3.0)  # here


@lying(vec(1.0, 1.0, 0.2), expected=AT_KINK, symptom="slopes")
def maximum_of_a_tie(x):
    return jnp.max(x * jnp.array([1.0, 1.0, 2.0]))  # here


@lying(vec(0.3, 0.8, 0.8, 0.1), expected=AT_KINK, symptom="slopes")
def quantile_of_a_tie(x):
    return jnp.sort(x)[2] * 10.0  # here


@lying(100.0, 100.0, expected=AT_KINK, symptom="slopes")
def payoff_at_the_strike(spot, strike):
    return jnp.maximum(spot - strike, 0.0)  # here


@lying(1.0, jnp.arange(4.0), jnp.array([0.0, 2.0, 1.0, 5.0]), expected=AT_KINK, symptom="slopes")
def interpolation_at_a_knot(x, knots, values):
    return jnp.interp(x, knots, values)  # here


@lying(vec(0.5, -0.5), jnp.eye(2), expected=AT_KINK, symptom="slopes")
def dead_network_at_zero(bias, w):
    """A pre-activation of exactly zero."""
    hidden = jax.nn.relu(w @ bias + jnp.array([-0.5, 1.0]))  # here
    return jnp.sum(hidden * jnp.array([2.0, 1.0]))


@lying(vec(0.98, 1.5), jnp.asarray(RNG.exponential(1.0, (2, 300))), expected=NEAR_KINK, symptom="kink")
def waiting_time_in_a_queue(theta, draws):
    """Lindley's recursion: continuous, with a kink wherever the queue empties."""
    step = lambda w, sa: (jnp.maximum(0.0, w + theta[0] * sa[0] - theta[1] * sa[1]), w)  # here
    return jnp.mean(jax.lax.scan(step, 0.0, draws.T)[1])


@lying(vec(0.52, 0.5, 0.49, 0.8, 0.3), expected=NEAR_KINK, symptom="kink")
def median_of_parameters(x):
    return jnp.median(x * jnp.array([1.0, 1.03, 1.01, 1.0, 1.0])) + jnp.sum(x**2)  # here


@lying(vec(1.03, 2.0), expected=NEAR_KINK, symptom="kink")
def hinge_loss(theta):
    return jnp.maximum(0.0, 1.0 - theta[0]) * 5 + theta[1] ** 2  # here


@lying(vec(0.8, 0.81, 0.5), expected=NEAR_KINK, symptom="kink")
def worst_case(load):
    """The greatest of several stresses that are nearly equal."""
    stress = jnp.array([[1.0, 0.2, 0.1], [0.2, 1.0, 0.1], [0.0, 0.1, 1.0]]) @ load
    return jnp.max(stress)  # here


@lying(vec(0.97), jnp.linspace(0.0, 2.0, 5), expected=NEAR_KINK, symptom="kink")
def triangular_window(x, centres):
    return jnp.sum(jnp.maximum(0.0, 1 - jnp.abs(x[0] - centres) / 0.5) * jnp.arange(5.0) ** 2)  # here


@lying(vec(100.0, 0.3), jnp.asarray(RNG.normal(size=100)), expected=NEAR_KINK, symptom="kink")
def running_drawdown(market, noise):
    path = market[0] * jnp.exp(jnp.cumsum(0.005 + market[1] * 0.05 * noise))
    return jnp.mean(jax.lax.cummax(path) - path)  # here


@lying(vec(0.3, 1.1, -0.7), jnp.asarray(RNG.normal(size=(40, 2))), expected=NEAR_KINK, symptom="kink")
def leaky_network(theta, x):
    h = jax.nn.leaky_relu(x @ theta[1:] + theta[0], 0.1)  # here
    return jnp.mean(h**2 + h)


@lying(vec(1.02, 0.99), expected=NEAR_KINK, symptom="kink")
def cond_with_a_kink(theta):
    """Two branches that meet, with different slopes."""
    above = lambda p: 3.0 * (p[0] - p[1]) + p[1] ** 2
    below = lambda p: p[1] ** 2
    return jax.lax.cond(theta[0] > theta[1], above, below, theta)  # here


# Singular points


@lying(vec(0.0, 0.0, 0.0), expected={"NAN", "LIES"}, symptom="nonfinite")
def norm_at_zero(x):
    return jnp.linalg.norm(x)  # here


@lying(vec(1.0, 0.0), expected=SINGULAR, symptom="nonfinite")
def square_root_at_zero(x):
    return jnp.sum(jnp.sqrt(x))  # here


@lying(vec(0.0, 0.3, 0.7), expected=SINGULAR, symptom="nonfinite")
def entropy_with_an_empty_state(p):
    return -jnp.sum(jnp.where(p > 0, p * jnp.log(p), 0.0))  # here


@lying(vec(0.0, 2.0), expected=SINGULAR, symptom="nonfinite")
def half_power_at_zero(x):
    return x[0] ** 0.5 * x[1]  # here


@lying(vec(1.0, 0.5), expected=SINGULAR, symptom="nonfinite")
def arc_cosine_at_one(x):
    return jnp.sum(jnp.arccos(x))  # here


@lying(vec(0.0, 0.0), expected=SINGULAR, symptom="nonfinite")
def phase_of_nothing(x):
    return jnp.arctan2(x[0], x[1])  # here


@lying(vec(0.0, 1.3), expected=SINGULAR, symptom="nonfinite")
def sinc_with_single_where(x):
    """The forbidden branch divides by zero."""
    return jnp.sum(jnp.where(x == 0, 1.0, jnp.sin(x) / x))  # here


@lying(vec(-1.0, 4.0), expected=SINGULAR, symptom="nonfinite")
def root_behind_where(x):
    return jnp.sum(jnp.where(x > 0, jnp.sqrt(x), 0.0))  # here


@lying(vec(800.0, 1.0), expected=SINGULAR, symptom="nonfinite")
def overflow_behind_where(x):
    """Softplus by hand: the exponential overflows in the branch not taken."""
    return jnp.sum(jnp.where(x > 30, x, jnp.log1p(jnp.exp(x))))  # here


@lying(vec(1.0, 1.0, 1.0), expected=SINGULAR, symptom="nonfinite")
def eigenvector_of_degenerate_matrix(diagonal):
    vectors = jnp.linalg.eigh(jnp.diag(diagonal))[1]  # here
    return jnp.sum(vectors[:, 0] * jnp.array([1.0, 2.0, 3.0]))


@lying(vec(1.0, 1.0, 2.0), expected=SINGULAR, symptom="nonfinite")
def matrix_function_of_degenerate_levels(field):
    """Smooth and symmetric in the levels, but written with eigenvectors."""
    levels, vectors = jnp.linalg.eigh(jnp.diag(field))  # here
    density = (vectors * jax.nn.sigmoid(-levels)) @ vectors.T
    return density[0, 1] + jnp.trace(density)


@lying(vec(1.0, 1.0), expected=SINGULAR, symptom="nonfinite")
def singular_vectors_of_equal_values(scale):
    u, s, vt = jnp.linalg.svd(jnp.diag(scale) @ jnp.array([[0.6, 0.8], [-0.8, 0.6]]))  # here
    return jnp.sum(u @ vt * jnp.array([[1.0, 2.0], [3.0, 4.0]])) + s[0]


@lying(vec(0.5, 0.0), expected={"NAN", "LIES"}, symptom="slopes")
def exceptional_point(theta):
    """Gain against loss: two levels and their vectors coalesce, and part as a square root."""
    levels = jnp.linalg.eigvals(theta[0] * jnp.eye(2) + jnp.array([[0.0, 1.0], [theta[1], 0.0]]))  # here
    return jnp.max(jnp.real(levels))


@lying(jnp.asarray([[0.5, 0.0, 0.0], [1.0, 0.0, 0.0], [2.0, 0.0, 0.0]]), expected=SINGULAR, symptom="nonfinite")
def straight_bond_angle(x):
    u, v = x[0] - x[1], x[2] - x[1]
    return jnp.arccos(u @ v / (jnp.linalg.norm(u) * jnp.linalg.norm(v)))  # here


@lying(jnp.asarray(RNG.normal(size=(3, 2))), expected=SINGULAR, symptom="nonfinite")
def distance_matrix_with_diagonal(x):
    """The distance of a particle to itself."""
    r = jnp.linalg.norm(x[:, None] - x[None, :], axis=-1)  # here
    return jnp.sum(jnp.exp(-r))


@lying(vec(2.0, 2.0, 2.0), expected={"NAN", "LIES"}, symptom="nonfinite")
def spread_of_constant_sample(x):
    return jnp.std(x)  # here


@lying(vec(0.7, 0.7), vec(0.2, 0.2), expected=SINGULAR, symptom="nonfinite")
def great_circle_to_itself(place, home):
    a, b = place[0], place[1]
    inner = jnp.sin((a - 0.7) / 2) ** 2 + jnp.cos(a) * jnp.cos(0.7) * jnp.sin((b - 0.7) / 2) ** 2
    return 2 * jnp.arcsin(jnp.sqrt(inner)) + home[0]  # here


@lying(vec(0.0, 0.4), expected=BLIND, symptom="mismatch")
def wrong_value_of_double_where(x):
    """expm1(x)/x: safe, finite, and its slope 1/2 at zero is given as zero."""
    safe = jnp.where(x == 0, 1.0, x)
    return jnp.where(x == 0, 1.0, jnp.expm1(safe) / safe)[0]  # here


@lying(vec(0.0, 0.0), expected=AT_KINK, symptom="slopes")
def safe_norm_at_zero(x):
    """The double `where` hides a cone."""
    square = jnp.sum(x**2)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)  # here


# Thresholds on randomness


@lying(0.4, KEY, expected=RANDOM, symptom="bias")
def bernoulli_walk(p, key):
    steps = 2.0 * jax.random.bernoulli(key, p, (20,)) - 1  # here
    return jnp.sum(steps) ** 2


@lying(1.5, KEY, expected=RANDOM, symptom="bias")
def metropolis_in_a_scan(stiffness, key):
    """Mean square of a harmonic particle by accept-reject moves."""
    energy = lambda x: 0.5 * stiffness * x**2

    def move(x, key):
        first, second = jax.random.split(key)
        y = x + jax.random.uniform(first, minval=-2.0, maxval=2.0)
        accept = jax.random.uniform(second) < jnp.exp(energy(x) - energy(y))  # here
        x = jnp.where(accept, y, x)
        return x, x**2

    return jnp.mean(jax.lax.scan(move, 0.5, jax.random.split(key, 30))[1])


@lying(vec(0.2, 0.9, 0.4), KEY, expected=RANDOM, symptom="bias")
def categorical_reward(logits, key):
    index = jax.random.categorical(key, logits * jnp.array([1.0, -1.0, 1.0]))  # here
    return jnp.array([1.0, 5.0, 2.0])[index]


@lying(vec(-0.5, 1.2, 0.3), KEY, expected=RANDOM, symptom="bias")
def gumbel_argmax(logits, key):
    noise = jax.random.gumbel(key, (3,))
    return jnp.array([0.0, 9.0, 1.0])[jnp.argmax(logits + noise)]  # here


@lying(3.0, KEY, expected=RANDOM, symptom="bias")
def poisson_count(rate, key):
    return jax.random.poisson(key, rate, dtype=jnp.int64) * 1.0  # here


@lying(0.6, KEY, expected=RANDOM, symptom="bias")
def binomial_square(p, key):
    return jax.random.binomial(key, 10.0, p) ** 2  # here


@lying(1.2, KEY, expected=RANDOM, symptom="bias")
def accept_reject_sampler(width, key):
    """Up to twelve proposals, the first accepted is kept."""
    place, level = jax.random.uniform(key, (2, 12)) * jnp.array([[4.0], [1.0]])
    accepted = level < jnp.exp(-place / width)  # here
    return place[jnp.argmax(accepted)]


@lying(vec(0.8), KEY, expected=RANDOM, symptom="bias")
def particle_filter(theta, key):
    """Systematic resampling at every observation; the mean of the last cloud."""
    data = jnp.array([0.3, 1.1, 0.8, 1.6, 1.2])

    def assimilate(x, now):
        key, y = now
        first, second = jax.random.split(key)
        x = theta[0] * x + 0.5 * jax.random.normal(first, (16,))
        w = jax.nn.softmax(-2.0 * (y - x) ** 2)
        comb = (jnp.arange(16) + jax.random.uniform(second)) / 16
        parents = jnp.searchsorted(jnp.cumsum(w), comb)  # here
        return x[jnp.clip(parents, 0, 15)], None

    return jnp.mean(jax.lax.scan(assimilate, jnp.ones(16), (jax.random.split(key, 5), data))[0])


@lying(vec(100.0, 0.2), KEY, expected=NOISY, symptom="bias")
def digital_option(market, key):
    z = jax.random.normal(key, (64,))
    final = market[0] * jnp.exp(-0.5 * market[1] ** 2 + market[1] * z)
    return jnp.mean(jnp.where(final > 105.0, 1.0, 0.0))  # here


@lying(vec(100.0, 0.2), KEY, expected=NOISY | JUMPS, symptom="bias")
def barrier_option(market, key):
    """Knocked out when any monitored price is above 120."""
    noise = jax.random.normal(key, (32, 8))
    path = market[0] * jnp.exp(jnp.cumsum(-(market[1] ** 2) / 16 + market[1] * noise / jnp.sqrt(8.0), axis=1))
    alive = jnp.all(path < 120.0, axis=1)  # here
    return jnp.mean(jnp.where(alive, path[:, -1] - 80.0, 0.0))


@lying(0.3, KEY, expected=RANDOM, symptom="bias")
def parton_shower_veto(coupling, key):
    """Emissions along a falling scale, each kept with the ratio of the true to the over-estimated kernel."""

    def emit(scale, key):
        first, second = jax.random.split(key)
        scale = scale * jax.random.uniform(first)
        kept = jax.random.uniform(second) < coupling * (1 + scale) / 1.0  # here
        return scale, jnp.where(kept, scale, 0.0)

    return jnp.sum(jax.lax.scan(emit, 1.0, jax.random.split(key, 8))[1])


@lying(vec(0.4), KEY, expected=RANDOM, symptom="bias")
def choice_with_probabilities(theta, key):
    p = jnp.stack([theta[0], theta[0] ** 2, 1 - theta[0] - theta[0] ** 2])
    index = jax.random.choice(key, 3, p=p)  # here
    return jnp.array([0.0, 1.0, 4.0])[index]


@lying(vec(1.0), KEY, expected=RANDOM | LOST, symptom="bias")
def stochastic_simulation(rates, key):
    """Birth and death by exponential clocks until a fixed number of reactions."""

    def react(n, key):
        birth, death = rates[0], 0.3 * n
        born = jax.random.uniform(key) * (birth + death) < birth  # here
        return n + jnp.where(born, 1.0, -1.0), None

    return jax.lax.scan(react, 3.0, jax.random.split(key, 25))[0]


@lying(vec(0.3, 1.0, 3.0), KEY, expected=RANDOM, symptom="bias")
def mixture_component(theta, key):
    """The mean of each component is reparametrised, the choice is not."""
    first, second = jax.random.split(key)
    pick = jax.random.uniform(first) < theta[0]  # here
    return jnp.where(pick, theta[1], theta[2]) + jax.random.normal(second)


@lying(0.2, KEY, expected=RANDOM | {"LIES"}, symptom="bias")
def dropout_with_learned_rate(rate, key):
    keep = jax.random.bernoulli(key, 1 - rate, (30,))  # here
    return jnp.sum(jnp.where(keep, jnp.linspace(0.0, 1.0, 30), 0.0)) ** 2


@lying(vec(0.5), KEY, expected=NOISY, symptom="bias")
def noisy_trigger(threshold, key):
    pulse = 0.4 + 0.3 * jax.random.normal(key, (16,))
    fired = jnp.sum(jnp.where(pulse > threshold[0], 1.0, 0.0))  # here
    return fired**2


@lying(0.7, KEY, expected=RANDOM, symptom="bias")
def branching_process(p, key):
    """Every individual splits or dies."""

    def generation(n, key):
        splits = jax.random.uniform(key, (64,)) < p  # here
        return jnp.minimum(64.0, 2.0 * jnp.sum(jnp.where(jnp.arange(64) < n, splits, False))), None

    return jax.lax.scan(generation, 2.0, jax.random.split(key, 4))[0]


@lying(0.35, KEY, expected=RANDOM | LOST, symptom="bias")
def geometric_by_while(p, key):
    """Trials until the first success."""

    def trial(state):
        count, key, _ = state
        key, now = jax.random.split(key)
        return count + 1.0, key, jax.random.uniform(now) < p  # here

    return jax.lax.while_loop(lambda s: (~s[2]) & (s[0] < 50), trial, (0.0, key, jnp.asarray(False)))[0]


# Chaos


@lying(vec(10.0, 28.0, 2.6667), expected=GROWTH, symptom="blowup")
def lorenz(theta):
    def step(y, _):
        x, y_, z = y
        return y + 0.01 * jnp.stack([theta[0] * (y_ - x), x * (theta[1] - z) - y_, x * y_ - theta[2] * z]), None

    return jax.lax.scan(step, jnp.ones(3), None, length=4000)[0][2]  # here


@lying(vec(3.6, 0.3), expected=GROWTH, symptom="blowup")
def logistic_map(theta):
    return jax.lax.scan(lambda x, _: (theta[0] * x * (1 - x), None), theta[1], None, length=400)[0]  # here


@lying(vec(2.0, 1.0), expected=GROWTH, symptom="blowup")
def standard_map(theta):
    """A kicked rotor deep in chaos."""

    def kick(qp, _):
        q, p = qp
        p = p + 4 * theta[0] * jnp.sin(q)
        return (q + p, p), None

    return jnp.cos(jax.lax.scan(kick, (theta[1], 0.3), None, length=60)[0][0])  # here


@lying(vec(0.9, 1.4), expected=GROWTH, symptom="blowup")
def exploding_recurrence(theta):
    """A chaotic recurrent network without training."""
    w = jnp.asarray(np.random.default_rng(3).normal(size=(20, 20)))
    step = lambda h, _: (jnp.tanh(theta[0] * w @ h + theta[1] * 0.1), None)
    return jax.lax.scan(step, 0.1 * jnp.arange(20.0), None, length=300)[0].sum()  # here


# Boundaries within reach


@lying(jnp.asarray([[0.1, 0.1, 0.1], [2.55, 0.2, 0.1], [1.2, 1.2, 0.3]]), expected=JUMPS, symptom="jump")
def truncated_lennard_jones(x):
    """Cut at 2.5 without a shift: the energy jumps by 0.0163."""
    i, j = np.triu_indices(3, 1)
    r2 = jnp.sum((x[i] - x[j]) ** 2, -1)
    return jnp.sum(jnp.where(r2 < 6.25, 4 * (r2**-6 - r2**-3), 0.0))  # here


@lying(vec(0.97, 1.4), expected=JUMPS, symptom="jump")
def square_well(theta):
    return jnp.where(theta[0] < 1.0, -theta[1], 0.0) + theta[0] ** 2  # here


@lying(vec(1.95, 0.3), expected=JUMPS, symptom="jump")
def laminar_or_turbulent(theta):
    """Two correlations for friction that do not meet."""
    reynolds = theta[0] * 1000 / (1 + theta[1] * 0.01)
    laminar = lambda re: 64 / re
    turbulent = lambda re: 0.316 * re**-0.25
    return jax.lax.cond(reynolds < 2000.0, laminar, turbulent, reynolds)  # here


@lying(vec(0.51, 1.0), expected=JUMPS | LOST, symptom="jump")
def bouncing_with_events(theta):
    """A ball whose velocity is reversed at the step after the floor: the number of steps before it is whole."""

    def step(yv, _):
        y, v = yv
        v = jnp.where(y < 0, 0.8 * jnp.abs(v), v - 0.05 * theta[1])  # here
        return (y + 0.05 * v, v), None

    return jax.lax.scan(step, (theta[0], 0.0), None, length=60)[0][0]


@lying(vec(0.3, 0.24, 1.0), expected=JUMPS, symptom="jump")
def ray_hits_a_disc(ray):
    """Brightness of a pixel: the disc or the sky."""
    height = ray[0] + 0.1 * ray[1]
    return jnp.where(height**2 < 0.1, ray[2] * jnp.sqrt(jnp.maximum(0.5 - height**2, 0.1)), 0.05)  # here


@lying(vec(3.0, 0.1), expected=JUMPS | {"BREAK", "info"}, symptom="reverse")
def newton_until_converged(theta):
    """A loop that stops by a tolerance on what depends on the parameters."""
    residual = lambda z: z**3 - theta[0] - theta[1] * z
    update = lambda z: z - residual(z) / (3 * z**2 - theta[1])
    return jax.lax.while_loop(lambda z: jnp.abs(residual(z)) > 1e-3, update, 1.0)  # here


@lying(vec(0.03, 1.0), expected=LOST, symptom="zero")
def steps_to_threshold(theta):
    """How many periods until the capital has doubled."""
    grow = lambda c: (c[0] + 1.0, c[1] * (1 + theta[0]))
    return jax.lax.while_loop(lambda c: c[1] < 2.0, grow, (0.0, theta[1]))[0]  # here


# Wrapped: the same inside transformations


@lying(vec(1.3, 0.4), expected=LOST, symptom="zero")
def floor_in_a_jitted_scan(theta):
    @jax.jit
    def run(p):
        step = lambda c, i: (c + jnp.floor(p[0] * i + p[1]), None)  # here
        return jax.lax.scan(step, 0.0, jnp.arange(10.0))[0]

    return run(theta)


@lying(vec(0.3, 1.1), jnp.asarray(RNG.normal(size=(60, 7))), expected=LOST, symptom="zero")
def argmax_under_vmap(theta, rows):
    best = jax.vmap(lambda row: jnp.argmax(row * theta[0] + jnp.arange(7.0) * 0.1 * theta[1]))(rows)  # here
    return jnp.mean(best * 1.0)


@lying(vec(1.04, 0.5), expected=LOST, symptom="jump")
def comparison_in_a_cond_in_a_scan(theta):
    def step(c, i):
        c = jax.lax.cond(c * theta[0] > 1.3, lambda v: 0.2 * v, lambda v: v + 0.25 * theta[1], c)  # here
        return c, None

    return jax.lax.scan(step, 0.2, jnp.arange(12))[0]


@lying(vec(0.37, 1.9), expected=LOST, symptom="zero")
def nested_helpers(theta):
    def bucket(value):
        return jnp.trunc(value * 10) / 10  # here

    def outer(f):
        return functools.partial(jax.vmap(f))(theta)

    return jax.jit(outer, static_argnums=0)(bucket).sum()


@lying(vec(0.41, 0.77), expected=LOST, symptom="zero")
def rounding_under_remat_and_vmap(theta):
    cell = jax.checkpoint(lambda v: jnp.round(8 * v) / 8)  # here
    return jnp.prod(jax.vmap(cell)(theta))


# Programs that do not trace


@lying(1.05, expected=LOST, symptom="untraceable", traces=False)
def python_if(x):
    if x > 1.0:  # here
        return 2 * x
    return x**2


@lying(vec(1.03, 0.1), expected=LOST, symptom="untraceable", traces=False)
def python_range_of_steps(theta):
    y = 1.0
    for _ in range(int(theta[0] / theta[1])):  # here
        y = y * (1 - theta[1])
    return jnp.asarray(y)


@lying(vec(1.03, 0.1), expected=LOST, symptom="untraceable", traces=False)
def python_float(theta):
    return jnp.sin(float(theta[0])) * theta[1]  # here


@lying(vec(1.0, 2.0), expected=LOST, symptom="untraceable", traces=False)
def numpy_inside(theta):
    return jnp.sum(np.sin(np.asarray(theta)))  # here
