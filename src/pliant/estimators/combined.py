"""Several unbiased estimators of one derivative, combined for the least variance."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from pliant.core import scout
from pliant.core.contributions import Contribution
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator, Problem
from pliant.core.rollout import Rollout
from pliant.core.statistics import tail_index_error
from pliant.core.verdict import FINITE_VARIANCE, tail_of
from pliant.estimators import _cross_fit
from pliant.estimators.bptt import BPTT
from pliant.estimators.girsanov import Girsanov

# Members whose means differ by more standard errors than these do not estimate the same number.
_DISAGREE = 5.0


class Combined(Estimator):
    r"""The combination $\sum_i w_i g_i$ of several unbiased estimators of ONE derivative that has the least variance.

    $$ w = \frac{\Sigma^{-1} 1}{1^T \Sigma^{-1} 1}, \qquad \Sigma_{ij} = \operatorname{Cov}(g_i, g_j), $$

    component by component. All members see the same trajectories, so that $\Sigma$ is that of their per-replica influence
    values; weights may be negative where members are strongly correlated. Correlations are shrunk towards zero by the
    amount that their own noise calls for. Weights come from the other folds (cross-fitting): the combination stays
    unbiased and its error bar honest.

    **Arguments**: `members`: estimators, BPTT and Girsanov by default; `folds`: into how many parts replicas are cut.
    With fewer than 8 replicas the weights are equal. `remarks`: what `at_horizon` found, for the verdict.

    Left out, with a note: a member whose tail index (of the training folds) is above 1/2 by a standard error, as its
    variance may be infinite and its weight would be noise; a member with values that are not finite; pathwise members where
    the observable jumps. Where nobody would be left the member with the lightest tail stays, and the verdict says what is
    wrong. (Without the standard error one in six sets of 2000 products of two squared normals, all moments of which
    exist, would be left out; with it one in a hundred, and still nearly all with an index of 0.8.)

    Refused: members with different targets (a stationary with a finite-time derivative) or biased ones (finite
    differences): the weights would be chosen for their variance alone, and the bias would have no error bar. Members whose
    means differ by five standard errors or more are a finding of the verdict.

    Cost: that of all members together. The excess variance from not knowing the weights is about (members - 1) / replicas.

    Aliases: multiple estimators with optimal (BLUE) weights, mixed likelihood-ratio and reparametrisation gradient, total
    propagation (which weighs by inverse variances alone).

    Source: Bates and Granger, Oper. Res. Q. 20, 451 (1969), for the weights; Schäfer and Strimmer, Stat. Appl. Genet. Mol.
    Biol. 4, 32 (2005), section 2.4, for the shrinkage; Parmas, Rasmussen, Peters and Doya, ICML (2018), in simulations.
    """

    members: tuple[Estimator, ...]
    folds: int = eqx.field(static=True)
    remarks: tuple[str, ...] = eqx.field(static=True)

    def __init__(self, *members: Estimator, folds: int = 5, remarks: tuple[str, ...] = ()):
        self.members = members or (BPTT(), Girsanov())
        self.folds = folds
        self.remarks = remarks

    def __check_init__(self) -> None:
        for member in self.members:
            if not isinstance(member, Estimator):
                shown = member.__name__ + ", a class; call it" if isinstance(member, type) else repr(member)
                raise ValueError(f"Argument `members` must be estimators, but one was {shown}.")
        if isinstance(self.folds, bool) or not isinstance(self.folds, int) or self.folds < 2:
            raise ValueError(f"Argument `folds` must be a whole number >= 2, but it was {self.folds!r}.")

    @property
    def requires(self) -> tuple[type, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return tuple(dict.fromkeys(capability for member in self.members for capability in member.requires))

    @property
    def pathwise(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return any(member.pathwise for member in self.members)

    @property
    def stationary(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return any(member.stationary for member in self.members)

    def check(self, problem: Problem) -> None:
        for member in self.members:
            member.check(problem)
            if member.solves(problem):
                raise NotApplicable(
                    f"`Combined` weighs averages over replicas, but {type(member).__name__} solves this problem without any."
                )
        for member in self.members:
            _same_target(self.members[0], member, problem)

    def describe(self, problem: Problem) -> str:
        return self.members[0].describe(problem)

    def at_horizon(self, problem: Problem, horizon: int) -> "Combined":
        ready = tuple(member.at_horizon(problem, horizon) for member in self.members)
        kept, remarks = _without_jumps(ready, problem, horizon)
        return type(self)(*kept, folds=self.folds, remarks=remarks)

    @property
    def batches(self) -> int | None:
        counts = {member.batches for member in self.members}
        return counts.pop() if len(counts) == 1 else None

    def for_one_chain(self, problem: Problem) -> "Combined":
        cut = type(self)(
            *(member.for_one_chain(problem) for member in self.members), folds=self.folds, remarks=self.remarks
        )
        return self if cut.batches is None else cut

    def memory(self, state: int, carry: int, horizon: int) -> float:
        return sum(member.memory(state, carry, horizon) for member in self.members)

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        found = tuple(member.replicate(problem, rollout) for member in self.members)
        return _Pool(found, tuple(type(member).__name__ for member in self.members), self.folds, self.remarks)


def _same_target(first: Estimator, member: Estimator, problem: Problem) -> None:
    """Refuse a member that estimates something else than the first one, or something else than a derivative."""
    target, other = first.describe(problem), member.describe(problem)
    name = type(member).__name__
    if not member.stationary and other != Estimator.target:
        raise NotApplicable(
            f"`Combined` weighs unbiased estimators by their variances, but {name} estimates {other}: its bias would be "
            "in no error bar; leave it out."
        )
    if other != target:
        raise NotApplicable(
            f"`Combined` needs members with one target, but {type(first).__name__} estimates {target}, and {name} "
            f"{other}; combine those of one kind."
        )


def _without_jumps(
    members: tuple[Estimator, ...], problem: Problem, horizon: int
) -> tuple[tuple[Estimator, ...], tuple[str, ...]]:
    """The members without pathwise ones where the observable jumps and others are left, and what was found."""
    others = tuple(member for member in members if not member.pathwise)
    if not others or len(others) == len(members):
        return members, ()
    law, key = problem.law(), jax.random.key(0)
    scout.check_start(law, key)
    scout.check_shapes(law, problem.observable, key)
    found = list(scout.discontinuous(problem, scout.walk(law, key, horizon)))
    if not found:
        return members, ()
    names = ", ".join(type(member).__name__ for member in members if member.pathwise)
    return others, (f"left out of the combination: {names}, pathwise, where observable or step is discontinuous",)


class _Pool(Contribution):
    """What the members hand over, side by side."""

    members: tuple[Contribution, ...]
    names: tuple[str, ...] = eqx.field(static=True)
    folds: int = eqx.field(static=True)
    remarks: tuple[str, ...] = eqx.field(static=True)

    @property
    def observable(self) -> Any:
        return self.members[0].observable  # pyright: ignore[reportAttributeAccessIssue]

    @property
    def unfinished(self) -> Any:
        return self.members[0].unfinished  # pyright: ignore[reportAttributeAccessIssue]

    def influence(self) -> PyTree:
        values, _ = self._combine()
        return _cross_fit.like(self.members[0].influence(), values)

    def mixing(self) -> dict[str, tuple[Array, Array]]:
        return {name: halves for member in self.members for name, halves in member.mixing().items()}

    def findings(self) -> list[str]:
        return list(dict.fromkeys([*(f for member in self.members for f in member.findings()), *self._disagreements()]))

    def notes(self) -> list[str]:
        of_members = [note for member in self.members for note in member.notes()]
        return list(dict.fromkeys([*self.remarks, *of_members, *self._shares()]))

    def _combine(self) -> tuple[np.ndarray, np.ndarray]:
        """Combined influence values (replicas, components), and the weights of the folds (folds, members, components)."""
        whole = self._members(np.arange(self._replicas))
        folds = list(_cross_fit.splits(self._replicas, self.folds))
        if not folds:
            return np.mean(whole, axis=1), np.full((1, *whole.shape[1:]), 1 / len(self.members))
        finite = np.all(np.isfinite(whole), axis=(0, 2))
        weights = np.stack([_weights(self._members(others), finite) for _, others in folds])
        values = np.empty_like(whole[:, 0])
        for (own, _), weight in zip(folds, weights, strict=True):
            # A member without weight may hold infinities: zero times those would be no zero.
            values[own] = np.sum(np.where(weight == 0, 0.0, weight * self._members(own)), axis=1)
        return values, weights

    def _members(self, rows: np.ndarray) -> Float[np.ndarray, "replicas members components"]:
        """The members' influence values among these replicas."""
        return np.stack([_cross_fit.columns(member, rows) for member in self.members], axis=1)

    @property
    def _replicas(self) -> int:
        return len(self.observable)

    def _shares(self) -> Iterator[str]:
        """How the members were weighed, and who was left out."""
        _, weights = self._combine()
        mean = np.mean(weights, axis=(0, 2))
        listed = ", ".join(f"{name} {share:.2f}" for name, share in zip(self.names, mean, strict=True))
        yield f"weights, averaged over components: {listed}"
        out = np.mean(np.all(weights == 0, axis=2), axis=0)
        for member, name, share in zip(self.members, self.names, out, strict=True):
            if share > 0:
                yield f"left out of the combination{_part(share)}: {name}, {_why(member, self._replicas)}"

    def _disagreements(self) -> Iterator[str]:
        """Members whose means differ by more than their common noise explains: they cannot all be unbiased."""
        everyone = np.arange(self._replicas)
        if len(everyone) < 2:
            return
        first = None
        for member, name in zip(self.members, self.names, strict=True):
            values = _cross_fit.columns(member, everyone)
            if not np.all(np.isfinite(values)) or tail_of(values, [""] * values.shape[1])[0] >= FINITE_VARIANCE:
                continue
            if first is None:
                first = values, name
                continue
            z = _apart(first[0], values)
            if z > _DISAGREE:
                yield (
                    f"the members disagree: {first[1]} and {name} differ by {z:.1f} standard errors on the same replicas, "
                    "so that one of them is biased here; ask each on its own, and look for jumps and missing parameters."
                )


