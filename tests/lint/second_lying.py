"""Twenty-five further lying programs, for a second score on first contact: no rule may be tuned to them."""

import jax
import jax.numpy as jnp
import numpy as np
from battery import BLIND, LOST, NOISY, RANDOM, Case, collect, vec

CASES: list[Case] = []
lying = collect(CASES)
RNG = np.random.default_rng(25)
KEY = jax.random.key(12)

OPACITY = jnp.asarray(RNG.uniform(1.0, 3.0, (12, 12)))


@jax.jit
def nearest_opacity(temperature, density):
    row, column = jnp.rint(4 * jnp.stack([temperature, density])).astype(int)  # here
    return OPACITY[row, column]


@lying(vec(1.3, 0.9), expected=LOST, symptom="zero", helpers=(nearest_opacity,))
def optical_depth_from_a_rounded_table(theta):
    """Layers of a star look up the nearest entry of a table."""
    layer = jnp.linspace(0.4, 1.9, 15)
    return jnp.mean(jax.vmap(nearest_opacity)(theta[0] * layer, theta[1] * layer**0.5))


@lying(vec(1.4, 2.2), expected=LOST, symptom="zero")
def root_by_bisection(theta):
    """A smooth root, found by halving a fixed bracket: only signs are read."""

    def halve(_, ends):
        middle = 0.5 * (ends[0] + ends[1])
        above = middle**3 + theta[0] * middle > theta[1]  # here
        return jnp.where(above, ends[0], middle), jnp.where(above, middle, ends[1])

    return jax.lax.fori_loop(0, 50, halve, (0.0, 2.0))[0]


@lying(vec(1.1, 0.63), expected=LOST, symptom="jump")
def two_carts_collide(theta):
    """Carts exchange their velocities at the first whole step after they touch."""

    def step(_, xv):
        x, v = xv
        touch = (x[0] > x[1]) & (v[0] > v[1])  # here
        v = jnp.where(touch, 0.9 * v[::-1], v)
        return x + 0.07 * v, v

    return jax.lax.fori_loop(0, 30, step, (jnp.stack([jnp.zeros(()), theta[1]]), jnp.stack([theta[0], 0.1])))[0]


@lying(vec(0.9, 1.6), expected=LOST, symptom="jump")
def inner_solver_stopped_early(theta):
    """A scan of fixed length whose iterate is held once the step is small."""

    def descend(state, _):
        z, done = state
        new = z - 0.2 * (z**3 + theta[0] * z - theta[1])
        done = done | (jnp.abs(new - z) < 0.02)  # here
        return (jnp.where(done, z, new), done), None

    return jax.lax.scan(descend, (0.0, False), None, length=25)[0][0]


@lying(vec(6.1, 0.21), expected=LOST, symptom="jump")
def feedback_by_a_coarse_converter(theta):
    """An inverted pendulum under a force of eight levels."""

    def step(state, _):
        angle, rate = state
        force = jnp.round(4 * theta[0] * (angle + 0.5 * rate)) / 4  # here
        return (angle + 0.05 * rate, rate + 0.05 * (2 * jnp.sin(angle) - force)), angle**2

    return jnp.sum(jax.lax.scan(step, (theta[1], 0.0), None, length=40)[1])


@lying(vec(4.2, 0.83), expected=LOST, symptom="jump")
def thermostat_with_hysteresis(theta):
    """Energy used by a heater with a memory of being on."""

    def minute(state, _):
        heat, on = state
        on = heat < jnp.where(on, 1.1, 0.9)  # here
        return (heat + 0.05 * (theta[0] * on - 2 * theta[1] * heat), on), heat * on

    return jnp.mean(jax.lax.scan(minute, (0.5, True), None, length=60)[1])


@lying(vec(0.61, 0.34), jnp.asarray(RNG.normal(size=64)), expected=LOST, symptom="zero")
def echoes_in_whole_samples(delay, signal):
    """Delays become shifts of a buffer."""
    shift = (40 * delay).astype(int)  # here
    echo = jax.vmap(lambda s: jnp.roll(signal, s))(shift)
    return jnp.array([0.6, 0.3]) @ echo @ jnp.roll(signal, 20)


@lying(vec(2.1, 0.6), jnp.asarray(RNG.uniform(0.0, 2.0, (2, 50))), expected=LOST, symptom="zero")
def mass_in_shells(theta, galaxies):
    """A histogram by segments whose labels come from a scale."""
    label = jnp.trunc(theta[0] * galaxies[0] + theta[1]).astype(jnp.int32)  # here
    mass = jax.ops.segment_sum(galaxies[1], label, num_segments=7)
    return jnp.sum(jax.scipy.special.entr(mass / mass.sum()))


