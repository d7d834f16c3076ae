"""Bad input: one clear error each, which names the argument, and nothing has run before it."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import pliant
from pliant import dynamics, estimators, observables, potentials


def law(**options: Any) -> dynamics.OverdampedLangevin:
    given = {"x0": jnp.zeros(1), "dt": 0.1, **options}
    return dynamics.OverdampedLangevin(given.pop("potential", potentials.Harmonic(jnp.array(1.0))), **given)


def run(**changes: Any) -> Any:
    given = {
        "law": law(), "observable": observables.TimeAverage(lambda state: jnp.sum(state.position**2)),
        "estimator": estimators.ForwardSensitivity(), "horizon": 4, "replicas": 4, "key": jax.random.key(0),
        "wrt": lambda law: law.potential, **changes,
    }  # fmt: skip
    return pliant.gradient(given.pop("law"), given.pop("observable"), given.pop("estimator"), **given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"horizon": 0}, "Argument `horizon` must be a whole number >= 1, but it was 0"),
        ({"horizon": 2.5}, "Argument `horizon` .* 2.5"),
        ({"replicas": 0}, "Argument `replicas` .* 0"),
        ({"replicas": True}, "Argument `replicas` .* True"),
        ({"key": 0}, "Argument `key` must be one random key, but it was int 0"),
        ({"key": jnp.zeros(2, jnp.uint32)}, "Argument `key` .* uint32"),
        ({"key": jax.random.split(jax.random.key(0))}, "Argument `key` must be one"),
        ({"wrt": lambda law: law.dt}, "Argument `wrt` .* it selected float"),
        ({"wrt": lambda law: ()}, "Argument `wrt` .* it selected nothing"),
        ({"memory": -1.0}, "Argument `memory`"),
        ({"devices": 99}, "Argument `devices` must lie between 1 and"),
        ({"generator": "mersenne"}, "Argument `generator`"),
        ({"estimator": estimators.BPTT}, "Argument `estimator` .* the class BPTT; call it"),
        ({"observable": lambda state: state}, "Argument `observable` must be one of pliant.observables"),
        ({"law": potentials.Harmonic()}, "Argument `law` must be a pliant law"),
    ],
)
def test_arguments(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(**changes)


@pytest.mark.parametrize("dt", [0.0, -0.01, float("nan"), float("inf")])
@pytest.mark.parametrize("kind", [dynamics.OverdampedLangevin, dynamics.BAOAB, dynamics.VelocityVerlet])
def test_time_step(kind: type, dt: float) -> None:
    with pytest.raises(ValueError, match="Argument `dt` must be positive and finite"):
        kind(dt=dt)


@pytest.mark.parametrize("name", ["kT", "friction", "mass"])
def test_temperature_friction_and_mass(name: str) -> None:
    with pytest.raises(ValueError, match=f"Argument `{name}` must be positive"):
        dynamics.BAOAB(**{name: jnp.array(-1.0)})


def test_parameters_and_positions_must_be_finite() -> None:
    with pytest.raises(ValueError, match=r"law\.potential\.k has 1 NaN or infinite"):
        run(law=law(potential=potentials.Harmonic(jnp.array(jnp.nan))))
    with pytest.raises(ValueError, match=r"law\.x0 has 1 NaN or infinite of 2"):
        run(law=law(x0=jnp.array([0.0, jnp.inf])))


@pytest.mark.parametrize("burn_in", [4, 7])
def test_burn_in_is_below_the_horizon(burn_in: int) -> None:
    with pytest.raises(
        ValueError, match=f"Argument `burn_in` must be below the horizon of 4 steps, but it was {burn_in}"
    ):
        run(observable=observables.TimeAverage(burn_in=burn_in))


def test_wrt_refuses_integers() -> None:
    class Counted(pliant.Potential):
        power: jax.Array

        def __call__(self, position: jax.Array) -> jax.Array:
            return jnp.sum(position**2) * self.power

    with pytest.raises(ValueError, match=r"Argument `wrt` .* it selected an array of int"):
        run(law=law(potential=Counted(jnp.array(2))))


def test_an_observable_gives_one_array() -> None:
    class Pair(pliant.Observable):
        def start(self, law: Any, state: Any) -> Any:
            return state.position

        def update(self, carry: Any, law: Any, state: Any, t: Any) -> Any:
            return state.position

        def result(self, carry: Any) -> Any:
            return carry, carry

    with pytest.raises(ValueError, match="Argument `observable` must return one scalar or one array .* a tuple"):
        run(observable=Pair())
    with pytest.raises(ValueError, match="Argument `observable` .* an array of int"):
        run(observable=observables.Final(lambda state: jnp.sum(state.position > 0)))
    with pytest.raises(ValueError, match="Argument `function` must be a callable"):
        observables.TimeAverage(3.0)


class Growing(pliant.Evolve):
    """A law whose step is at fault."""

    fault: str = eqx.field(static=True)
    k: jax.Array = eqx.field(default_factory=lambda: jnp.array(1.0))
    noise = pliant.Normal((1,))

    def init(self, key: jax.Array) -> Any:
        return {"position": jnp.zeros(1), "clock": jnp.zeros((), jnp.float32)}

    def step(self, state: Any, noise: jax.Array, t: Any) -> Any:
        position = state["position"] * self.k + noise
        if self.fault == "shape":
            position = jnp.concatenate([position, position])
        clock = state["clock"].astype(jnp.float64) if self.fault == "dtype" else state["clock"]
        return {"position": position} if self.fault == "structure" else {"position": position, "clock": clock}


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("shape", r"leaf `state\['position'\]` went from float64\[1\] to float64\[2\]"),
        ("dtype", r"leaf `state\['clock'\]` went from float32\[\] to float64\[\]"),
        ("structure", "must return a state of the structure it was given"),
    ],
)
def test_a_step_keeps_the_state(fault: str, message: str) -> None:
    observable = observables.Final(lambda state: state["position"][0])
    with pytest.raises(ValueError, match=message):
        run(law=Growing(fault), observable=observable, wrt=None)


def test_missing_capabilities_name_the_physics() -> None:
    verlet = dynamics.VelocityVerlet(potentials.Harmonic(jnp.array(1.0)), x0=jnp.ones(1))
    with pytest.raises(pliant.CapabilityError, match="Dirac delta, so path weights are undefined; use"):
        run(law=verlet, estimator=estimators.Girsanov())
    with pytest.raises(pliant.CapabilityError, match="conserves the energy"):
        run(law=verlet, estimator=estimators.Reweighting())
    with pytest.raises(pliant.NotApplicable, match="`x0` of OverdampedLangevin: it moves the set of paths"):
        run(estimator=estimators.Girsanov(), wrt=None)
    with pytest.raises(pliant.NotApplicable, match="functional of whole paths"):
        run(estimator=estimators.Reweighting(), observable=observables.FirstPassageTime())
    with pytest.raises(pliant.NotApplicable, match="lives on an orbit or an attractor"):
        run(law=verlet, estimator=estimators.Implicit())


@pytest.mark.parametrize("word", ["OABAO", "BABO", "OBAABAO"])
def test_singular_splittings_are_refused(word: str) -> None:
    singular = dynamics.Langevin(potentials.Harmonic(jnp.array(1.0)), x0=jnp.ones(1), splitting=word)
    with pytest.raises(pliant.CapabilityError, match=f"in the splitting {word} a kick stands between drifts"):
        run(law=singular, estimator=estimators.Girsanov())


def test_velocities_under_a_density_of_positions_are_refused() -> None:
    baoab = dynamics.BAOAB(potentials.Harmonic(jnp.array(1.0)), x0=jnp.ones(1))
    with pytest.raises(pliant.NotApplicable, match="the observable sees `velocity`"):
        run(law=baoab, estimator=estimators.Girsanov(), observable=observables.Final(lambda s: jnp.sum(s.velocity**2)))


@pytest.mark.parametrize("word", ["", "BA", "BAXAB", "OOO", 3])
def test_splitting_words(word: Any) -> None:
    with pytest.raises(ValueError, match="Argument `splitting` must"):
        dynamics.Langevin(splitting=word)
