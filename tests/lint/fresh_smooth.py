"""Thirty further honest programs, for a score on first contact: no rule may be tuned to them."""

import jax
import jax.numpy as jnp
import numpy as np
from battery import Case, collect, vec

CASES: list[Case] = []
smooth = collect(CASES)
RNG = np.random.default_rng(22)


@smooth(vec(1.1, 0.7, 0.4), jnp.linspace(0.5, 4.0, 9))
def antoine_flash(theta, feed):
    """Rachford-Rice vapour fraction by ten Newton steps."""
    volatility = jnp.exp(theta - 0.3 * jnp.arange(3.0))
    z = feed[:3] / feed[:3].sum()
    balance = lambda v: jnp.sum(z * (volatility - 1) / (1 + v * (volatility - 1)))
    newton = lambda _, v: v - balance(v) / jax.grad(balance)(v)
    return jax.lax.fori_loop(0, 10, newton, 0.5)


@smooth(vec(1.0, 0.2, 0.3, 1.5, 0.1, 2.2))
def lyapunov_equation(flat):
    """A steady covariance by a Kronecker solve."""
    a = -jnp.array([[flat[0], flat[1]], [flat[2], flat[3]]])
    q = jnp.diag(flat[4:])
    operator = jnp.kron(a, jnp.eye(2)) + jnp.kron(jnp.eye(2), a)
    return jnp.linalg.solve(operator, -q.reshape(-1))


@smooth(vec(0.8, 1.2), jnp.asarray(RNG.normal(size=(4, 4))))
def riccati_iteration(theta, a):
    """A control cost after thirty backward sweeps."""
    a, b = 0.3 * a, jnp.array([1.0, 0.0, 0.5, -0.5])

    def sweep(p, _):
        gain = (b @ p @ a) / (theta[0] + b @ p @ b)
        return theta[1] * jnp.eye(4) + a.T @ p @ (a - jnp.outer(b, gain)), None

    return jnp.trace(jax.lax.scan(sweep, jnp.eye(4), None, length=30)[0])


@smooth(vec(0.5, 1.3, 0.9), jnp.asarray(RNG.integers(0, 5, 20)), jnp.asarray(RNG.integers(0, 5, 20)))
def graph_convolution(theta, senders, receivers):
    """Messages summed along the edges of a given graph."""
    h = jnp.sin(jnp.arange(5.0))[:, None] * theta
    message = jnp.tanh(h[senders] + h[receivers])
    degree = jnp.zeros(5).at[receivers].add(1.0)
    pooled = jnp.zeros((5, 3)).at[receivers].add(message) / (1 + degree)[:, None]
    return pooled.mean(0)


@smooth(vec(2.0, 0.3, 1.0), jnp.arange(1, 7))
def rotational_partition_function(theta, j):
    """Heat capacity as a second derivative of a log partition function."""
    log_z = lambda beta: jax.nn.logsumexp(jnp.log(2.0 * j + 1) - beta * theta[1] * j * (j + 1))
    return theta[0] ** -2 * jax.grad(jax.grad(log_z))(1 / theta[0]) * theta[2]


@smooth(vec(0.7, 0.2))
def lane_emden(theta):
    """A stellar structure equation from a series start, midpoint rule."""

    def step(state, _):
        x, y, dy = state
        slope = lambda x, y, dy: (dy, -2 * dy / x - y ** (1 + theta[0]))
        a, b = slope(x, y, dy)
        a, b = slope(x + 0.025, y + 0.025 * a, dy + 0.025 * b)
        return (x + 0.05, y + 0.05 * a, dy + 0.05 * b), None

    x = 0.1 + theta[1]
    return jax.lax.scan(step, (x, 1 - x**2 / 6, -x / 3), None, length=30)[0][1]


@smooth(vec(0.3, 0.5, 1.0), jnp.asarray(RNG.normal(size=(12, 3))))
def rotated_point_cloud(axis, points):
    """Rodrigues' rotation by a vector, compared with a rigid target."""
    angle = jnp.linalg.norm(axis)
    k = axis / angle
    cross = jnp.array([[0.0, -k[2], k[1]], [k[2], 0.0, -k[0]], [-k[1], k[0], 0.0]])
    rotation = jnp.eye(3) + jnp.sin(angle) * cross + (1 - jnp.cos(angle)) * cross @ cross
    return jnp.mean(jnp.sum((points @ rotation.T - points[:, ::-1]) ** 2, -1))


