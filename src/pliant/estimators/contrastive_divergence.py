"""Contrastive divergence: the gradient of a log-likelihood with a chain of few steps in place of the stationary state."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, PyTree

from pliant.core import trees
from pliant.core.contributions import Contribution, Direct
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import Evolve, HasStationaryDensity, Sampled, State, Step
from pliant.core.rollout import Rollout


class ContrastiveDivergence(Estimator):
    r"""The gradient of the mean log-likelihood of data, its stationary average truncated at k steps (CD-k, PCD).

    $$ \partial_\theta L \approx E_{data}[s] - E[s(x_k) \mid x_0 \sim data], \qquad s = \partial_\theta \log \tilde\rho, $$

    the positive phase over the data, the negative one after k steps of the law's own dynamics.

    **Arguments**: `k`: steps. `persistent`: False starts a chain at a data point for every k steps (CD-k); True lets the
    chain run on, and takes a negative sample every k steps (PCD at fixed parameters). The horizon is a whole number of such
    rounds, whose mean a replica reports: it must be a multiple of k.

    The observable must be `LogLikelihood(data)`; the law needs `HasStationaryDensity`. Replicas start at data points drawn at
    random, with velocities as the law draws them. The data's positive phase is that of the points drawn (CD-k: noise common
    to both phases goes) or of all of them (PCD).

    BIASED, and the target says so: it is the steady-state gradient truncated at k steps. What is missing is what the chain
    still remembers of the data, $E[s(x_k)] - E_\rho[s]$, which decays with the slowest relaxation of s; it vanishes at the
    maximum of the likelihood if the law's density can be that of the data. On an Ornstein-Uhlenbeck process $x' = a x +
    \sigma R$ and for its stiffness, CD-k is $1 - a^{2k}$ times the gradient; persistent rounds are the mean of that over
    k, 2k, ... The error bar is that of the noise alone. Never in a `Combined`.

    Also biased by the difference between the density that the law names and the one that its steps keep (dt): with the data
    at that density the gradient is not exactly zero.

    Cost: one forward run and two derivatives of the log density a round (PCD: one for every data point), in memory
    independent of the horizon. Nothing is differentiated through steps: steps may jump.

    Aliases: CD-k, persistent contrastive divergence, stochastic maximum likelihood; truncated steady-state gradient.

    Source: Hinton, Neural Comput. 14, 1771 (2002), equation 5; Tieleman, ICML (2008), for persistent chains; Younes,
    Stoch. Stoch. Rep. 65, 177 (1999), for their convergence; Bengio and Delalleau, Neural Comput. 21, 1601 (2009), for
    the truncation.
    """

    k: int = eqx.field(static=True, default=1)
    persistent: bool = eqx.field(static=True, default=False)
    requires: ClassVar[tuple[type, ...]] = (HasStationaryDensity,)
    contrastive: ClassVar[bool] = True

    def __check_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise ValueError(f"Argument `k` must be a whole number of steps >= 1, but it was {self.k!r}.")
        if not isinstance(self.persistent, bool):
            raise ValueError(f"Argument `persistent` must be True or False, but it was {self.persistent!r}.")

    def describe(self, problem: Problem) -> str:
        chain = (
            f"every {self.k} steps of a chain that began there and runs on"
            if self.persistent
            else (f"{self.k} step{'s' * (self.k > 1)} away from there")
        )
        return (
            "contrastive divergence, the log-likelihood's gradient with the stationary average truncated: biased by what "
            f"chains remember of the data, on which they start, {chain}"
        )

    def check(self, problem: Problem) -> None:
        super().check(problem)
        if getattr(problem.observable, "data", None) is None:
            raise NotApplicable(
                f"`ContrastiveDivergence` differentiates the likelihood of data, but {type(problem.observable).__name__} has "
                "none: use LogLikelihood(data), or Reweighting for a stationary average."
            )

    def at_horizon(self, problem: Problem, horizon: int) -> "ContrastiveDivergence":
        if horizon % self.k:
            raise ValueError(
                f"Argument `horizon` must be a multiple of the k = {self.k} steps of a round, but it was {horizon}."
            )
        return self

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        phases = self._one_chain if self.persistent else self._fresh_chains
        positive, negative = phases(problem, rollout, _FromData(problem.law(), problem.observable.data))
        value = problem.observable.start(problem.law(), problem.law().init(rollout.key))
        return Direct(value, jax.tree.map(jnp.subtract, positive, negative))

    def _fresh_chains(self, problem: Problem, rollout: Rollout, law: "_FromData") -> tuple[PyTree, PyTree]:
        """The mean scores at the starts and at the ends of rounds, each with noise of its own."""

        def ends(index: Array) -> tuple[PyTree, PyTree]:
            key = jax.random.fold_in(rollout.key, index)
            one = Rollout(key, rollout.replica, self.k, min(rollout.block, self.k), rollout.generator)
            first, last = one.fold(law, lambda law, state: (state, state), _keep_first)
            return _score(problem, first), _score(problem, last)

        rounds = jax.lax.map(ends, jnp.arange(rollout.horizon // self.k))
        return jax.tree.map(lambda s: jnp.mean(s, axis=0), rounds)

    def _one_chain(self, problem: Problem, rollout: Rollout, law: "_FromData") -> tuple[PyTree, PyTree]:
        """The mean score of the data, and that at the rounds' ends of a chain that runs on."""

        def start(law: Any, state: State) -> PyTree:
            return state, jax.tree.map(jnp.zeros_like, problem.parameters)

        def update(carry: PyTree, law: Any, state: State, noise: PyTree, after: State, t: Step) -> PyTree:
            first, total = carry
            add = lambda total: jax.tree.map(jnp.add, total, _score(problem, after))
            return first, jax.lax.cond((t + 1) % self.k == 0, add, lambda total: total, total)

        first, total = rollout.fold(law, start, update)
        data = jax.vmap(lambda x: _score(problem, eqx.tree_at(lambda s: s.position, first, x)))(law.data)
        rounds = rollout.horizon // self.k
        return jax.tree.map(lambda s: jnp.mean(s, axis=0), data), jax.tree.map(lambda s: s / rounds, total)


def _keep_first(carry: PyTree, law: Any, state: State, noise: PyTree, after: State, t: Step) -> PyTree:
    return carry[0], after


def _score(problem: Problem, state: State) -> PyTree:
    return jax.grad(lambda p: problem.law(p).log_density(state))(problem.parameters)


class _FromData(Evolve):
    """The inner law, started at a data point that is drawn at random."""

    inner: Any
    data: Array

    @property
    def noise(self) -> PyTree:
        return self.inner.noise

    def init(self, key: PRNGKeyArray) -> State:
        pick, rest = jax.random.split(key)
        index = jax.random.randint(pick, (), 0, len(self.data))
        return trees.strong(_started(self.inner, self.data[index], rest))

    def prepared(self) -> "_FromData":
        return _FromData(self.inner.prepared(), self.data)

    def step(self, state: State, noise: PyTree, t: Step) -> State:
        return self.inner.step(state, noise, t)


def _started(law: Any, position: Array, key: PRNGKeyArray) -> Any:
    """The law's initial state at a position: through its `x0` where it has one, so that what it stores there fits."""
    if isinstance(law, Sampled):
        return _started(law.weigh.sampler(), position, key)
    if hasattr(law, "x0"):
        return eqx.tree_at(lambda law: law.x0, law, position.astype(law.x0.dtype)).init(key)
    state = law.init(key)
    return eqx.tree_at(lambda state: state.position, state, position.astype(state.position.dtype))
