"""What a user writes: a law that evolves, balances or weighs, and the capabilities it may have beyond the minimum."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from pliant.core.errors import CapabilityError
from pliant.core.noise import declared

State = PyTree
Step = Int[Array, ""] | int


class Law(eqx.Module):
    """Anything whose parameters can be clay: its inexact array leaves. Python numbers are constants."""

    def refusal(self, capability: type) -> str | None:
        """Why this law does not have `capability`, in physics and with what to use instead; None where it has it.

        Override it where the answer depends on the values of fields rather than on the class.
        """
        return None if isinstance(self, capability) else _why_missing(self, capability)


class Evolve(Law):
    """A simulation that evolves: `x_{t+1} = step(x_t, w_t, t)` with declared noise `w_t`.

    States are pytrees of arrays of ONE replica; the engine vectorises over replicas. `t` counts steps from zero.
    """

    @property
    @abc.abstractmethod
    def noise(self) -> PyTree:
        """The declared noise of a step: a pytree of `Normal(shape)`, `Uniform(shape)`; `()` for a deterministic law."""

    @abc.abstractmethod
    def init(self, key: PRNGKeyArray) -> State:
        """The initial state, drawn with `key` where it is random."""

    @abc.abstractmethod
    def step(self, state: State, noise: PyTree, t: Step) -> State:
        """The next state. It must be a pure function, differentiable where pathwise estimators are to be used."""

    def prepared(self) -> "Evolve":
        """This law with what is the same at every step computed once: called before a trajectory starts.

        Steps must come out the same without it. A loop and its reverse then do not repeat a matrix exponential.
        """
        return self

    @property
    def jumps(self) -> bool:
        """Whether a step is known to be a discontinuous function of state or parameters at fixed noise."""
        return False

    def time(self, t: Step) -> Float[Array, ""]:
        """The physical time after `t` steps: `t * dt` where the law has a `dt`, else the number of steps."""
        return jnp.asarray(t * getattr(self, "dt", 1.0))

    def log_sample_weight(self, state: State) -> Float[Array, ""] | None:
        r"""The logarithm of the weight that a visited state has in time averages; None where all weigh the same.

        Averages are $\langle f \rangle = \sum w f / \sum w$ over a trajectory: a constant of the trajectory is free, and
        should keep the logarithm near zero, since w itself must not overflow.
        """
        return None

    def step_limit(self, state: State) -> Float[Array, ""] | float:
        """The longest stable `dt` for the curvature at `state`; infinite where no limit is known."""
        return float("inf")

    @property
    def step_limit_name(self) -> str:
        """What limits `dt`, for a verdict that says so."""
        return "stability limit"


class HasPathDensity(Evolve):
    """Capability: the log density of a fixed path as a fold over its steps.

    The density is that of the discrete scheme, not of the continuum. A law that must remember something about the
    path so far keeps it in `memory`, whose dependence on parameters is part of the density.
    """

    def path_start(self, state: State) -> tuple[PyTree, Float[Array, ""] | float]:
        """The memory of the fold and the log density of the initial state, up to a constant."""
        return (), 0.0

    @abc.abstractmethod
    def path_step(
        self, memory: PyTree, state: State, noise: PyTree, next_state: State, t: Step
    ) -> tuple[PyTree, Float[Array, ""]]:
        """The next memory and the log density of `next_state` given the path so far.

        Terms that depend on no parameter may be left out. `noise` is what produced `next_state`: a help to rebuild
        what lies between the two states, never to be trusted as a function of the parameters.
        """

    @property
    def path_singular(self) -> tuple[str, ...]:
        """Names of fields whose change moves the support of the path law: it has no density in them."""
        return ()

    @property
    def path_covers(self) -> tuple[str, ...] | None:
        """The fields of the state whose path has the density; None for all of them."""
        return None


class HasStationaryDensity(Evolve):
    """Capability: the log density of the stationary state, up to a constant that may depend on parameters."""

    @abc.abstractmethod
    def log_density(self, state: State) -> Float[Array, ""]:
        """The unnormalised log density of the invariant measure that the law samples."""

    @property
    def stationary_measure(self) -> str:
        """Of what `log_density` is the density, and how far the samples are from it: for a verdict that says so."""
        return (
            "the continuum's invariant density, on samples of the discretised dynamics: off by the scheme's error in dt"
        )


class Invertible(Evolve):
    """Capability: the step can be undone, given its noise."""

    @abc.abstractmethod
    def unstep(self, next_state: State, noise: PyTree, t: Step) -> State:
        """The state that `step(state, noise, t)` took to `next_state`, up to round-off."""

    def reversal_growth(self) -> Any:
        """The logarithm of the factor by which undoing one step enlarges round-off.

        Friction times dt for a thermostat that forgets velocities, zero for a symplectic scheme. The default is that of
        a friction of one at a step of a hundredth. What was lost in fact is measured where steps are undone.
        """
        return 0.01


class HasDrift(Evolve):
    """Capability: the stochastic differential equation `dx = drift dt + diffusion dW` (Itô) behind the scheme."""

    @abc.abstractmethod
    def drift(self, state: State, t: Step) -> State:
        """The drift: a pytree like the state's dynamical fields."""

    @abc.abstractmethod
    def diffusion(self, state: State, t: Step) -> State:
        """The amplitude of the noise of every dynamical field: the diagonal of the diffusion."""

    def increments(self, noise: PyTree) -> State:
        """The increments `dW` of variance dt that the noise of a step stands for: a pytree like `drift`.

        The default serves laws whose noise is one standard normal for every dynamical field.
        """
        root = jnp.sqrt(self.time(1))
        return jax.tree.map(lambda normal: root.astype(normal.dtype) * normal, noise)