@smooth(vec(1.5, 0.9, 0.6), jnp.asarray([3.0, 1.0, 2.0, 5.0, 4.0]))
def proportional_hazards(beta, times):
    """A partial likelihood: the order is that of the data."""
    x = jnp.outer(jnp.cos(jnp.arange(5.0)), jnp.array([1.0, 0.5, -0.2]))
    order = jnp.argsort(-times)
    eta = (x @ beta)[order]
    return jnp.sum(eta - jax.lax.cumlogsumexp(eta))


@smooth(vec(0.9, 0.4, 1.3))
def transfer_matrix_ising(theta):
    """Magnetisation of a chain by differentiating the greatest eigenvalue."""
    coupling, field, temperature = theta

    def log_lambda(h):
        up, down = jnp.exp((coupling + h) / temperature), jnp.exp((coupling - h) / temperature)
        off = jnp.exp(-coupling / temperature)
        return temperature * jnp.log(jnp.linalg.eigvalsh(jnp.array([[up, off], [off, down]]))[-1])

    return jax.grad(log_lambda)(field)


@smooth(vec(1.45, 0.21, 0.55))
def thin_film_reflectance(theta):
    """Complex characteristic matrices of four layers."""
    index, thickness, wavelength = theta

    def layer(n):
        delta = 2 * jnp.pi * n * thickness / wavelength
        return jnp.array([[jnp.cos(delta), 1j * jnp.sin(delta) / n], [1j * n * jnp.sin(delta), jnp.cos(delta)]])

    stack = layer(index) @ layer(2.3) @ layer(index + 0.1) @ layer(2.3)
    b, c = stack @ jnp.array([1.0, 1.52])
    return jnp.abs((b - c) / (b + c)) ** 2


@smooth(vec(0.5, 1.2, 0.8), jnp.asarray(RNG.normal(size=(6, 2))), jnp.asarray(RNG.normal(size=(5, 2))))
def sinkhorn_transport(theta, x, y):
    """Entropic transport cost after a fixed number of balancing sweeps."""
    cost = jnp.sum((theta[0] * x[:, None] - theta[1] * y[None]) ** 2, -1)

    def sweep(_, fg):
        f, g = fg
        f = -theta[2] * jax.nn.logsumexp((g[None] - cost) / theta[2] - jnp.log(5.0), axis=1)
        return f, -theta[2] * jax.nn.logsumexp((f[:, None] - cost) / theta[2] - jnp.log(6.0), axis=0)

    f, g = jax.lax.fori_loop(0, 15, sweep, (jnp.zeros(6), jnp.zeros(5)))
    return f.mean() + g.mean()


@smooth(vec(0.3, 0.1, 0.9), jnp.asarray(RNG.normal(size=40)))
def garch_likelihood(theta, returns):
    def day(h, r):
        h = 0.1 * theta[0] + theta[1] * r**2 + 0.8 * theta[2] * h
        return h, -0.5 * (jnp.log(h) + r**2 / h)

    return jnp.sum(jax.lax.scan(day, 1.0, returns)[1])


@smooth(jnp.asarray(RNG.normal(size=6)), jnp.asarray(RNG.normal(size=(7, 3))))
def coupling_flow_density(flat, x):
    """Two affine couplings with a change of variables."""
    logdet = jnp.zeros(7)
    for w in flat.reshape(2, 3):
        s = jnp.tanh(x[:, 0] * w[0] + w[1])
        x = jnp.stack([x[:, 1] * jnp.exp(s) + w[2], x[:, 2], x[:, 0]], axis=1)
        logdet = logdet + s
    return jnp.mean(logdet + jax.scipy.stats.norm.logpdf(x).sum(1))


@smooth(vec(1.0, 0.5), jnp.asarray(RNG.normal(size=(2, 25))))
def stochastic_volatility_euler(theta, noise):
    """A square-root-free volatility in log space with correlated noise."""

    def step(state, z):
        log_s, v = state
        v = v + 0.04 * theta[0] * (-1.0 - v) + 0.2 * theta[1] * z[0]
        return (log_s - 0.02 * jnp.exp(v) + 0.2 * jnp.exp(v / 2) * z[1], v), None

    return jnp.exp(jax.lax.scan(step, (0.0, -1.0), noise.T)[0][0])


@smooth(vec(0.6, 1.4, 0.25), 4)
def associated_legendre_recurrence(theta, degree):
    """A field of multipoles by an upward recurrence with a static degree."""
    x = jnp.cos(theta[0])
    p = [jnp.ones(()), x]
    for n in range(1, degree):
        p.append(((2 * n + 1) * x * p[n] - n * p[n - 1]) / (n + 1))
    return sum(theta[2] ** n * value / theta[1] ** (n + 1) for n, value in enumerate(p))


