"""A cell measures a real gradient, against a truth that is known in closed form, and what it cost."""

import dataclasses
import itertools
import math
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

import pliant.systems
from pliant.atlas import _programs
from pliant.atlas import cell as measuring
from pliant.atlas._programs import release
from pliant.atlas.cells import Cell
from pliant.atlas.measure import _CompileIntervals, measured
from pliant.observables import TimeAverage
from pliant.potentials import Harmonic

CELL = Cell("spring", "OverdampedLangevin", "Reweighting", dt=0.05, horizon=2000, burn_in=200, replicas=256)
TIMINGS = ("seconds", "compile_seconds")


class SpringSystem:
    """<x^2> in a harmonic well under Euler-Maruyama, whose stationary variance is kT / (k (1 - k dt / 2)).

    Reweighting estimates the derivative for the exact Boltzmann distribution instead, -kT / k^2, from samples of
    nearly that; dt is small enough to tell neither from the other here.
    """

    name = "spring"

    def law(self, dynamics, dt):
        return dynamics(Harmonic(k=jnp.array(2.0)), x0=jnp.zeros(1), dt=dt, kT=1.0)

    def observable(self, burn_in):
        return TimeAverage(lambda state: jnp.sum(state.position**2), burn_in=burn_in)

    def wrt(self, law):
        return law.potential

    def truth(self, law, observable, horizon):
        if horizon < 100:
            return None
        gradient = Harmonic(k=jnp.array(-0.25))
        doubt = Harmonic(k=jnp.array(0.03))
        return SimpleNamespace(
            value=0.5, gradient=gradient, value_error=0.03, gradient_error=doubt, source="by hand", of="discretised"
        )

    def continuum(self, law, observable, horizon):
        exact = Harmonic(k=jnp.array(-0.25))
        return SimpleNamespace(
            value=0.5, gradient=exact, value_error=0.0, gradient_error=0.0, source="kT / k", of="exact stationary"
        )


@pytest.fixture(autouse=True)
def spring(monkeypatch):
    monkeypatch.setattr(pliant.systems, "components", lambda: {"SpringSystem": SpringSystem})


def test_a_gradient_is_held_against_the_truth():
    result = measuring.execute(CELL)
    (component,) = result["components"]
    assert component["parameter"] == "k"
    assert component["truth"] == -0.25 and component["truth_error"] == 0.03
    assert component["value"] == result["value"] and abs(result["value"] + 0.25) < 0.1
    error = math.hypot(result["standard_error"], 0.03)
    assert result["z_score"] == pytest.approx((result["value"] + 0.25) / error)
    assert result["observable"]["truth"] == 0.5 and abs(result["observable"]["z_score"]) < 4
    assert (result["state"], result["truth_source"], result["truth_of"]) == ("done", "by hand", "discretised")
    assert result["verdict"] in ("trusted", "imprecise", "untrusted")


def test_what_solves_for_the_steady_state_is_held_against_that_of_the_continuum():
    result = measuring.execute(dataclasses.replace(CELL, estimator="Implicit", options=(("method", "grid"),)))
    assert result["truth_source"] == "kT / k" and abs(result["z_score"]) < 4
    assert result["standard_error"] < 1e-6


def test_a_cell_is_a_pure_function_of_its_specification_and_compiles_once():
    first, second = measuring.execute(CELL), measuring.execute(CELL)
    assert {k: v for k, v in first.items() if k not in TIMINGS} == {k: v for k, v in second.items() if k not in TIMINGS}
    assert second["compile_seconds"] < 0.2 * first["compile_seconds"] + 0.05
    assert first["bytes_source"] == "xla" and first["bytes"] > 0
    other = measuring.execute(dataclasses.replace(CELL, atlas_seed=1))
    assert other["value"] != first["value"]


@pytest.mark.slow
def test_an_estimator_of_the_equation_has_its_bias_measured_step_by_halved_step():
    options = {"estimator": "Adjoint", "horizon": 200, "burn_in": 0, "replicas": 16}
    continuous = measuring.execute(dataclasses.replace(CELL, **options, options=(("kind", "continuous"),)))
    assert [entry["dt"] for entry in continuous["bias"]] == [0.05, 0.025, 0.0125]
    for coarse, fine in itertools.pairwise(continuous["bias"]):
        # First order; what the second order adds at k dt = 0.1 is a tenth of that.
        assert fine["order"] == pytest.approx(math.log2(coarse["difference"] / fine["difference"]))
        assert abs(fine["order"] - 1) < 0.1 + 3 * (fine["standard_error"] / fine["difference"]) / math.log(2)
    verlet = dataclasses.replace(CELL, **options, dynamics="VelocityVerlet")
    assert measuring.execute(verlet)["bias"] == []