def _part(share: float) -> str:
    return "" if share == 1 else f" in {share:.0%} of the folds"


def _why(member: Contribution, replicas: int) -> str:
    values = _cross_fit.columns(member, np.arange(replicas))
    if not np.all(np.isfinite(values)):
        return "values that are not finite"
    tail, _ = tail_of(values, [""] * values.shape[1])
    error = tail_index_error(tail, replicas)
    return f"tail index {tail:.2f} ± {error:.2f}; from {FINITE_VARIANCE} on the variance may be infinite"


def _apart(a: Float[np.ndarray, "replicas components"], b: Float[np.ndarray, "replicas components"]) -> float:
    """The largest difference of means in its standard errors, among those that matter beside the means' own errors."""
    error = lambda values: np.std(values, axis=0, ddof=1) / np.sqrt(len(values))
    size, own = np.abs(np.mean(b - a, axis=0)), error(b - a)
    matters = (size > 0.5 * error(a)) & (own > 0)
    return float(np.max(np.where(matters, size / np.where(own > 0, own, 1.0), 0.0), initial=0.0))


def _light(
    values: Float[np.ndarray, "replicas members components"], finite: np.ndarray
) -> Float[np.ndarray, " members"]:
    """Which members are finite and not seen to lack a variance; the one with the lightest tail where none is."""
    if not np.any(finite):
        return np.ones(len(finite), bool)
    names = [""] * values.shape[2]
    tails = np.array([tail_of(values[:, i], names)[0] if ok else np.inf for i, ok in enumerate(finite)])
    tails = np.where(np.isnan(tails), -np.inf, tails)
    light = tails - tail_index_error(np.maximum(tails, 0.0), len(values)) < FINITE_VARIANCE
    return light if np.any(light) else np.arange(len(tails)) == np.argmin(tails)