@smooth(vec(1.2, 3.4, 0.7), jnp.asarray([[True, False, True], [True, True, True]]))
def masked_attention_pool(theta, valid):
    """Padding is masked with minus infinity in the scores and zero in the mean."""
    score = jnp.where(valid, theta * jnp.array([[1.0, 0.2, -0.4], [0.3, 0.9, 0.1]]), -jnp.inf)
    weight = jax.nn.softmax(score, axis=1)
    return jnp.sum(weight * jnp.log(theta), axis=1)


@smooth(vec(2.2, 0.8, 0.4), jnp.asarray(RNG.uniform(0.1, 0.9, 10)))
def beta_binomial_regression(theta, x):
    from jax.scipy.special import betaln

    a = jax.nn.softplus(theta[0] + theta[1] * x)
    b = jnp.exp(theta[2] * x)
    k = jnp.round(10 * x)
    return jnp.sum(betaln(k + a, 10 - k + b) - betaln(a, b))


@smooth(vec(0.15, 1.8), jnp.linspace(-3.0, 3.0, 24, endpoint=False))
def split_step_schroedinger(theta, x):
    """Spreading of a packet in an anharmonic well: spectral, complex, in a scan."""
    k = 2 * jnp.pi * jnp.fft.fftfreq(24, 0.25)
    half = jnp.exp(-0.5j * 0.05 * (0.5 * theta[1] * x**2 + theta[0] * x**4))
    psi = jnp.exp(-(x**2) + 0.5j * x)

    def step(psi, _):
        return half * jnp.fft.ifft(jnp.exp(-0.025j * k**2) * jnp.fft.fft(half * psi)), None

    psi = jax.lax.scan(step, psi, None, length=20)[0]
    return jnp.sum(x**2 * jnp.abs(psi) ** 2) / jnp.sum(jnp.abs(psi) ** 2)


@smooth(vec(1.3, 0.6, 2.1))
def tridiagonal_by_thomas(theta):
    """Forward elimination and back substitution as two scans."""
    lower, diagonal, upper = -theta[0] * jnp.ones(8), (4 + theta[2]) * jnp.ones(8), -theta[1] * jnp.ones(8)

    def forward(cd, row):
        a, b, c = row
        pivot = b - a * cd[0]
        cd = (c / pivot, (1.0 - a * cd[1]) / pivot)
        return cd, cd

    _, (c, d) = jax.lax.scan(forward, (0.0, 0.0), (lower, diagonal, upper))
    back = lambda x, cd: (cd[1] - cd[0] * x,) * 2
    return jax.lax.scan(back, 0.0, (c, d), reverse=True)[1][:2]


@smooth(vec(0.9, 0.3), jnp.asarray([1.0, -1.0, 1.0, 1.0, -1.0]))
def symplectic_spin_chain(theta, start):
    """Classical rotors; energies are compared by a ratio, angles never wrapped."""
    energy = lambda a: -theta[0] * jnp.sum(jnp.cos(a - jnp.roll(a, 1))) - theta[1] * jnp.sum(jnp.sin(a) ** 2)

    def step(_, ap):
        a, p = ap
        p = p - 0.05 * jax.grad(energy)(a)
        return a + 0.05 * p, p

    a, p = jax.lax.fori_loop(0, 40, step, (0.3 * start, jnp.zeros(5)))
    return 0.5 * jnp.sum(p**2) / jnp.abs(energy(a))


@smooth(vec(1.6, 0.5, 0.2), jnp.asarray(RNG.normal(size=(9, 2))))
def jackknife_of_a_ratio(theta, data):
    """Statistics leaving one out, vmapped over masks."""
    value = jnp.exp(theta[1] * data[:, 0]) * theta[0] + theta[2]
    weight = 1 + data[:, 1] ** 2
    ratio = lambda mask: jnp.sum(mask * weight * value) / jnp.sum(mask * weight)
    leave_out = jax.vmap(ratio)(1 - jnp.eye(9))
    return 8 / 9 * jnp.sum((leave_out - leave_out.mean()) ** 2)


@smooth(vec(3.0, 1.1), jnp.asarray(2.0))
def switch_chosen_by_data(theta, mode):
    """The kind of kernel is an integer made from data."""
    kernels = [
        lambda r: jnp.exp(-r),
        lambda r: 1 / (1 + r**2),
        lambda r: (1 + jnp.sqrt(3.0) * r) * jnp.exp(-jnp.sqrt(3.0) * r),
    ]
    return jax.lax.switch(mode.astype(int), kernels, theta[0] / theta[1])


