"""The generalised Langevin equation: its exact thermostat, its moments and memory, path scores, and every gradient."""

from decimal import Decimal, getcontext
from typing import Any
from unittest import mock

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_checks import REPEATS, check, covers, gathered, name, run, within
from scipy.linalg import expm

import pliant
from pliant.dynamics import GeneralizedLangevin, Langevin
from pliant.dynamics import generalized_langevin as module
from pliant.dynamics._propagator import propagator, propagator_and_noise
from pliant.estimators import BPTT, Adjoint, ForwardSensitivity, Girsanov, Reweighting, ScoreFunction
from pliant.observables import Final, PathFunctional, TimeAverage
from pliant.potentials import DoubleWell, DrivenTrap, Harmonic
from pliant.systems._affine import Affine
from pliant.systems._system import squared_distance

getcontext().prec = 120
EXPONENTIAL = np.array([[0.0, 1.3], [-1.3, 0.8]])
# Two auxiliary velocities, the second coupled through the first; A + A^T = diag(0.2, 0.6, 1.0) is not isotropic.
CHAIN = np.array([[0.1, 1.3, 0.0], [-1.3, 0.3, -2.0], [0.0, 2.0, 0.5]])


# The thermostat.


def decimals(matrix: np.ndarray) -> np.ndarray:
    return np.array([[Decimal(float(x)) for x in row] for row in matrix])


def exact_transition(matrix: np.ndarray, time: float) -> tuple[np.ndarray, np.ndarray]:
    """T and S with 120 digits, by Taylor series and the plain difference 1 - T T^T."""
    unit = decimals(np.eye(len(matrix)))
    step, term, total = -decimals(matrix) * Decimal(time) / Decimal(2**20), unit, unit
    for order in range(1, 25):
        term = term.dot(step) / Decimal(order)
        total = total + term
    for _ in range(20):
        total = total.dot(total)
    return total.astype(float), cholesky(unit - total.dot(total.T))


def cholesky(matrix: np.ndarray) -> np.ndarray:
    factor = decimals(np.zeros(matrix.shape))
    for i in range(len(matrix)):
        for j in range(i + 1):
            left = matrix[i, j] - sum((factor[i, k] * factor[j, k] for k in range(j)), Decimal(0))
            factor[i, j] = left.sqrt() if i == j else left / factor[j, j]
    return factor.astype(float)


