"""Thirty further lying programs, for a score on first contact: no rule may be tuned to them."""

import jax
import jax.numpy as jnp
import numpy as np
from battery import BLIND, LOST, NOISY, RANDOM, Case, collect, vec

CASES: list[Case] = []
lying = collect(CASES)
RNG = np.random.default_rng(23)
KEY = jax.random.key(8)


@lying(vec(0.8, 1.7), jnp.linspace(0.0, 4.0, 201), expected=LOST, symptom="zero")
def arrival_time_of_a_pulse(theta, t):
    """The sample at which a shaped pulse first passes a level."""
    pulse = jnp.where(t > 0, t * jnp.exp(-t / theta[0]), 0.0) * theta[1]
    late = jnp.where(pulse >= 0.4, jnp.arange(201), 200)  # here
    return t[jnp.min(late)]


@lying(vec(0.43, 0.61), jnp.asarray(RNG.normal(size=(80, 2))), expected=LOST, symptom="jump")
def k_means_inertia(centre, points):
    """Within-cluster mean positions after a hard assignment."""
    centres = jnp.stack([centre, -centre])
    nearest = jnp.argmin(jnp.sum((points[:, None] - centres) ** 2, -1), axis=1)  # here
    member = jax.nn.one_hot(nearest, 2)
    means = member.T @ points / (1 + member.sum(0))[:, None]
    return jnp.sum(means**2) + 0.1 * jnp.sum(centre)


@lying(vec(0.52, 0.48, 0.35, 0.4), expected=LOST, symptom="zero")
def sandpile_topplings(load):
    """Sites above the limit topple, as often as needed."""

    def sweep(carry, _):
        height, count = carry
        full = height > 0.5  # here
        shed = jnp.where(full, 0.3, 0.0)
        return (height - shed + 0.5 * (jnp.roll(shed, 1) + jnp.roll(shed, -1)), count + full.sum()), None

    return jax.lax.scan(sweep, (load, 0), None, length=6)[0][1] * 1.0


@lying(vec(0.98, 0.21), expected=LOST, symptom="jump")
def cash_flow_calendar(theta):
    """Coupons at whole years before maturity."""
    years = jnp.arange(1.0, 6.0)
    paid = years <= 4.05 * theta[0]  # here
    return jnp.sum(paid * jnp.exp(-0.3 * theta[1] * years))


@lying(vec(3.3, 1.9), expected=LOST, symptom="jump")
def gear_ratio(theta):
    """A divmod: quotient and remainder both used."""
    quotient, remainder = jnp.divmod(theta[0], theta[1] * 0.85)  # here
    return 2.0 * quotient + 0.1 * remainder


@lying(vec(0.7, 1.2, 0.45), jnp.array([[0.2, 0.8], [0.5, 0.1], [0.9, 0.6]]), expected=LOST, symptom="zero")
def ordering_of_events(rates, place):
    """Which of three clocks rings first, second, third, decides the tour."""
    order = jnp.argsort(1 / rates * jnp.array([1.0, 1.75, 0.7]))  # here
    stops = place[order]
    return jnp.sum(jnp.abs(jnp.diff(stops, axis=0)) * jnp.array([[1.0, 2.0], [3.0, 4.0]]))


@lying(vec(0.3, 0.7), expected=LOST, symptom="zero")
def thermometer_code(theta):
    """A comparator bank, then a weighted sum of booleans under a tensor contraction."""
    bank = jnp.greater_equal(theta[:, None], jnp.linspace(0.0, 1.0, 101))  # here
    return jnp.einsum("ij,i->", bank.astype(jnp.float64), jnp.array([1.0, 0.5])) / 101


@lying(vec(0.31, 0.62), jnp.asarray(RNG.uniform(size=(2, 40))), expected=LOST | {"BIAS"}, symptom="zero")
def ray_count_through_aperture(aperture, rays):
    passed = jnp.logical_and(jnp.abs(rays[0] - 0.5) < aperture[0], rays[1] < aperture[1])  # here
    return jnp.count_nonzero(passed) / 40


@lying(vec(1.2, 0.9), expected=BLIND, symptom="mismatch")
def frozen_mean_field(theta):
    """The density is iterated to consistency, then treated as a constant."""
    density = jax.lax.fori_loop(0, 30, lambda _, n: 1 / (1 + jnp.exp(theta[0] * n - theta[1])), 0.5)
    frozen = jax.lax.stop_gradient(density)  # here
    return theta[0] * frozen**2 - theta[1] * frozen


