r"""The response of a steady state by the likelihood ratio of paths, cut off beyond a window of lags.

With the score $s_t$ of the step into $x_t$,

$$ \partial_\theta \langle O \rangle = \langle \partial_\theta O \rangle
   + \sum_{k \ge 0} \operatorname{Cov}(O(x_t), s_{t - k}), $$

whose terms decay with the correlations of O, while their noise does not: the sum stops after a window of W steps. Scores
are kept as sums over blocks of steps by age, a ring of a few numbers per parameter, which also shows how the terms decay.

Source: Glynn and L'Ecuyer, Adv. Appl. Probab. 27, 1019 (1995); Plechac, Stoltz and Wang, Multiscale Model. Simul. 19, 1
(2021), for the centred estimator and its bias; Warren and Allen, Phys. Rev. Lett. 109, 250601 (2012).
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pliant.core.contributions import Contribution, pairs_of
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Problem
from pliant.core.laws import HasPathDensity, State, require
from pliant.core.rollout import Rollout
from pliant.estimators import _explicit, _pilot, _score

# Blocks of lags by age. The first is not whole; the others fall into an early and a late half.
_AGES = 9
_HALF = (_AGES - 1) // 2
# Relaxation times in a window: exp(-6) of the response is beyond it.
_TIMES = 6.0
# Burn-in, in relaxation times, below which the start is still seen.
_FORGOTTEN = 3.0
_RESOLVED = 3.0
# Share of the gradient beyond the window from which the window, not the number of replicas, is to blame.
_TOO_MUCH = 0.2


class Windowed(Contribution):
    r"""The averages behind $E[\partial O] + \sum_{age} \operatorname{Cov}(O, S_{age})$ with scores $S$ of blocks of lags.

    **Fields** beside the observable: `score`, leaves (ages, *parameter); `product` of observable and score (ages, *obs,
    *parameter); `explicit`, (*obs, *parameter); `lag`: steps in a block; `relaxation`: the measured time, in steps;
    `burn_in`: steps before the first that counts; `halves` of the trajectory.
    """

    observable: Float[Array, "*obs"]
    score: PyTree
    product: PyTree
    explicit: PyTree
    lag: Array
    relaxation: Array
    burn_in: Array
    halves: dict[str, tuple[Array, Array]]
    unfinished: None = None

    def influence(self) -> PyTree:
        return jax.tree.map(np.add, self.explicit, self._covariance(0, _AGES))

    def _covariance(self, first: int, last: int) -> PyTree:
        """Pseudo-values of the covariance of the observable with the scores of some ages, over pairs of replicas."""

        def leaf(score: Any, product: Any) -> Any:
            score, product = (np.asarray(x)[:, first:last].sum(axis=1) for x in (score, product))
            return product - pairs_of(np.asarray(self.observable, float), score.astype(float)).astype(score.dtype)

        return jax.tree.map(leaf, self.score, self.product)

    def bias(self) -> tuple[Any, PyTree]:
        """What lies beyond the window, the late half of it extrapolated as a geometric series.

        From one half to the next the response falls as the relaxation time says, or as it does within the window where
        that is seen to be slower.
        """
        early, late = (self._covariance(first, first + _HALF) for first in (1, 1 + _HALF))
        told = math.exp(-_HALF * float(self.lag[0]) / float(self.relaxation[0]))
        return 0.0, jax.tree.map(lambda a, b: _beyond(a, b, told), early, late)

    def mixing(self) -> dict[str, tuple[Array, Array]]:
        return self.halves

    def findings(self) -> list[str]:
        burn_in, relaxation, found = int(self.burn_in[0]), float(self.relaxation[0]), []
        if burn_in < _FORGOTTEN * relaxation:
            found.append(
                f"the burn-in of {burn_in} steps is short against the relaxation time of {relaxation:.3g} steps: the start "
                f"is still seen; use burn_in >= {math.ceil(5 * relaxation)}."
            )
        if self._share_beyond() > _TOO_MUCH:
            found.append(f"{self._window()}: lengthen `window` and burn_in.")
        return found

    def notes(self) -> list[str]:
        return [] if self._share_beyond() > _TOO_MUCH else [self._window()]

    def _window(self) -> str:
        steps, relaxation = _AGES * int(self.lag[0]), float(self.relaxation[0])
        return (
            f"the correlation window holds {steps} steps, {steps / relaxation:.1f} of the relaxation time of {relaxation:.3g} "
            f"steps measured beforehand; what it cuts off, about {self._share_beyond():.1%}, is in the error bar"
        )

    def _share_beyond(self) -> float:
        mean = jax.tree.map(lambda leaf: np.mean(leaf, axis=0), self.influence())
        beyond, size = (float(np.linalg.norm(ravel_pytree(tree)[0])) for tree in (self.bias()[1], mean))
        return beyond / max(size, 1e-300)


def _beyond(early: Any, late: Any, told: float) -> Any:
    """The size of the tail after the late half, from both halves' per-replica values and the ratio that is told."""
    (a, _), (b, error) = ((np.mean(x, axis=0), np.std(x, axis=0) / np.sqrt(len(x))) for x in (early, late))
    seen = np.abs(b) / np.maximum(np.abs(a), 1e-300)
    ratio = np.maximum(told, np.where(np.abs(b) > _RESOLVED * error, np.minimum(seen, 0.9), 0.0))
    return np.abs(b) * ratio / (1 - ratio)