@lying(vec(0.5, -0.5), jnp.asarray([[1.0, 1.0], [1.2, 0.3], [-0.4, 0.9]]), expected=BLIND, symptom="mismatch")
def logistic_loss_at_a_score_of_nought(w, x):
    """The kinks cancel and the function is smooth; at nought the rules' choices of a slope do not cancel."""
    score = x @ w
    cost = jnp.maximum(score, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(score)))  # here
    return jnp.mean(cost - score * jnp.array([1.0, 0.0, 1.0]))


@lying(vec(0.4, 0.4, 0.7, 0.2, 0.9, 0.9), vec(1.0, -2.0, 3.0), expected={"LIES", "kink"}, symptom="slopes")
def pooled_equal_pixels(image, head):
    """Greatest of pairs, of which two are ties."""
    pooled = jax.lax.reduce_window(image, -jnp.inf, jax.lax.max, (2,), (2,), "VALID")  # here
    return jnp.tanh(head @ pooled)


@lying(vec(100.0, 0.3), expected={"kink"}, symptom="kink")
def american_put_on_a_lattice(market):
    """Exercise or hold at every node of a binomial tree."""
    move = market[1] * jnp.sqrt(1 / 6)
    up = (jnp.exp(0.01) - jnp.exp(-move)) / (jnp.exp(move) - jnp.exp(-move))

    def back(value, level):
        spot = market[0] * jnp.exp(move * (2 * jnp.arange(8.0) - level))
        hold = jnp.exp(-0.01) * (up * jnp.append(value[1:], 0.0) + (1 - up) * value)
        return jnp.maximum(104.0 - spot, hold), None  # here

    return jax.lax.scan(back, jnp.zeros(8), jnp.arange(6.0, -1.0, -1.0))[0][0]


@lying(vec(1.0, 2.1, 1.3, 1.7, 0.9), expected={"kink"}, symptom="kink")
def shortest_route(street):
    """All pairs by relaxation over every intermediate place; two routes are nearly as long."""
    far = jnp.full((4, 4), 50.0)
    length = far.at[jnp.array([0, 0, 1, 2, 1]), jnp.array([1, 2, 3, 3, 2])].set(street * jnp.array([1, 1, 1.9, 1, 1]))
    relax = lambda k, d: jnp.minimum(d, d[:, k][:, None] + d[k][None, :])  # here
    return jax.lax.fori_loop(0, 4, relax, length)[0, 3]


@lying(vec(0.0, 0.4, 0.6), jnp.array([0.0, 3.0, 5.0]), expected={"NAN"}, symptom="nonfinite")
def impossible_class_in_a_likelihood(p, count):
    """Never seen and never possible: nought times the logarithm of nought."""
    return jnp.sum(jax.scipy.special.xlogy(count, p)) + jnp.sum(p)  # here


@lying(vec(1.5, 0.04, 0.0), jnp.asarray(RNG.normal(size=12)), expected={"NAN"}, symptom="nonfinite")
def variance_process_from_zero(theta, noise):
    """Full truncation under a square root, begun at the boundary."""

    def step(v, z):
        root = jnp.sqrt(jnp.maximum(v, 0.0))  # here
        return v + 0.1 * theta[0] * (theta[1] - v) + 0.05 * root * z, None

    return jax.lax.scan(step, theta[2], noise)[0]


@jax.custom_jvp
def black_box_yield(heat):
    return heat**2 * jnp.exp(-heat)


@black_box_yield.defjvp
def _(primals, tangents):
    now = black_box_yield(*primals)
    return now, (black_box_yield(primals[0] + 0.2) - now) / 0.2 * tangents[0]


@lying(vec(0.7, 1.1), expected=BLIND, symptom="mismatch")
def rule_by_a_coarse_difference(theta):
    """The tangent of a solver is a one-sided difference over a wide step."""
    return jnp.sum(jax.vmap(black_box_yield)(theta * jnp.array([1.0, 0.8])))  # here


@jax.custom_vjp
def moment(lever, angle):
    return lever**2 * jnp.sin(angle)


moment.defvjp(
    lambda lever, angle: (moment(lever, angle), (lever, angle)),
    lambda kept, g: (g * kept[0] ** 2 * jnp.cos(kept[1]), 2 * g * kept[0] * jnp.sin(kept[1])),
)