def _weights(values: np.ndarray, finite: np.ndarray) -> Float[np.ndarray, "members components"]:
    """The weights that these replicas ask for; zero for members that they leave out."""
    keep, weights = _light(values, finite), np.zeros(values.shape[1:])
    weights[keep] = _least_variance(values[:, keep])
    return weights


def _least_variance(
    values: Float[np.ndarray, "replicas members components"],
) -> Float[np.ndarray, "members components"]:
    """The weights of least variance, component by component; equal ones among members without any spread."""
    spread = np.std(values, axis=0, ddof=1)
    exact = spread == 0
    safe = np.where(exact, 1.0, spread)
    inverse = np.linalg.solve(_correlations(values, safe), (1 / safe).T[..., None])[..., 0].T / safe
    weights = np.where(np.any(exact, axis=0), exact, inverse)
    return weights / np.sum(weights, axis=0)


def _correlations(values: np.ndarray, spread: np.ndarray) -> Float[np.ndarray, "components members members"]:
    """Correlation matrices, shrunk towards the identity by the share of noise in them."""
    z = (values - np.mean(values, axis=0)) / spread
    replicas, members, components = z.shape
    found, noise = np.zeros((2, components, members, members))
    for i, j in zip(*np.triu_indices(members, 1), strict=True):
        product = z[:, i] * z[:, j]
        found[:, i, j] = found[:, j, i] = np.sum(product, axis=0) / (replicas - 1)
        noise[:, i, j] = noise[:, j, i] = np.var(product, axis=0, ddof=1) * replicas / (replicas - 1) ** 2
    total = np.sum(found**2, axis=(1, 2))
    shrink = np.clip(np.sum(noise, axis=(1, 2)) / np.where(total > 0, total, 1.0), 1e-9, 1.0)
    return np.eye(members) + (1 - shrink[:, None, None]) * found