def check(problem: Problem) -> None:
    """Raise `NotApplicable` where the path has no score, or one that never forgets."""
    law = problem.law()
    require(law, HasPathDensity, "Implicit")
    _score.refuse_singular(problem, "Implicit")
    _score.refuse_uncovered(problem, "Implicit")
    memory, _ = law.path_start(law.init(jax.random.key(0)))
    if jax.tree.leaves(memory):
        raise NotApplicable(
            f"the path density of {type(law).__name__} remembers the whole path (that of BAOAB's positions does): its "
            "score never forgets, and no window can cut it off; use OBABO or ABOBA."
        )


def prepare(problem: Problem, horizon: int, window: int | None) -> tuple[Array, Array]:
    """Steps in a block of lags, and the relaxation time of the observable in steps, from a pilot run."""
    walks, stride = _pilot.series(problem.law(), problem.observable.term, horizon)
    relaxation = _pilot.relaxation_time(walks, stride)
    wanted = _TIMES * relaxation if window is None else window
    return jnp.asarray(max(math.ceil(wanted / (_AGES - 1)), 1), jnp.int32), jnp.asarray(relaxation)


def replicate(problem: Problem, rollout: Rollout, lag: Array, relaxation: Array) -> Windowed:
    """One trajectory's averages by age of the score."""
    observable: Any = problem.observable
    fixed: Any = problem.law()
    none = jax.tree.map(jnp.zeros_like, problem.parameters)

    def start(law: Any, state: State) -> PyTree:
        value = jnp.zeros_like(observable.term(law, state))
        blocks = jax.tree.map(lambda p: jnp.zeros((_AGES, *p.shape), p.dtype), none)
        product = jax.tree.map(lambda p: jnp.zeros((_AGES, *value.shape, *p.shape), p.dtype), none)
        explicit = jax.tree.map(lambda p: jnp.zeros((*value.shape, *p.shape), p.dtype), none)
        tracker = _score.start(problem, state)[0]
        return tracker, blocks, (value, blocks, product, explicit), (value, 0.0, 0)

    def update(carry: PyTree, law: Any, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        tracker, blocks, sums, (half, passed, burn_in) = carry
        tracker, score = _score.step(problem, (tracker, none), state, noise, after, t)
        blocks = jax.tree.map(lambda b, s: _aged(b, s, t, lag), blocks, score)
        weight, value = observable.weight(t + 1), observable.term(law, after)
        product = jax.tree.map(lambda b: jax.vmap(lambda s: jnp.tensordot(value, s, axes=0))(b), blocks)
        terms = (value, blocks, product, _explicit.of_term(problem, after))
        sums = jax.tree.map(lambda total, term: total + weight * term, sums, terms)
        half = half + jnp.where(passed < 0.5, weight, 0.0) * value
        return tracker, blocks, sums, (half, passed + weight, burn_in + (passed + weight == 0))

    _, _, (value, score, product, explicit), (half, _, burn_in) = rollout.fold(fixed, start, update)
    halves = {"the observable": (2 * half, 2 * (value - half))} if observable.spread > 1 else {}
    return Windowed(value, score, product, explicit, lag, relaxation, burn_in, halves)


def _aged(blocks: Array, score: Array, t: Any, lag: Array) -> Array:
    """Scores by age after one more step: every `lag` steps all grow older by one block."""
    older = jnp.concatenate([jnp.zeros_like(blocks[:1]), blocks[:-1]])
    return jnp.where(t % lag == 0, older, blocks).at[0].add(score)