@smooth(vec(0.2, 0.7, 0.5, 0.4), jnp.asarray(RNG.integers(0, 2, (6, 4))))
def restricted_boltzmann_free_energy(flat, visible):
    hidden = visible @ jnp.outer(flat, jnp.array([1.0, -0.5, 0.3])) + 0.1
    return -jnp.mean(visible @ flat + jnp.sum(jnp.logaddexp(hidden, 0.0), axis=1))


@smooth(vec(0.8, 0.35), 11)
def logistic_and_gumbel_draws(theta, seed):
    """Relaxed Bernoulli and categorical draws at a finite temperature."""
    first, second = jax.random.split(jax.random.key(seed))
    gate = jax.nn.sigmoid((jax.random.logistic(first, (30,)) + theta[0]) / 0.5)
    pick = jax.nn.softmax((jax.random.gumbel(second, (30, 3)) + theta[1] * jnp.arange(3.0)) / 0.7, axis=1)
    return jnp.mean(gate * (pick @ jnp.array([1.0, 4.0, 9.0])))


@smooth(vec(0.4, 1.9), 12)
def truncated_and_heavy_tailed_draws(theta, seed):
    """Location and scale of truncated normal, Cauchy and Laplace noise."""
    a, b, c = jax.random.split(jax.random.key(seed), 3)
    total = jax.random.truncated_normal(a, -2.0, 2.0, (20,)) + jnp.arctan(theta[1] * jax.random.cauchy(b, (20,)))
    return jnp.mean(jnp.sin(theta[0] + theta[1] * total) + theta[0] * jax.random.laplace(c, (20,)))


@smooth(vec(1.0, 2.0), 13)
def shuffled_minibatch_training(theta, seed):
    """Indices are permuted by the key alone; momentum steps follow."""
    x = jnp.linspace(-1.0, 1.0, 12)
    batches = jax.random.permutation(jax.random.key(seed), 12).reshape(4, 3)
    loss = lambda w, i: jnp.mean((w[0] * jnp.sin(w[1] * x[i]) - x[i] ** 3) ** 2)

    def step(wv, i):
        w, v = wv
        v = 0.9 * v - 0.05 * jax.grad(loss)(w, i)
        return (w + v, v), None

    return jax.lax.scan(step, (theta, jnp.zeros(2)), batches)[0][0]


@smooth(vec(5.0, 0.5, 1.0))
def smooth_tank_overflow(theta):
    """A level limiter written with softplus, a saturation with tanh."""

    def hour(level, t):
        inflow = theta[0] * (1 + jnp.sin(0.5 * t))
        spill = jax.nn.softplus(4 * (level - 10.0)) / 4
        return level + 0.1 * (inflow - theta[1] * level - theta[2] * spill), spill

    level, spill = jax.lax.scan(hour, 3.0, jnp.arange(30.0))
    return jnp.array([level, 5 * jnp.tanh(spill.sum() / 5)])


@smooth(vec(0.3, 0.6, 1.1), jnp.asarray(RNG.normal(size=(3, 5))))
def orthogonalised_projection(theta, basis):
    """The length of a vector's shadow on a subspace, by a polar-free normal equation."""
    frame = basis * (1 + 0.2 * theta[:, None])
    v = jnp.concatenate([theta, theta[:2] ** 2])
    shadow = frame.T @ jnp.linalg.solve(frame @ frame.T, frame @ v)
    return jnp.linalg.norm(shadow) / jnp.linalg.norm(v)


@smooth(vec(2.5, 1.2))
def bessel_waveguide(theta):
    """A Bessel function by its integral, a tail by a continued fraction of fixed depth."""
    tau = (jnp.arange(32) + 0.5) * jnp.pi / 32
    j1 = jnp.mean(jnp.cos(tau - theta[0] * jnp.sin(tau)))
    fraction = jax.lax.fori_loop(0, 30, lambda i, f: (30 - i) / (theta[1] + f), 0.0)
    return j1 / (theta[1] + fraction)


@smooth(vec(0.7, 1.5), jnp.asarray([0.2, 0.9, 1.4, 2.2]), jnp.asarray([1.0, 0.6, 0.9, 0.1]))
def rational_and_monotone_table(theta, t, y):
    """Barycentric interpolation between nodes that the argument cannot reach."""
    node_weight = jnp.array([1.0, -3.0, 3.0, -1.0]) * theta[1]
    kernel = node_weight / (theta[0] * 0.8 - t)
    return jnp.sum(kernel * y) / jnp.sum(kernel)