def test_programs_are_let_go_before_the_system_runs_out_of_room(monkeypatch):
    mappings = lambda: Path("/proc/self/maps").read_text().count("\n")
    if not Path("/proc/self/maps").exists():
        pytest.skip("this system does not tell what memory a process has mapped")
    measuring.execute(CELL)
    assert not release(most=10 * mappings())
    held = mappings()
    assert release(most=0) and mappings() < held
    dropped = []
    monkeypatch.setattr(_programs, "release", lambda: dropped.append(True))
    measuring.execute(CELL)
    assert dropped


def test_precision_is_that_of_the_cell_and_stays_in_it():
    before = jax.config.read("jax_enable_x64")
    fine = measuring.execute(CELL)
    coarse = measuring.execute(dataclasses.replace(CELL, precision="float32"))
    assert jax.config.read("jax_enable_x64") == before
    assert coarse["value"] == float(jnp.float32(coarse["value"]))
    assert fine["value"] != float(jnp.float32(fine["value"]))
    assert coarse["bytes"] < fine["bytes"]


def test_options_reach_the_estimator():
    cell = dataclasses.replace(CELL, estimator="FiniteDifference", horizon=200, replicas=32, burn_in=20)
    exact = measuring.execute(dataclasses.replace(cell, options=(("common_random_numbers", True),)))
    independent = measuring.execute(dataclasses.replace(cell, options=(("common_random_numbers", False),)))
    assert independent["standard_error"] > 10 * exact["standard_error"]


def test_what_does_not_apply_says_why():
    result = measuring.execute(dataclasses.replace(CELL, dynamics="VelocityVerlet", estimator="Girsanov"))
    assert result["state"] == "not_applicable"
    assert "Dirac delta" in result["reason"]


def test_without_a_truth_there_is_no_z_score():
    result = measuring.execute(dataclasses.replace(CELL, horizon=50, burn_in=5, replicas=32))
    assert result["truth"] is None and result["z_score"] is None and result["truth_source"] is None
    assert result["observable"]["truth"] is None


@pytest.mark.parametrize(
    ("numbers", "z", "snr"),
    [
        ((1.0, 0.3, 0.5, 0.4), 1.0, 1 / 0.3),
        ((1.0, 0.0, 0.5, 0.0), None, None),
        ((1.0, 0.5, None, None), None, 2.0),
        ((-1.0, 0.5, 0.0, 0.0), -2.0, 2.0),
    ],
)
def test_a_comparison_with_the_truth(numbers, z, snr):
    comparison = measuring.Comparison(*numbers)
    assert comparison.z_score == (None if z is None else pytest.approx(z))
    assert comparison.snr == (None if snr is None else pytest.approx(snr))


def test_a_gradient_that_is_not_finite_has_no_finite_score():
    broken = measuring.Comparison(float("nan"), float("nan"), 1.0, 0.0)
    assert broken.z_score is not None and math.isnan(broken.z_score)


def test_nested_and_overlapping_compilations_count_once(monkeypatch):
    intervals = _CompileIntervals()
    for end, duration in [(2.0, 1.0), (4.0, 3.5), (9.0, 1.0)]:
        monkeypatch.setattr("time.perf_counter", lambda end=end: end)
        intervals("/jax/core/compile/backend_compile_duration", duration)
        intervals("/jax/something/else", 100.0)
    assert intervals.total() == pytest.approx(3.5 + 1.0)


def test_bytes_are_those_of_the_largest_program():
    small = jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x))
    size = 2000
    argument = jnp.ones((size, size), jnp.float32)
    _, cost = measured(lambda: small(argument), group="bytes")
    matrix = 4 * size * size
    assert 2 * matrix <= cost.bytes <= 5 * matrix
    _, again = measured(lambda: small(argument), group="bytes")
    assert (again.bytes, again.bytes_source) == (cost.bytes, "xla")
    assert cost.compile_seconds > 0 and again.compile_seconds == 0


def test_figures_of_merit_of_the_replicas():
    found = measuring.execute(CELL)["figures"]
    assert set(found) == {"tail_index", "norm_stability", "effective_dimension"}
    # One parameter: the gradient scatters in one direction, to the error of an estimate from 256 replicas.
    assert found["effective_dimension"] == pytest.approx(1.0, rel=0.3)
    assert found["tail_index"] < 0.5 and found["norm_stability"] > 0


def test_a_single_value_has_no_figures_of_merit():
    estimate = SimpleNamespace(replicates=None)
    assert set(measuring.figures(estimate).values()) == {None}
