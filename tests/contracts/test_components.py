"""One contract for every component that a walk over the folders finds: a new file is tested the day it is written."""

import dataclasses
import importlib
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pliant
from pliant import diagnostics, draw, dynamics, estimators, observables, potentials, smooth, systems
from pliant.core.potential import Potential
from pliant.core.scout import _zeros as zero_noise
from pliant.core.trees import strong

RELAXATIONS = (smooth, smooth.safe, smooth.reparametrise, smooth.shapes)
PACKAGES = (dynamics, potentials, observables, estimators, diagnostics, systems, draw, *RELAXATIONS)
COMPONENTS = [(package.__name__, name, kind) for package in PACKAGES for name, kind in package.components().items()]


def of(package: Any) -> list:
    return [pytest.param(kind, id=name) for name, kind in package.components().items()]


@contextmanager
def no_compilation() -> Iterator[None]:
    """Fail where XLA compiles anything inside."""
    compiled: list[str] = []

    def listen(event: str, seconds: float, **about: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(str(about.get("fun_name", event)))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield
    jax.monitoring.unregister_event_duration_listener(listen)
    assert not compiled, f"compiled: {compiled}"


def clay(module: Any) -> Any:
    """The component with every inexact array and Python float at hand as an array."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, float) else leaf, module)


@pytest.mark.parametrize(("package", "name", "kind"), COMPONENTS, ids=[name for _, name, _ in COMPONENTS])
def test_one_public_name_with_its_source(package: str, name: str, kind: Any) -> None:
    module = inspect.getmodule(kind)
    assert module is not None
    public = [
        key for key, value in vars(module).items()
        if not key.startswith("_") and getattr(value, "__module__", "") == module.__name__ and callable(value)
    ]  # fmt: skip
    assert public == [name]
    assert "Source:" in (inspect.getdoc(kind) or ""), f"{name} names no source"


def test_a_package_names_what_it_has_when_asked_for_what_it_has_not() -> None:
    with pytest.raises(AttributeError, match="BAOAB"):
        _ = dynamics.Baoab
    assert {"BAOAB", "components"} <= set(dir(dynamics))
    assert dynamics.components()["BAOAB"] is dynamics.BAOAB


def test_the_names_of_the_top_are_those_of_their_homes() -> None:
    everything: dict[str, Any] = {}
    exec("from pliant import *", everything)
    for name in pliant.__all__:
        home = inspect.getmodule(everything[name])
        assert home is not None and home.__name__.startswith(("pliant.core.", "pliant.draw."))
        assert getattr(pliant, name) is everything[name] is getattr(home, name)
    assert {"gradient", "Balance"} <= set(pliant.__all__) <= set(dir(pliant))
    with pytest.raises(AttributeError, match="'gradeint'; it has .*gradient"):
        _ = pliant.gradeint


@pytest.mark.parametrize("kind", of(dynamics))
def test_dynamics(kind: type) -> None:
    law = clay(kind())
    states = jax.vmap(law.init)(jax.random.split(jax.random.key(0), 3))
    state = strong(law.init(jax.random.key(1)))
    moved = eqx.filter_jit(lambda law, s: law.step(s, zero_noise(law, s), 0))(law, state)
    assert jax.tree.structure(moved) == jax.tree.structure(state)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(moved))
    assert jax.tree.leaves(states)[0].shape[0] == 3
    round_trip(law)
    slope = eqx.filter_grad(
        lambda law: jnp.sum(law.step(law.init(jax.random.key(1)), zero_noise(law, state), 0).position)
    )
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slope(law)))
    batch_of_one_law(law)


def batch_of_one_law(law: Any) -> None:
    """The engine runs it, and a second call with other values compiles nothing."""
    observable = observables.TimeAverage(lambda state: jnp.sum(state.position**2))

    def run(law: Any, seed: int) -> Any:
        return pliant.gradient(law, observable, estimators.ForwardSensitivity(), horizon=4, replicas=8,
                               key=jax.random.key(seed), wrt=lambda law: law.x0)  # fmt: skip

    first = run(law, 0)
    other = jax.tree.map(lambda x: x * 1.01 if eqx.is_inexact_array(x) else x, law)
    with no_compilation():
        second = run(other, 1)
    assert np.isfinite(first.value).all() and np.isfinite(second.value).all()


def round_trip(module: Any) -> None:
    leaves, structure = jax.tree.flatten(module)
    assert jax.tree.structure(jax.tree.unflatten(structure, leaves)) == structure


@pytest.mark.parametrize("kind", of(potentials))
def test_potentials(kind: type) -> None:
    potential = clay(kind())
    position = potential.example_position
    position = position + 0.01 * jnp.sin(jnp.arange(1.0, position.size + 1)).reshape(position.shape)  # off a minimum
    force = eqx.filter_jit(lambda u, x: u.force(x))(potential, position)
    assert force.shape == position.shape and np.isfinite(force).all()
    assert potential.force(position.astype(jnp.float32)).dtype in (jnp.float32, jnp.float64)
    slopes = eqx.filter_grad(lambda u: jnp.sum(u.force(position) * jnp.cos(position)))(potential)
    assert jax.tree.leaves(slopes), "a potential has parameters"
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    round_trip(potential)
    if issubclass(kind, Potential):
        has_an_energy(potential, position, force)
    else:
        assert not callable(potential), "a force field without an energy is not called"


def has_an_energy(potential: Potential, position: jax.Array, force: jax.Array) -> None:
    energy = eqx.filter_jit(lambda u, x: u(x))(potential, position)
    assert energy.shape == ()
    np.testing.assert_allclose(
        force, -jax.grad(potential)(position), rtol=1e-9, atol=1e-9 * float(jnp.max(jnp.abs(force)))
    )
    pair = jnp.stack([position, position + 0.01])
    np.testing.assert_allclose(jax.vmap(potential)(pair)[0], energy, rtol=1e-12)
    slopes = eqx.filter_grad(lambda u: u(position))(potential)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))
    assert potential(position.astype(jnp.float32)).dtype in (jnp.float32, jnp.float64)


@pytest.mark.parametrize("kind", of(observables))
def test_observables(kind: type) -> None:
    potential = potentials.DrivenTrap() if kind is observables.Work else potentials.Harmonic()
    law = dynamics.OverdampedLangevin(potential, x0=jnp.zeros(1))
    observable = kind().at_horizon(6)
    state = law.init(jax.random.key(0))
    carry = strong(observable.start(law, state))
    later = strong(observable.update(carry, law, state, jnp.int32(1)))
    assert jax.tree.map(jnp.shape, later) == jax.tree.map(jnp.shape, carry)
    round_trip(observable)
    first = pliant.expectation(law, kind(), horizon=6, replicas=8, key=jax.random.key(0))
    with no_compilation():
        second = pliant.expectation(law, kind(), horizon=6, replicas=8, key=jax.random.key(1))
    assert np.isfinite(first.value).all() and np.isfinite(second.value).all()


class Cube(pliant.Balance):
    a: jax.Array

    def guess(self) -> jax.Array:
        return jnp.ones(())

    def residual(self, u: jax.Array) -> jax.Array:
        return u**3 - self.a


def serve(estimator: Any, seed: int, scale: float) -> Any:
    """A gradient by any estimator, of a law that it serves."""
    if isinstance(estimator, estimators.Implicit):
        return pliant.gradient(Cube(jnp.array(2.0 * scale)), observables.Final(lambda u: u), estimator)
    if isinstance(estimator, estimators.Shadowing):
        flow, pair = dynamics.Flow(dt=jnp.array(0.01 * scale), spread=1.0), lambda state: state.position[1:]
        return pliant.gradient(flow, observables.TimeAverage(pair), estimator, horizon=100, replicas=4,
                               key=jax.random.key(seed), wrt=lambda law: law.vector_field.rho)  # fmt: skip
    kind = dynamics.BAOAB if isinstance(estimator, estimators.Adjoint) else dynamics.OverdampedLangevin
    law = kind(potentials.Harmonic(jnp.array(scale)), x0=jnp.ones(2), dt=0.1)
    square = observables.Final(lambda state: state.position**2)
    contrastive = isinstance(estimator, estimators.ContrastiveDivergence)
    observable = observables.LogLikelihood(jnp.ones((3, 2))) if contrastive else square
    return pliant.gradient(law, observable, estimator, horizon=5, replicas=32,
                           key=jax.random.key(seed), wrt=lambda law: law.potential, keep_replicates=True)  # fmt: skip


@pytest.mark.parametrize("kind", of(estimators))
def test_estimators(kind: type) -> None:
    first = serve(kind(), 0, 1.0)
    with no_compilation():
        second = serve(kind(), 1, 1.1)
    for estimate in (first, second):
        assert jax.tree.structure(estimate.value) == jax.tree.structure(estimate.standard_error)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(estimate.value))
        assert estimate.verdict.level in ("trusted", "imprecise", "untrusted")
        assert kind.__name__ in str(estimate)
    shapes = [leaf.shape for leaf in jax.tree.leaves(first.value)]
    assert shapes == ([()] if kind in (estimators.Implicit, estimators.ContrastiveDivergence) else [(2,)])
    round_trip(kind())


@pytest.mark.parametrize("kind", of(diagnostics))
def test_diagnostics(kind: Callable) -> None:
    given = {
        "law": dynamics.OverdampedLangevin(dt=0.1),
        "observable": observables.TimeAverage(),
        "estimator": estimators.BPTT(),
        "horizon": 20,
        "replicas": 32,
        "key": jax.random.key(0),
    }
    parameters = inspect.signature(kind).parameters
    if "law" in parameters:
        # Where a horizon belongs to one form of several, the law alone asks for the first.
        asked = {"law"} if "coupling" in parameters else given.keys() & parameters.keys()
        result = kind(**{name: given[name] for name in asked})
    else:
        result = kind(np.random.default_rng(0).gamma(2.0, size=400))
    numbers = dataclasses.astuple(result) if dataclasses.is_dataclass(result) else result
    assert np.isfinite(np.asarray(numbers, float)).all()


@pytest.mark.parametrize("kind", of(systems))
def test_systems(kind: type) -> None:
    system = kind()
    assert system.name and system.title and system.defaults
    for dynamics_name, settings in system.defaults.items():
        law = system.law(dynamics.components()[dynamics_name], dt=settings["dt"])
        assert jax.tree.leaves(eqx.filter(system.wrt(law), eqx.is_inexact_array)), "nothing to differentiate by"
        assert isinstance(system.observable(burn_in=settings["burn_in"]), pliant.Observable)


def test_a_function_is_not_hidden_by_the_file_that_holds_it() -> None:
    importlib.import_module("pliant.diagnostics.tail_index")
    assert callable(diagnostics.tail_index)
    from pliant.diagnostics import tail_index

    assert tail_index is diagnostics.components()["tail_index"]