@lying(vec(0.6, 1.1), jnp.array([1.0, -1.0, 1.0]), expected=BLIND, symptom="mismatch")
def target_network(theta, reward):
    """A squared temporal difference whose target is not differentiated."""
    value = jnp.tanh(theta[0] * jnp.arange(4.0) + theta[1])
    target = reward + 0.9 * jax.lax.stop_gradient(value[1:])  # here
    return jnp.sum((value[:-1] - target) ** 2)


@jax.custom_jvp
def drag(speed):
    return speed * jnp.abs(speed)


drag.defjvp(lambda p, t: (drag(*p), jnp.abs(p[0]) * t[0]))


@lying(vec(2.0, 0.3), expected=BLIND, symptom="mismatch")
def halved_rule_deep_in_a_scan(theta):
    """The rule of a drag law misses a factor of two."""
    step = lambda v, _: (v - 0.05 * theta[1] * drag(v), None)  # here
    return jax.lax.scan(step, theta[0], None, length=20)[0]


@jax.custom_vjp
def energy_with_noise_rule(x):
    return jnp.sum(jnp.cosh(x))


energy_with_noise_rule.defvjp(lambda x: (energy_with_noise_rule(x), x), lambda x, g: (g * jnp.round(jnp.sinh(x), 1),))


@lying(vec(0.44, -0.87), expected=BLIND, symptom="mismatch", mode="reverse")
def low_precision_backward_pass(theta):
    """Gradients are rounded to one decimal."""
    return energy_with_noise_rule(theta * jnp.array([0.3, 0.7]))  # here


@lying(vec(4.0, 2.0), expected=BLIND, symptom="mismatch")
def linear_solve_with_a_stale_matrix(theta):
    """The operator given to the implicit rule is not the one that was solved."""
    stale = lambda v: jax.lax.stop_gradient(theta[0]) * v  # here
    return jax.lax.custom_linear_solve(stale, theta[1] * jnp.ones(2), lambda mv, b: b / theta[0], symmetric=True)


@lying(vec(1.5, 1.5, 0.7), expected={"LIES", "kink"}, symptom="slopes")
def best_bid_minus_second(bid):
    """An auction with two equal bids."""
    ordered = jnp.sort(bid)  # here
    return 3 * ordered[-1] - 2 * ordered[-2]


@lying(vec(0.0, 0.0), jnp.asarray(RNG.normal(size=(5, 2))), expected={"LIES", "kink"}, symptom="slopes")
def absolute_deviation_at_the_truth(shift, x):
    """A robust fit that is already perfect."""
    return jnp.mean(jnp.abs(x + shift - x))  # here


@lying(vec(0.99, 1.0, 0.4), expected={"kink"}, symptom="kink")
def weakest_link(strength):
    """The smallest of several, by a scan with minimum."""
    step = lambda worst, s: (jnp.minimum(worst, s), None)  # here
    return jax.lax.scan(step, jnp.asarray(1e3), strength * jnp.array([1.0, 1.01, 2.6]))[0] ** 2


@lying(vec(3.9, 1.2), expected={"kink"}, symptom="kink")
def progressive_tax(theta):
    """Piecewise rates that meet at the brackets."""
    bracket = jnp.array([0.0, 2.0, 4.0])
    part = jnp.clip(theta[0] - bracket, 0.0, jnp.array([2.0, 2.0, jnp.inf]))  # here
    return jnp.sum(part * jnp.array([0.1, 0.2, 0.45])) * theta[1]


@lying(vec(0.0, 0.7), expected={"NAN", "LIES"}, symptom="nonfinite")
def geometric_mean_with_a_zero(x):
    return jnp.sqrt(x[0] * x[1]) + x[1]  # here


@lying(vec(0.0, 0.0, 0.0), expected={"NAN"}, symptom="nonfinite")
def axis_angle_at_identity(axis):
    """Rodrigues' formula guarded in its value, not in its derivative."""
    angle = jnp.sqrt(axis @ axis)
    factor = jnp.where(angle < 1e-8, 1.0, jnp.sin(angle) / angle)  # here
    return jnp.sum(factor * axis)


@lying(vec(1.0, 0.3), expected={"NAN"}, symptom="nonfinite")
def logit_of_certainty(p):
    """Certain events are masked after the logarithm."""
    information = -jnp.log1p(-p) * (1 - p)
    return jnp.sum(jnp.where(p < 1, information, 0.0))  # here