@lying(vec(1.7, 0.4), expected=BLIND, symptom="mismatch", mode="reverse")
def cotangents_in_the_wrong_order(theta):
    """The backward pass hands each argument what belongs to the other."""
    return jnp.log1p(moment(theta[0], theta[1]))  # here


@lying(vec(1.2, 0.5), expected=BLIND, symptom="mismatch")
def conductivity_lagged_by_a_stop(theta):
    """Implicit steps of a nonlinear diffusion whose coefficient is taken for given."""
    laplace = jnp.eye(6, k=1) + jnp.eye(6, k=-1) - 2 * jnp.eye(6)

    def step(u, _):
        k = jax.lax.stop_gradient(1 + theta[1] * u**2)  # here
        return jnp.linalg.solve(jnp.eye(6) - 0.3 * k[:, None] * laplace, u), None

    return jax.lax.scan(step, theta[0] * jnp.sin(jnp.arange(1.0, 7.0) * 0.45), None, length=4)[0][2]


@lying(vec(0.4, 0.9, -0.3, 0.2), KEY, expected=RANDOM, symptom="bias")
def committee_without_replacement(logits, key):
    """Two of four are chosen by perturbed scores."""
    score = 2 * logits + jax.random.gumbel(key, (4,))
    chosen = jax.lax.top_k(score, 2)[1]  # here
    return jnp.sum(jnp.array([1.0, 6.0, 3.0, 2.0])[chosen]) ** 2


@lying(vec(0.2, 0.3), KEY, expected=NOISY, symptom="bias")
def tranche_of_a_credit_portfolio(theta, key):
    """Firms default when a latent variable is below the quantile of their probability."""
    market, own = jax.random.normal(key), jax.random.normal(jax.random.fold_in(key, 1), (25,))
    latent = jnp.sqrt(theta[1]) * market + jnp.sqrt(1 - theta[1]) * own
    defaulted = latent < jax.scipy.stats.norm.ppf(theta[0])  # here
    return jnp.mean(defaulted) ** 2


@lying(vec(0.7, 1.1), KEY, expected=RANDOM, symptom="bias")
def thinned_arrivals(rate, key):
    """Candidates of a busy stream survive with the ratio of the intensities."""
    first, second = jax.random.split(key)
    time = jnp.sort(jax.random.uniform(first, (30,)))
    intensity = rate[0] * jnp.exp(-rate[1] * time)
    kept = jax.random.uniform(second, (30,)) < intensity  # here
    return jnp.sum(jnp.where(kept, 1 - time, 0.0)) ** 2


@lying(vec(0.3, 0.9, -0.2), KEY, expected=RANDOM | LOST, symptom="bias")
def straight_through_choice(logits, key):
    """A whole number of half turns is chosen, the derivative is that of a soft choice."""
    soft = jax.nn.softmax((logits + jax.random.gumbel(key, (3,))) / 0.5)
    pick = soft + jax.lax.stop_gradient(jax.nn.one_hot(jnp.argmax(soft), 3) - soft)  # here
    return jnp.cos(jnp.pi * (pick @ jnp.arange(3.0)))


@lying(vec(2.4, 0.7), expected={"BLOWUP"}, symptom="blowup")
def inner_training_with_too_large_a_step(theta):
    """Gradient descent on a periodic loss that leaps from valley to valley."""
    loss = lambda w: (1 - jnp.cos(2 * w)) + 0.1 * jnp.cos(w)
    step = lambda _, w: w - theta[0] * jax.grad(loss)(w)
    return loss(jax.lax.fori_loop(0, 200, step, theta[1]))  # here


@lying(vec(1.4, 0.2), expected={"JUMP", "BREAK", "info"}, symptom="reverse")
def magnetisation_until_self_consistent(theta):
    """A mean field iterated until its step is below a tolerance."""
    update = lambda m: jnp.tanh(theta[0] * m + theta[1])
    return jax.lax.while_loop(lambda m: jnp.abs(update(m) - m) > 1e-3, update, 0.1)  # here


@lying(vec(1.02, 2.0), expected=LOST, symptom="untraceable", traces=False)
def greater_by_the_builtin(theta):
    peak = max(2 * theta[0], theta[1])  # here
    return peak**2 + theta[1]


@lying(vec(0.4, -0.1, 0.9), expected=LOST, symptom="untraceable", traces=False)
def mean_of_positive_entries(x):
    gains = x[x > 0]  # here
    return jnp.mean(jnp.asarray(gains))