class Balance(Law):
    """A simulation that balances: `residual(u) = 0`, or `energy(u)` at its minimum. Override one of the two."""

    @abc.abstractmethod
    def guess(self) -> PyTree:
        """Where the solver starts: it fixes the structure of `u`, and which solution is found where there are several."""

    def residual(self, u: PyTree) -> PyTree:
        """What must vanish: a pytree like `u`."""
        raise NotImplementedError

    def energy(self, u: PyTree) -> Float[Array, ""]:
        """What must be at a minimum."""
        raise NotImplementedError

    @property
    def minimises(self) -> bool:
        """Whether this law is given by its energy."""
        return type(self).energy is not Balance.energy


class Weigh(Law):
    """A simulation that weighs: configurations `x` with unnormalised probability `exp(log_weight(x))`."""

    @abc.abstractmethod
    def log_weight(self, x: Any) -> Float[Array, ""]:
        """The log of the unnormalised probability of `x`."""

    @abc.abstractmethod
    def sampler(self) -> Evolve:
        """The law that samples it: its states carry `x` as `.position`."""


class Sampled(HasStationaryDensity):
    """The evolution of a `Weigh` law under its own sampler, with its weight as the stationary density."""

    weigh: Weigh

    @property
    def noise(self) -> PyTree:
        return self.weigh.sampler().noise

    def init(self, key: PRNGKeyArray) -> State:
        return self.weigh.sampler().init(key)

    def step(self, state: State, noise: PyTree, t: Step) -> State:
        return self.weigh.sampler().step(state, noise, t)

    def log_density(self, state: State) -> Float[Array, ""]:
        return self.weigh.log_weight(state.position)

    @property
    def jumps(self) -> bool:
        return self.weigh.sampler().jumps

    @property
    def stationary_measure(self) -> str:
        return "the given weight, on samples of its sampler: off by the sampler's error in dt"

    def log_sample_weight(self, state: State) -> Float[Array, ""] | None:
        return self.weigh.sampler().log_sample_weight(state)

    def step_limit(self, state: State) -> Float[Array, ""] | float:
        return self.weigh.sampler().step_limit(state)

    @property
    def step_limit_name(self) -> str:
        return self.weigh.sampler().step_limit_name


def require(law: Law, capability: type, estimator: str) -> None:
    """Raise `CapabilityError` with the physics where `law` lacks `capability`."""
    reason = law.refusal(capability)
    if reason is not None:
        raise CapabilityError(f"`{estimator}` needs `{capability.__name__}`, but {reason}")


_ADVICE = {
    "HasPathDensity": "use BPTT or ForwardSensitivity, or Reweighting where the law samples a known density",
    "HasStationaryDensity": "use BPTT, ForwardSensitivity or FiniteDifference",
    "Invertible": "use BPTT(checkpoint=True)",
    "HasDrift": "use an estimator of the discrete scheme, such as BPTT",
}


def _why_missing(law: Law, capability: type) -> str:
    name = type(law).__name__
    advice = _ADVICE.get(capability.__name__, "use another estimator")
    if capability is HasPathDensity and isinstance(law, Evolve) and not declared(law.noise):
        return f"{name} is deterministic: its transition density is a Dirac delta, so path weights are undefined; {advice}."
    return f"{name} does not offer it; {advice}, or let {name} inherit `{capability.__name__}`."