@lying(vec(2.0, 2.0, 5.0), expected={"NAN"}, symptom="nonfinite")
def principal_axes_of_a_symmetric_top(inertia):
    """Two equal moments: the axes are arbitrary."""
    moments, axes = jnp.linalg.eigh(jnp.diag(inertia))  # here
    return jnp.sum(axes[:, 0] * jnp.array([0.3, 0.2, 0.1])) + moments[2]


@lying(jnp.asarray([[0.2, 0.1], [0.7, 0.4], [0.2, 0.1]]), expected={"NAN", "LIES"}, symptom="nonfinite")
def two_particles_on_one_place(x):
    i, j = np.triu_indices(3, 1)
    return jnp.sum(jnp.exp(-jnp.linalg.norm(x[i] - x[j], axis=1) / 0.5))  # here


@lying(vec(1.0, 0.2), KEY, expected=RANDOM, symptom="bias")
def wolff_cluster_growth(coupling, key):
    """Bonds of an aligned chain freeze at random; the cluster of the first site is measured."""
    frozen = jax.random.uniform(key, (20,)) < 1 - jnp.exp(-2 * coupling[0])  # here
    size = 1 + jnp.sum(jnp.cumprod(frozen))
    return size**2 * coupling[1]


@lying(vec(0.6), KEY, expected=RANDOM, symptom="bias")
def photon_free_path_or_absorption(albedo, key):
    """A photon in a slab: its weight is fine, its survival is drawn."""

    def flight(state, key):
        x, mu, alive = state
        first, second, third = jax.random.split(key, 3)
        x = x + alive * mu * jax.random.exponential(first)
        survives = jax.random.uniform(second) < albedo[0]  # here
        mu = jax.random.uniform(third, minval=-1.0, maxval=1.0)
        return (x, mu, alive * survives), None

    return jax.lax.scan(flight, (0.0, 1.0, 1.0), jax.random.split(key, 10))[0][0] ** 2


@lying(vec(0.3, 0.4), KEY, expected=RANDOM, symptom="bias")
def replica_exchange(beta, key):
    """Pairs of harmonic replicas swap by a Metropolis test between exact draws."""
    first, second = jax.random.split(key)
    x = jax.random.normal(first, (40, 2)) * jnp.array([1.0, 2.0])
    gain = (3 * beta[1] - beta[0]) * (x[:, 1] ** 2 - x[:, 0] ** 2)
    swap = jnp.log(jax.random.uniform(second, (40,))) < gain  # here
    return jnp.mean(jnp.where(swap, x[:, 1], x[:, 0]) ** 2)


@lying(vec(0.5), KEY, expected=NOISY, symptom="bias")
def integrate_and_fire(current, key):
    """Spikes of a noisy membrane with reset."""

    def step(v, z):
        v = v + 0.1 * (2.5 * current[0] - v) + 0.2 * z
        spike = v > 1.0  # here
        return jnp.where(spike, 0.0, v), spike

    return jnp.sum(jax.lax.scan(step, 0.0, jax.random.normal(key, (60,)))[1]) * 1.0


@lying(vec(1.5), KEY, expected=RANDOM | LOST, symptom="bias")
def claims_within_a_year(rate, key):
    """A Poisson number by counting exponential arrivals."""
    arrival = jnp.cumsum(jax.random.exponential(key, (20,)) / rate[0])
    claims = jnp.sum(arrival < 1.0)  # here
    return jnp.maximum(claims - 1.0, 0.0)


@lying(vec(1.4, 0.3), expected={"BLOWUP"}, symptom="blowup")
def henon_map(theta):
    def step(_, xy):
        return 1 - 0.93 * theta[0] * xy[0] ** 2 + xy[1], 0.9 * theta[1] * xy[0]

    return jax.lax.fori_loop(0, 300, step, (0.1, 0.1))[0]  # here


@lying(vec(1.01, 0.6), expected={"JUMP"}, symptom="jump")
def phase_transition_enthalpy(theta):
    """Latent heat appears at the melting point; written as two polynomials."""
    t = theta[0]
    solid, liquid = 2.0 * t, 3.0 * t + theta[1]
    return jnp.where(t > 1.0, liquid, solid)  # here


@lying(0.4, expected=LOST, symptom="untraceable", traces=False)
def adaptive_step_in_python(rate):
    """A host loop that halves its step until the error is small."""
    h = 1.0
    while abs(jnp.exp(-rate * h) - (1 - rate * h)) > 0.01:  # here
        h = h / 2
    return (1 - rate * h) ** 2
