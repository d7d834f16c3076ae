"""Control variates: what is known to average to zero takes noise away."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.core.contributions import Contribution
from pliant.core.errors import NotApplicable
from pliant.core.estimate import as_columns
from pliant.core.estimator import Estimator, Problem
from pliant.core.observable import Function, Observable, as_function
from pliant.core.rollout import Rollout
from pliant.estimators import _cross_fit, _variates
from pliant.estimators.bptt import BPTT

# A regression needs this many replicas a variate; a mean this many standard errors off zero is no chance.
_PER_VARIATE, _OFF_ZERO = 10, 5.0
_NAMED = ("score", "noise", "linear")


class ControlVariates(Estimator):
    r"""Any estimator with zero-mean control variates: $g - \beta^T V$ with $E[V] = 0$, and $\beta$ by regression.

    **Arguments**: `estimator`: BPTT by default. `variates`, any of

    - "score": the score of the path, for laws with a path density (one variate per parameter). On `Girsanov` it is the
      optimal baseline.
    - "linear": the part of the pathwise gradient that is linear in the noise, about the noise-free path. Costs about two
      further reverse runs; mean zero whether or not the observable jumps.
    - "noise": sums of $w_t$ and of $w_t^2 - 1$ over the path, of every normal number of a step.
    - a pair `(observable, expectation)`: any observable whose expectation under the law is known, a number, an array or a
      function of the law. It must be that of the discretised law at this horizon.

    By default "score" where the path has one and "linear" for pathwise estimators; "noise" where that leaves none and for
    stationary averages. `folds`: into how many parts replicas are cut: each part takes its coefficients from the others
    (cross-fitting), so that nothing is biased and the error bar is honest.

    The target, the demands on the law and the warnings are those of `estimator`. With fewer than ten replicas a variate
    there is no regression. A shared variate whose mean is five standard errors off zero is a finding of the verdict: its
    expectation is wrong. The variance falls by the factor 1 - R^2 of the regression, and rises by (variates / replicas).
    One long chain has no batches here.

    Source: Glasserman, Monte Carlo Methods in Financial Engineering (2003), sections 4.1.1 and 4.1.3; Miller, Foti, D'Amour
    and Adams, NeurIPS (2017), for "linear"; Greensmith, Bartlett and Baxter, JMLR 5, 1471 (2004), for baselines.
    """

    estimator: Estimator
    variates: tuple[Any, ...] | None
    folds: int = eqx.field(static=True)

    def __init__(self, estimator: Estimator | None = None, variates: Any = None, folds: int = 5):
        self.estimator = BPTT() if estimator is None else estimator
        self.variates = None if variates is None else _as_variates(variates)
        self.folds = folds

    def __check_init__(self) -> None:
        if not isinstance(self.estimator, Estimator):
            raise ValueError(
                f"Argument `estimator` must be an estimator such as BPTT(), but it was {self.estimator!r}."
            )
        if isinstance(self.folds, bool) or not isinstance(self.folds, int) or self.folds < 2:
            raise ValueError(f"Argument `folds` must be a whole number >= 2, but it was {self.folds!r}.")

    @property
    def requires(self) -> tuple[type, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.estimator.requires

    @property
    def pathwise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.estimator.pathwise

    @property
    def stationary(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.estimator.stationary

    def check(self, problem: Problem) -> None:
        self.estimator.check(problem)
        if self.estimator.solves(problem):
            raise NotApplicable(
                f"`ControlVariates` takes noise away, but {type(self.estimator).__name__} solves this problem without any."
            )
        for variate in self.variates or ():
            _refuse(variate, problem)

    def describe(self, problem: Problem) -> str:
        return self.estimator.describe(problem)

    def at_horizon(self, problem: Problem, horizon: int) -> "ControlVariates":
        chosen = self._default(problem) if self.variates is None else self.variates
        ready = tuple(v if isinstance(v, str) else (v[0].at_horizon(horizon), v[1]) for v in chosen)
        return type(self)(self.estimator.at_horizon(problem, horizon), ready, self.folds)

    def memory(self, state: int, carry: int, horizon: int) -> float:
        own = self.estimator.memory(state, carry, horizon)
        return own + 2 * BPTT().memory(state, carry, horizon) + 256.0 * state

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        shared, own = {}, {}
        for number, variate in enumerate(self.variates or ()):
            if not isinstance(variate, str):
                shared[f"variate {number}"] = _variates.given(variate[0], variate[1], problem, rollout)
            elif variate == "linear":
                own[variate] = _variates.linear(problem, rollout)
            else:
                shared[variate] = getattr(_variates, variate)(problem, rollout)
        return _Controlled(self.estimator.replicate(problem, rollout), shared, own, self.folds)

    def _default(self, problem: Problem) -> tuple[str, ...]:
        normal = _variates.has_normals(problem)
        linear = ("linear",) if normal and self.pathwise else ()
        if not self.stationary and _variates.has_score(problem):
            return (*linear, "score")
        return linear or (("noise",) if normal else ())


def _as_variates(variates: Any) -> tuple[Any, ...]:
    """Names and pairs (observable, expectation as a function of the law); one alone may come without its tuple."""
    pair = isinstance(variates, tuple) and len(variates) == 2 and isinstance(variates[0], Observable)
    return tuple(_as_variate(one) for one in ((variates,) if pair or isinstance(variates, str) else variates))


def _as_variate(variate: Any) -> Any:
    if isinstance(variate, str) and variate in _NAMED:
        return variate
    if isinstance(variate, tuple) and len(variate) == 2 and isinstance(variate[0], Observable):
        observable, expectation = variate
        known = expectation if isinstance(expectation, _Known) else _Known(expectation)
        return observable, known
    raise ValueError(
        f"Argument `variates` must hold {', '.join(map(repr, _NAMED))} or pairs (observable, expectation), but one was "
        f"{variate!r}. Give for example (Final(lambda state: state.position), 0.0)."
    )


class _Known(eqx.Module):
    """The expectation of a variate: a number, an array, or a function of the law."""

    value: Any

    def __init__(self, value: Any):
        self.value = as_function(value) if callable(value) else jnp.asarray(value)

    def __call__(self, law: Any) -> Float[Array, "*shape"]:
        return self.value(None, law) if isinstance(self.value, Function) else self.value


def _refuse(variate: Any, problem: Problem) -> None:
    """Raise where the law lacks what a named variate is made of."""
    name = type(problem.law()).__name__
    if variate == "score" and not _variates.has_score(problem):
        raise NotApplicable(
            f'`ControlVariates` cannot take "score": the path of {name} has no density in these parameters and this '
            'observable (ask Girsanov for the reason); use "linear" or "noise".'
        )
    if isinstance(variate, str) and variate != "score" and not _variates.has_normals(problem):
        raise NotApplicable(
            f'`ControlVariates` cannot take "{variate}": {name} has no normal noise; give a pair (observable, expectation).'
        )


class _Controlled(Contribution):
    """What the estimator hands over, with the variates beside it."""

    inner: Contribution
    shared: dict[str, Float[Array, " variates"]]
    own: dict[str, PyTree]
    folds: int = eqx.field(static=True)

    @property
    def observable(self) -> Any:
        return self.inner.observable  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def unfinished(self) -> Any:
        return self.inner.unfinished  # pyright: ignore[reportAttributeAccessIssue]

    def influence(self) -> PyTree:
        return _cross_fit.like(self.inner.influence(), self._controlled())

    def mixing(self) -> dict[str, tuple[Array, Array]]:
        return self.inner.mixing()

    def findings(self) -> list[str]:
        return [*self.inner.findings(), *self._off_zero()]

    def notes(self) -> list[str]:
        return [*self.inner.notes(), *self._gain()]

    def _controlled(self) -> Float[np.ndarray, "replicas components"]:
        """The influence values less what the variates explain of them, with the other folds' coefficients."""
        everyone = np.arange(len(self.observable))
        values = _cross_fit.columns(self.inner, everyone)
        if not self._enough:
            return values
        for own, others in _cross_fit.splits(len(everyone), self.folds):
            fitted = _cross_fit.columns(self.inner, others)
            values[own] = _cross_fit.columns(self.inner, own)
            for component in range(values.shape[1]):
                variates = self._of(component)
                slope = _slopes(variates[others], fitted[:, component])
                values[own, component] -= variates[own] @ slope
        return values

    def _of(self, component: int) -> Float[np.ndarray, "replicas variates"]:
        """The variates of one component; without those that are not finite."""
        own = [as_columns(tree)[:, component : component + 1] for tree in self.own.values()]
        variates = np.concatenate([*(as_columns(v) for v in self.shared.values()), *own], axis=1, dtype=float)
        return variates[:, np.all(np.isfinite(variates), axis=0)]

    @property
    def _count(self) -> int:
        return sum(v.shape[1] for v in self.shared.values()) + len(self.own)

    @property
    def _enough(self) -> bool:
        return 0 < self._count * _PER_VARIATE <= len(self.observable)

    def _off_zero(self) -> Iterator[str]:
        """Variates whose mean is not the zero that they promise."""
        for name, values in self.shared.items():
            flat = as_columns(values)
            error = (
                np.std(flat, axis=0, ddof=1) / np.sqrt(len(flat)) if len(flat) > 1 else np.full(flat.shape[1], np.nan)
            )
            z = np.abs(np.mean(flat, axis=0)) / np.where(error > 0, error, np.inf)
            if np.max(z, initial=0.0) > _OFF_ZERO:
                yield (
                    f"the control variate {name} has a mean {np.max(z):.1f} standard errors off zero: its expectation is "
                    "not what was given, and the estimate is biased; leave it out."
                )

    def _gain(self) -> Iterator[str]:
        """What the variates were good for."""
        if not self._enough:
            yield (
                f"no control variates: {self._count} of them need {_PER_VARIATE * self._count} replicas"
                if self._count
                else ("no control variates: this law has none by default")
            )
            return
        before = _cross_fit.columns(self.inner, np.arange(len(self.observable)))
        with np.errstate(invalid="ignore", divide="ignore"):
            left = np.sum(np.var(self._controlled(), axis=0)) / np.sum(np.var(before, axis=0))
        yield f"control variates ({', '.join([*self.shared, *self.own])}) leave {left:.1%} of the variance"


def _slopes(variates: np.ndarray, values: np.ndarray) -> Float[np.ndarray, " variates"]:
    """Least squares with an intercept; of minimal norm where variates say the same, nothing where they do not vary."""
    centred, spread = variates - variates.mean(axis=0), variates.std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    if not np.all(np.isfinite(values)):
        return np.zeros(variates.shape[1])
    return np.linalg.lstsq(centred / scale, values - values.mean(), rcond=1e-10)[0] / scale