@pytest.mark.parametrize("matrix", [EXPONENTIAL, CHAIN])
@pytest.mark.parametrize("time", [1e-4, 0.01, 0.3, 5.0])
def test_the_thermostat_to_round_off(matrix: np.ndarray, time: float) -> None:
    """Every element to relative precision: the plain difference has lost all digits of S_vv at a step of 1e-4."""
    damping, factor = propagator_and_noise(jnp.asarray(matrix), time)
    exact_damping, exact_factor = exact_transition(matrix, time)
    np.testing.assert_allclose(damping, exact_damping, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(factor, exact_factor, rtol=1e-11)
    np.testing.assert_allclose(propagator(jnp.asarray(matrix), -time) @ damping, np.eye(len(matrix)), atol=1e-11)


def test_derivatives_of_the_thermostat_in_both_modes() -> None:
    def of(x: Any) -> Any:
        return jnp.stack(propagator_and_noise(jnp.asarray(EXPONENTIAL) * x[0], x[1]))

    at, h = jnp.array([1.1, 0.4]), 1e-5
    slope = jax.jacfwd(of)(at)
    np.testing.assert_allclose(jax.jacrev(of)(at), slope, rtol=1e-10, atol=1e-14)
    for i, unit in enumerate(jnp.eye(2)):
        difference = (of(at + h * unit) - of(at - h * unit)) / (2 * h)
        np.testing.assert_allclose(slope[..., i], difference, rtol=1e-7, atol=1e-9)


# One step.


def law(splitting: str = "OBABO", potential: Any = None, **settings: Any) -> GeneralizedLangevin:
    given = dict(x0=jnp.array([0.3, -0.7]), dt=0.1, kT=0.7, friction=0.8, tau=0.5, mass=1.5) | settings
    return GeneralizedLangevin(DoubleWell() if potential is None else potential, splitting=splitting, **given)


@pytest.mark.parametrize("matrix", [None, CHAIN], ids=["exponential", "chain"])
@pytest.mark.parametrize("splitting", ["BAOAB", "OBABO", "ABOBA", "BAOA"])
def test_unstep_undoes_step(splitting: str, matrix: Any) -> None:
    moving = law(splitting, drift_matrix=matrix, mass=jnp.array([1.0, 3.0]))
    noise = jax.random.normal(jax.random.key(1), moving.noise.shape)
    state = moving.init(jax.random.key(0))
    back = moving.unstep(moving.step(state, noise, 3), noise, 3)
    for found, expected in zip(jax.tree.leaves(back), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("splitting", ["BAOAB", "OBABO", "ABOBA"])
def test_without_auxiliary_velocities_it_is_langevin(splitting: str) -> None:
    settings = dict(x0=jnp.array([0.3]), v0=jnp.array([0.4]), dt=0.1, kT=0.7, mass=1.5, splitting=splitting)
    memoryless = GeneralizedLangevin(DoubleWell(), drift_matrix=jnp.array([[0.8]]), **settings)
    plain = Langevin(DoubleWell(), friction=0.8, **settings)
    noise = jax.random.normal(jax.random.key(1), plain.noise.shape)
    a = memoryless.step(memoryless.init(jax.random.key(0)), noise[:, None], 0)
    b = plain.step(plain.init(jax.random.key(0)), noise, 0)
    np.testing.assert_allclose([a.position, a.velocity], [b.position, b.velocity], rtol=1e-13)


def test_a_prepared_law_takes_the_same_steps() -> None:
    moving = law("BAOAB")
    noise, state = jax.random.normal(jax.random.key(1), moving.noise.shape), moving.init(jax.random.key(0))
    for found, expected in zip(
        jax.tree.leaves(moving.prepared().step(state, noise, 0)), jax.tree.leaves(moving.step(state, noise, 0)), strict=True
    ):  # fmt: skip
        np.testing.assert_array_equal(found, expected)


# Exact moments: an independent recursion in z = (x, v, s), thermostat by scipy.


def affine(letters: str, *, k: float, dt: float, kT: float, mass: float, matrix: np.ndarray, x0: float = 0.0) -> Affine:
    size = 1 + len(matrix)
    total, columns = np.eye(size), np.zeros((size, 0))
    for letter in letters:
        h, move, noise = dt / letters.count(letter), np.eye(size), np.zeros((size, 0))
        if letter == "A":
            move[0, 1] = h
        elif letter == "B":
            move[1, 0] = -h * k / mass
        else:
            move[1:, 1:] = expm(-h * matrix)
            gained = np.eye(size - 1) - move[1:, 1:] @ move[1:, 1:].T
            noise = np.concatenate([np.zeros((1, size - 1)), np.linalg.cholesky(gained)]) * np.sqrt(kT / mass)
        total, columns = move @ total, np.concatenate([move @ columns, noise], axis=1)
    start = np.diag([0.0] + [kT / mass] * (size - 1))
    return Affine(total, columns, np.array([x0] + [0.0] * (size - 1)), start)


def of(moving: GeneralizedLangevin, **changed: float) -> Affine:
    numbers = {key: float(getattr(moving, key)) for key in ("dt", "kT", "mass", "friction", "tau")}
    numbers |= {"k": float(moving.potential.k), "x0": float(moving.x0[0])} | changed
    g, tau = numbers.pop("friction"), numbers.pop("tau")
    matrix = np.array([[0, np.sqrt(g / tau)], [-np.sqrt(g / tau), 1 / tau]])
    matrix = matrix if moving.drift_matrix is None else np.asarray(moving.drift_matrix)
    return affine(moving.splitting, matrix=matrix, **numbers)


QUARTER = 0.8**2 / 4
MOMENTS = {
    "BAOAB": (1, 1 - QUARTER),
    "ABOBA": (1, 1 / (1 - QUARTER)),
    "OBABO": (1 / (1 - QUARTER), 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("matrix", [EXPONENTIAL, CHAIN], ids=["exponential", "chain"])
@pytest.mark.parametrize("splitting", MOMENTS)
def test_stationary_moments_on_a_harmonic_potential(splitting: str, matrix: np.ndarray) -> None:
    """Those of Langevin with the same word, whatever the memory: kicks and drifts do not know of it."""
    recursion = affine(splitting, k=1.0, dt=0.8, kT=1.0, mass=1.0, matrix=matrix)
    np.testing.assert_allclose(np.diag(recursion.stationary())[:2], MOMENTS[splitting], rtol=1e-9)
    moving = GeneralizedLangevin(Harmonic(), x0=jnp.zeros(8), dt=0.8, drift_matrix=matrix, splitting=splitting)
    estimate = squares(moving)
    error = np.asarray(estimate.standard_error)
    assert np.all(error < 0.1 * QUARTER)
    within(np.asarray(estimate.value), error, np.diag(recursion.stationary()))


def squares(moving: GeneralizedLangevin) -> pliant.Estimate:
    def each(state: Any) -> jax.Array:
        others = jnp.mean(state.auxiliary**2, axis=1)
        return jnp.concatenate([jnp.stack([jnp.mean(state.position**2), jnp.mean(state.velocity**2)]), others])

    average = TimeAverage(each, burn_in=128)
    return pliant.expectation(moving, average, horizon=640, replicas=2000, key=jax.random.key(3), progress=False)


class DirectNoise(GeneralizedLangevin):
    """A mutant: the noise of first order in h alone, h (A + A^T), which the velocity does not feel."""

    def _transition(self) -> Any:
        damping, _ = super()._transition()
        direct = self._thermostat_time * jnp.diagonal(self.matrix + self.matrix.T)
        return damping, jnp.diag(jnp.sqrt(jnp.maximum(direct, 0.0)))


def test_too_little_noise_fails_the_moments() -> None:
    estimate = squares(DirectNoise(Harmonic(), x0=jnp.zeros(8), dt=0.8, drift_matrix=EXPONENTIAL))
    with pytest.raises(AssertionError):
        within(np.asarray(estimate.value)[:1], np.asarray(estimate.standard_error)[:1], np.ones(1))


class Free(pliant.Potential):
    """No force at all."""

    def __call__(self, position: Any) -> Any:
        return 0.0 * jnp.sum(position)


@pytest.mark.parametrize("tau", [0.1, 1.0, 4.0])
def test_free_diffusion_is_that_of_langevin_for_any_memory(tau: float) -> None:
    """D = kT / (m g), the slope of <x^2> over 2 t long after the start, with an error of order h^4 in this scheme."""
    exact = 0.7 / (1.5 * 0.8)
    coarse, fine = (slope_of_spread(0.8, tau, dt) / exact - 1 for dt in (0.1, 0.05))
    assert abs(fine) < 1e-4 and coarse / fine == pytest.approx(16.0, rel=0.1)


def slope_of_spread(g: float, tau: float, dt: float) -> float:
    """D of OBABO from the exact recursion."""
    matrix = np.array([[0, np.sqrt(g / tau)], [-np.sqrt(g / tau), 1 / tau]])
    _, covariances = affine("OBABO", k=0.0, dt=dt, kT=0.7, mass=1.5, matrix=matrix).moments(int(300 / dt))
    return float(covariances[-1, 0, 0] - covariances[-2, 0, 0]) / (2 * dt)


def test_free_diffusion_of_samples() -> None:
    moving = law(x0=jnp.zeros(16), potential=Free(), friction=0.8, tau=1.0)
    matrix = np.array([[0, np.sqrt(0.8)], [-np.sqrt(0.8), 1.0]])
    _, covariances = affine("OBABO", k=0.0, dt=0.1, kT=0.7, mass=1.5, matrix=matrix).moments(300)
    square = Final(lambda state: jnp.mean(state.position**2))
    estimate = pliant.expectation(moving, square, horizon=300, replicas=2000, key=jax.random.key(1), progress=False)
    assert estimate.standard_error < 0.01 * covariances[-1, 0, 0]
    within(np.asarray(estimate.value), np.asarray(estimate.standard_error), covariances[-1, 0, 0])


def test_velocity_autocorrelation_against_its_closed_form() -> None:
    r"""C(t) / C(0) = e^{-t/2tau} (cos w t + sin w t / (2 tau w)), w^2 = g/tau - 1/(4 tau^2)."""
    g, tau, dt, lag = 2.0, 0.5, 0.1, 8
    moving = law(x0=jnp.zeros(64), potential=Free(), friction=g, tau=tau, dt=dt, mass=1.5, kT=0.7)
    products = PathFunctional(lambda states: jnp.mean(states.velocity[:1] * states.velocity, axis=1))
    estimate = pliant.expectation(moving, products, horizon=lag, replicas=20_000, key=jax.random.key(2), progress=False)
    t, w = dt * np.arange(lag + 1), np.sqrt(g / tau - 1 / (4 * tau**2))
    exact = 0.7 / 1.5 * np.exp(-t / (2 * tau)) * (np.cos(w * t) + np.sin(w * t) / (2 * tau * w))
    assert np.ptp(exact) > 200 * np.max(np.asarray(estimate.standard_error))
    within(np.asarray(estimate.value), np.asarray(estimate.standard_error), exact)


def test_the_error_in_dt_is_of_second_order() -> None:
    """d<x^2> / d(h^2) of OBABO at three steps, from the exact recursion: 1/(1 - q/4) - 1 falls by four."""
    errors = [affine("OBABO", k=1.0, dt=h, kT=1.0, mass=1.0, matrix=CHAIN).stationary()[0, 0] - 1 for h in (0.4, 0.2)]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.05)


# Gradients.

PARAMETERS = ("kT", "mass", "friction", "tau")


def clay(splitting: str, dt: float) -> GeneralizedLangevin:
    numbers = {key: jnp.array(value) for key, value in dict(kT=0.8, mass=1.5, friction=0.7, tau=0.6).items()}
    return GeneralizedLangevin(Harmonic(jnp.array(1.3)), x0=jnp.array([1.2]), dt=dt, splitting=splitting, **numbers)


def truth(moving: GeneralizedLangevin, horizon: int) -> tuple[float, list[float]]:
    """The expectation of x_T^2 and its derivatives by k and the law's numbers, by central differences of the recursion."""

    def average(**changed: float) -> float:
        means, covariances = of(moving, **changed).moments(horizon)
        return float(means[-1, 0] ** 2 + covariances[-1, 0, 0])

    def slope(key: str) -> float:
        at, h = float(moving.potential.k if key == "k" else getattr(moving, key)), 1e-4
        points = [average(**{key: at + i * h}) for i in (-2, -1, 1, 2)]
        return float(np.dot([1, -8, 8, -1], points) / (12 * h))

    return average(), [slope(key) for key in ("k", *PARAMETERS)]


def everything(moving: GeneralizedLangevin) -> tuple:
    return moving.potential, *(getattr(moving, key) for key in PARAMETERS)


@pytest.mark.parametrize("splitting", ["BAOAB", "OBABO"])
@pytest.mark.parametrize("estimator", [BPTT(), ForwardSensitivity()], ids=name)
def test_pathwise_in_every_parameter(estimator: Any, splitting: str) -> None:
    moving = clay(splitting, 0.2)
    value, slopes = truth(moving, 12)
    estimate = run(moving, Final(squared_distance), estimator, everything, 12, 40_000)
    check(estimate, slopes, value=value)


@pytest.mark.slow
@pytest.mark.parametrize("key", PARAMETERS)
def test_pathwise_derivatives_at_fixed_noise(key: str) -> None:
    """Of the step itself, against central differences, in a double well."""
    moving = eqx.tree_at(lambda law: law.potential, clay("BAOAB", 0.2), DoubleWell())
    noise = jax.random.normal(jax.random.key(1), (6, *moving.noise.shape))

    def last(value: Any) -> Any:
        changed = eqx.tree_at(lambda law: getattr(law, key), moving, value)
        state = changed.init(jax.random.key(0))
        for t in range(6):
            state = changed.step(state, noise[t], t)
        return jnp.concatenate([state.position, state.velocity, state.auxiliary[0]])

    at, h = getattr(moving, key), 1e-5
    np.testing.assert_allclose(jax.jacrev(last)(at), (last(at + h) - last(at - h)) / (2 * h), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("splitting", ["OBABO", "ABOBA", "BAOAB"])
def test_path_scores(splitting: str) -> None:
    moving = clay(splitting, 0.5)
    value, slopes = truth(moving, 4)
    check(run(moving, Final(squared_distance), Girsanov(), everything, 4, 200_000), slopes, value=value)


def test_path_scores_of_a_whole_drift_matrix() -> None:
    moving = eqx.tree_at(
        lambda law: law.drift_matrix, clay("OBABO", 1.0), jnp.asarray(CHAIN), is_leaf=lambda x: x is None
    )

    def average(matrix: np.ndarray) -> float:
        bent = eqx.tree_at(lambda law: law.drift_matrix, moving, matrix)
        means, covariances = of(bent).moments(4)
        return float(means[-1, 0] ** 2 + covariances[-1, 0, 0])

    slopes = np.array([(average(CHAIN + e) - average(CHAIN - e)) / 2e-5 for e in 1e-5 * np.eye(9).reshape(9, 3, 3)])
    estimate = run(moving, Final(squared_distance), Girsanov(), lambda law: law.drift_matrix, 4, 200_000)
    check(estimate, slopes, value=average(CHAIN))


# The stochastic differential equation behind the scheme.


def test_a_short_step_is_drift_and_diffusion() -> None:
    """What is left of a step beside drift dt + diffusion dW falls as dt^(3/2), by 2^(3/2) for half a step."""
    noise = jax.random.normal(jax.random.key(0), (2, 2, 1))

    def left(dt: float) -> np.ndarray:
        moving = clay("OBABO", dt)
        state = moving.init(jax.random.key(1))
        moved, parts = moving.step(state, noise, 0), (moving.drift(state, 0), moving.diffusion(state, 0))
        shaken = moving.increments(noise)
        every = lambda x: np.concatenate([np.ravel(part) for part in (x.position, x.velocity, x.auxiliary)])
        drift, diffusion = map(every, parts)
        return np.linalg.norm(every(moved) - every(state) - dt * drift - diffusion * every(shaken))

    assert left(1e-4) / left(0.5e-4) == pytest.approx(2**1.5, rel=0.05)


def bias_of_the_continuous_adjoint(kind: type, dt: float) -> np.ndarray:
    """Beside backpropagation on the same noise, after a time of 1.2."""
    moving, horizon = clay("OBABO", dt), round(1.2 / dt)
    moving = kind(moving.potential, **{key: getattr(moving, key) for key in ("x0", "dt", "splitting", *PARAMETERS)})
    found = [
        run(moving, Final(squared_distance), one, everything, horizon, 20_000)
        for one in (Adjoint("continuous"), BPTT())
    ]
    continuous, discrete = (np.array([float(leaf) for leaf in jax.tree.leaves(one.value)]) for one in found)
    return continuous - discrete


class OneNormal(GeneralizedLangevin):
    """A mutant: the second normal alone for the auxiliary velocity, whose noise goes along with the velocity's."""

    def increments(self, noise: Any) -> Any:
        found = super().increments(noise)
        alone = jnp.sqrt(self._thermostat_time) * jnp.sum(noise, axis=0)[1:]
        return eqx.tree_at(lambda state: state.auxiliary, found, alone)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [GeneralizedLangevin, OneNormal], ids=name)
def test_the_continuous_adjoint_is_off_by_second_order(kind: type) -> None:
    coarse, fine = (np.linalg.norm(bias_of_the_continuous_adjoint(kind, dt)) for dt in (0.2, 0.1))
    assert (3.0 < coarse / fine < 6.0) == (kind is GeneralizedLangevin), coarse / fine


def test_a_drift_matrix_has_no_diagonal_diffusion() -> None:
    moving = law(x0=jnp.ones(1), drift_matrix=jnp.asarray(CHAIN))
    with pytest.raises(pliant.CapabilityError, match="`HasDrift`.*A \\+ A\\^T.*give friction and tau"):
        run(moving, Final(squared_distance), Adjoint("continuous"), lambda law: law.x0, 4, 10)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [Girsanov(), ScoreFunction("optimal")], ids=name)
def test_coverage_of_path_scores(estimator: Any, capsys: Any) -> None:
    moving = clay("OBABO", 0.5)
    found = gathered(moving, Final(squared_distance), estimator, everything, 2, REPEATS * 2048)
    covers(capsys, f"{name(estimator)}, generalised Langevin", found, truth(moving, 2)[1], 2048, everything)


class Undetached(GeneralizedLangevin):
    """A mutant: the noise counts as free, so that the score vanishes."""

    def path_step(self, memory: Any, state: Any, noise: Any, next_state: Any, t: Any) -> Any:
        with (
            mock.patch.object(module, "stop_gradient", lambda tree: tree),
            mock.patch.object(jax.lax, "stop_gradient", lambda tree: tree),
        ):
            return super().path_step(memory, state, noise, next_state, t)


class Uncorrelated(GeneralizedLangevin):
    """A mutant: the noises of velocity and auxiliary velocity count as independent in the density."""

    def _log_normal(self, change: Any, factor: Any) -> Any:
        return super()._log_normal(change, jnp.diag(jnp.sqrt(jnp.sum(factor**2, axis=1))))


class Started(GeneralizedLangevin):
    """A mutant: the start's density is forgotten."""

    def path_start(self, state: Any) -> Any:
        memory, log_density = super().path_start(state)
        return memory, jax.lax.stop_gradient(log_density)


@pytest.mark.slow
@pytest.mark.parametrize("mutant", [Undetached, Uncorrelated, Started], ids=name)
def test_broken_path_densities_fail(mutant: type) -> None:
    good = clay("OBABO", 0.5)
    value, slopes = truth(good, 4)
    numbers = {key: getattr(good, key) for key in ("x0", "dt", "splitting", *PARAMETERS)}
    estimate = run(mutant(good.potential, **numbers), Final(squared_distance), Girsanov(), everything, 4, 200_000)
    with pytest.raises(AssertionError):
        check(estimate, slopes, value=value)


def test_reweighting_by_the_canonical_density() -> None:
    """BAOAB samples the harmonic density exactly: d<x^2>/dk = -kT/k^2, d<x^2>/dkT = 1/k."""
    moving = clay("BAOAB", 0.4)
    observable = TimeAverage(squared_distance, burn_in=128)
    estimate = run(moving, observable, Reweighting(), lambda law: law.potential, 640, 4000)
    check(estimate, -0.8 / 1.3**2, value=0.8 / 1.3)


# Refusals.


@pytest.mark.parametrize("splitting", ["OABAO", "BABO"])
def test_words_with_a_lone_kick_refuse_path_weights(splitting: str) -> None:
    reason = law(splitting).refusal(pliant.HasPathDensity)
    assert reason is not None and "singular" in reason
    assert law("OBABO").refusal(pliant.HasPathDensity) is None


def test_velocities_have_no_path_density_under_baoab() -> None:
    with pytest.raises(pliant.NotApplicable, match="sees `velocity`"):
        run(clay("BAOAB", 0.1), Final(lambda state: jnp.sum(state.velocity**2)), Girsanov(), everything, 4, 8)


def test_a_driven_potential_has_no_stationary_state() -> None:
    reason = law(potential=DrivenTrap()).refusal(pliant.HasStationaryDensity)
    assert reason is not None and "driven in time" in reason


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.ones((2, 3)), "shape \\(1 \\+ n_aux, 1 \\+ n_aux\\), but it was one of shape \\(2, 3\\)"),
        ([[0.0, 1.0], [-1.0, 0.0]], "positive real parts"),
        (-EXPONENTIAL, "positive real parts"),
        ([[0.1, 3.0], [-0.5, 1.0]], "positive semidefinite"),
        ([[np.nan]], "NaN"),
    ],
)
def test_bad_drift_matrices_are_refused(matrix: Any, words: str) -> None:
    with pytest.raises(ValueError, match=f"Argument `drift_matrix` must .*{words}"):
        law(drift_matrix=matrix)


@pytest.mark.parametrize(("field", "value"), [("tau", 0.0), ("friction", -1.0), ("dt", 0.0), ("kT", -1.0)])
def test_bad_numbers_are_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"Argument `{field}` must be positive"):
        law(**{field: value})


def test_a_memory_far_shorter_than_the_step_is_refused() -> None:
    with pytest.raises(ValueError, match="Lengthen tau"):
        law(tau=1e-5)
