"""The verdict says what is wrong, with its number, and is silent when nothing is."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pliant
from pliant import dynamics, estimators, observables, potentials
from pliant.core.estimate import mean_and_error
from pliant.core.verdict import Evidence, judge


def evidence(influence: np.ndarray, **changes: Any) -> Evidence:
    influence = influence.reshape(len(influence), -1)
    given: dict[str, Any] = {
        "influence": influence,
        "names": [f"p{i}" for i in range(influence.shape[1])],
        "value": np.ones(influence.shape[1]) if not np.isfinite(influence).all() else influence.mean(axis=0),
        "standard_error": mean_and_error(influence)[1],
        "observable": np.zeros(len(influence)),
        "unfinished": None, "halves": {}, "findings": [], "notes": [], **changes,
    }  # fmt: skip
    return Evidence(**given)


RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def _the_same_numbers_in_any_order() -> None:
    RNG.bit_generator.state = np.random.default_rng(7).bit_generator.state


def test_a_clean_gradient_is_trusted() -> None:
    verdict = judge(evidence(RNG.normal(1.0, 1.0, 1000)))
    assert verdict.level == "trusted" and verdict.trusted and verdict.reasons == []


def test_an_imprecise_gradient_says_how_many_replicas_would_do() -> None:
    sample = RNG.normal(0.1, 1.0, 400)
    sample += 0.1 - sample.mean()
    verdict = judge(evidence(sample))
    assert verdict.level == "imprecise" and not verdict.trusted
    # 1.96 s / sqrt(R) = 0.05 at R = (1.96 / 0.05)^2 s^2.
    wanted = (1.96 * sample.std(ddof=1) / 0.05) ** 2
    told = int(verdict.reasons[0].split("about ")[1].split(" replicas")[0].replace(",", ""))
    assert wanted <= told <= 1.1 * wanted


@pytest.mark.parametrize(
    ("shape", "limit", "word"), [(0.6, 0.5, "variance may be infinite"), (1.2, 0.7, "mean is dominated")]
)
def test_heavy_tails(shape: float, limit: float, word: str) -> None:
    sample = 1.0 + (RNG.uniform(size=200_000) ** -shape - 1.0) / shape
    verdict = judge(evidence(sample))
    assert verdict.level == "untrusted"
    assert f">= {limit}" in verdict.reasons[0] and word in verdict.reasons[0]


def test_many_light_components_raise_no_false_alarm() -> None:
    alarms = sum(not judge(evidence(1.0 + RNG.normal(size=(400, 60)))).trusted for _ in range(40))
    assert alarms <= 1


def test_not_finite() -> None:
    sample = np.ones(100)
    sample[3] = np.inf
    verdict = judge(evidence(sample))
    assert verdict.level == "untrusted" and verdict.reasons[0].startswith("1 of 100 replicas gave NaN or infinite")


def test_one_replica_has_no_error_bar() -> None:
    verdict = judge(evidence(np.ones(1), standard_error=np.array([np.nan])))
    assert verdict.level == "untrusted" and "1 replica has no error bar" in verdict.reasons[0]
    exact = judge(evidence(np.ones(1), standard_error=np.array([0.0]), exact=True))
    assert exact.trusted


def test_a_chain_too_short_for_its_batches() -> None:
    steps = np.cumsum(RNG.normal(size=64)) + 10.0
    verdict = judge(evidence(steps, correlated=True))
    assert "batches are still correlated" in " ".join(verdict.reasons)
    assert judge(evidence(RNG.normal(1.0, 1.0, 64), correlated=True)).trusted


def test_drift_between_halves() -> None:
    first, second = RNG.normal(0.0, 1.0, 500), RNG.normal(0.6, 1.0, 500)
    verdict = judge(evidence(RNG.normal(1.0, 1.0, 500), halves={"the energy": (first, second)}))
    assert "the energy moves by" in verdict.reasons[0] and verdict.level == "untrusted"
    still = judge(evidence(RNG.normal(1.0, 1.0, 500), halves={"the energy": (first, RNG.normal(0.0, 1.0, 500))}))
    assert still.trusted


def test_memory_across_halves() -> None:
    well = RNG.choice([-1.0, 1.0], size=500)
    halves = {"x": (well + 0.1 * RNG.normal(size=500), well + 0.1 * RNG.normal(size=500))}
    verdict = judge(evidence(RNG.normal(1.0, 1.0, 500), halves=halves))
    assert "correlation 0.99" in verdict.reasons[0]


def test_notes_name_what_is_not_resolved_and_what_was_cut_off() -> None:
    sample = np.stack([RNG.normal(1.0, 1.0, 1000), RNG.normal(0.0, 1.0, 1000)], axis=1)
    verdict = judge(evidence(sample, unfinished=np.arange(1000) < 70))
    assert verdict.trusted
    assert any("7.0% of the replicas had not finished" in note for note in verdict.notes)
    assert any("p1" in note and "p0" not in note for note in verdict.notes)


def test_a_skewed_sample_says_that_its_error_bar_is_short() -> None:
    verdict = judge(evidence(RNG.lognormal(sigma=1.5, size=60)))
    assert any("is somewhat short: its replicas have skewness" in note for note in verdict.notes)
    assert not any("skewness" in note for note in judge(evidence(RNG.exponential(size=500))).notes)


def gradient(law: Any, observable: Any, estimator: Any, **options: Any) -> pliant.GradientEstimate:
    given = {"horizon": 100, "replicas": 256, "key": jax.random.key(0), "wrt": lambda law: law.potential, **options}
    return pliant.gradient(law, observable, estimator, **given)


def square(state: Any) -> jax.Array:
    return jnp.sum(state.position**2)


def test_a_time_step_past_the_stability_limit_is_named() -> None:
    law = dynamics.VelocityVerlet(potentials.Harmonic(jnp.array(100.0)), x0=jnp.ones(1), dt=0.21)
    reasons = gradient(law, observables.Final(square), estimators.ForwardSensitivity(), horizon=10).verdict.reasons
    assert any("dt = 0.21 is past the stability limit 2 / highest frequency = 0.2" in reason for reason in reasons)
    stable = dynamics.VelocityVerlet(potentials.Harmonic(jnp.array(100.0)), x0=jnp.ones(1), dt=0.19)
    reasons = gradient(stable, observables.Final(square), estimators.ForwardSensitivity(), horizon=10).verdict.reasons
    assert not any("stability" in reason for reason in reasons)


def test_an_overflow_is_untrusted_and_no_error() -> None:
    law = dynamics.OverdampedLangevin(potentials.DoubleWell(), x0=10 * jnp.ones(1), dt=0.1)
    verdict = gradient(law, observables.Final(square), estimators.BPTT()).verdict
    assert verdict.level == "untrusted" and "NaN or infinite" in " ".join(verdict.reasons)


@pytest.mark.parametrize("estimator", [estimators.BPTT(), estimators.ForwardSensitivity()])
def test_a_jump_under_a_pathwise_estimator(estimator: Any) -> None:
    law = dynamics.OverdampedLangevin(potentials.Harmonic(jnp.array(1.0)), x0=jnp.zeros(1), dt=0.05)
    right = observables.TimeAverage(lambda state: jnp.where(state.position[0] > 0.2, 1.0, 0.0))
    verdict = gradient(law, right, estimator).verdict
    assert any("jumps by about 1 between neighbouring states" in reason for reason in verdict.reasons)
    kink = observables.TimeAverage(lambda state: jnp.maximum(state.position[0] - 0.2, 0.0))
    assert not any("jump" in reason for reason in gradient(law, kink, estimator).verdict.reasons)


def test_a_jump_does_no_harm_to_girsanov() -> None:
    law = dynamics.OverdampedLangevin(potentials.Harmonic(jnp.array(1.0)), x0=jnp.zeros(1), dt=0.05)
    right = observables.Final(lambda state: jnp.where(state.position[0] > 0.2, 1.0, 0.0))
    verdict = gradient(law, right, estimators.Girsanov(), replicas=4096).verdict
    assert not any("jump" in reason for reason in verdict.reasons)


def test_a_passage_time_jumps_by_nature() -> None:
    law = dynamics.OverdampedLangevin(potentials.Harmonic(jnp.array(1.0)), x0=-jnp.ones(1), dt=0.05)
    verdict = gradient(law, observables.FirstPassageTime(), estimators.BPTT()).verdict
    assert any("the observable is discontinuous" in reason for reason in verdict.reasons)


def test_a_chain_that_has_not_reached_its_stationary_state() -> None:
    law = dynamics.OverdampedLangevin(potentials.Harmonic(jnp.array(1.0)), x0=5 * jnp.ones(1), dt=0.01)
    verdict = gradient(law, observables.TimeAverage(square), estimators.Reweighting()).verdict
    assert verdict.level == "untrusted" and any("has not mixed" in reason for reason in verdict.reasons)


def test_the_double_well_of_the_readme() -> None:
    law = dynamics.OverdampedLangevin(potentials.DoubleWell(), x0=jnp.zeros(1), dt=0.01)
    observable = observables.TimeAverage(square, burn_in=500)
    verdict = gradient(law, observable, estimators.BPTT(), horizon=2000, replicas=1024).verdict
    assert verdict.level == "untrusted" and "tail index" in verdict.reasons[0]


class Collision(pliant.Evolve):
    """A particle that is thrown back and forth at a wall: its step jumps, and does not say so."""

    wall: jax.Array
    noise = pliant.Normal((1,))

    def init(self, key: Any) -> jax.Array:
        return jnp.zeros(1)

    def step(self, state: jax.Array, noise: jax.Array, t: Any) -> jax.Array:
        moved = state + 0.3 * noise
        return 0.9 * jnp.where(moved > self.wall, moved - 1.0, moved + 1.0)


class Coin(pliant.Evolve):
    """A step to the right with a probability that is a parameter: the state plays no part in the jump."""

    p: jax.Array
    noise = pliant.Uniform((1,))

    def init(self, key: Any) -> jax.Array:
        return jnp.zeros(1)

    def step(self, state: jax.Array, noise: jax.Array, t: Any) -> jax.Array:
        return state + jnp.where(noise < self.p, 1.0, -1.0)


@pytest.mark.parametrize("law", [Collision(jnp.array(0.1)), Coin(jnp.array(0.5))])
def test_a_jump_in_the_step_under_a_pathwise_estimator(law: Any) -> None:
    last = observables.Final(lambda state: jnp.sum(state))
    verdict = gradient(law, last, estimators.ForwardSensitivity(), wrt=None).verdict
    assert verdict.level == "untrusted" and any("the law's step is discontinuous" in why for why in verdict.reasons)
    verdict = gradient(law, last, estimators.FiniteDifference(), wrt=None).verdict
    assert not any("discontinuous" in why for why in verdict.reasons)


@pytest.mark.parametrize("kind", [dynamics.OverdampedLangevin, dynamics.BAOAB, dynamics.VelocityVerlet])
def test_smooth_steps_raise_no_false_alarm(kind: Any) -> None:
    """Also where particles collide on the way between two visited states."""
    cluster = potentials.LennardJones()
    law = kind(cluster, x0=cluster.example_position, dt=0.001, kT=0.1)
    verdict = gradient(law, observables.Final(square), estimators.ForwardSensitivity(), horizon=64, replicas=8).verdict
    assert not any("discontinuous" in why for why in verdict.reasons)
