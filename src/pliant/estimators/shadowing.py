"""Shadowing: derivatives of the long-time averages of chaotic flows."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree

from pliant.core.contributions import Contribution
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import HasDrift
from pliant.core.noise import declared
from pliant.core.observable import Additive
from pliant.core.rollout import Rollout
from pliant.core.validate import positive_whole
from pliant.core.weighted import weighs_samples
from pliant.estimators import _expansion, _lss, _nilss
from pliant.estimators._shadowed import Shadowed

_MOST_MODES = 8


class Shadowing(Estimator):
    r"""The derivative of a stationary average of a deterministic chaotic flow, by least-squares shadowing.

    A tangent of a chaotic trajectory grows as $e^{\lambda t}$, and its average says nothing about that of the observable.
    Among all solutions of the tangent equation, at a speed of time that may change as $1 + \eta$, the bounded one points to
    the trajectory of the perturbed flow that stays near. Non-intrusive least-squares shadowing (NILSS) finds it as a forced
    tangent and a combination of a few modes, orthonormalised at the end of each segment. With v across the flow,

    $$ \frac{d \langle O \rangle}{d\theta} = \langle \nabla O \cdot v + \eta (O - \langle O \rangle)
       + \partial_\theta O \rangle + \operatorname{Cov}\Big(O, -\frac{d}{d\theta} \log J^u\Big). $$

    **Arguments**: `method`: "nilss", or "lss" for the least-squares problem of all steps at once, of which the modes are then
    no part but that of the verdict and of $J^u$: it needs no count of them, at the price of memory for an n x n matrix a
    step. `modes`: homogeneous tangents, one more than there are unstable directions at least (the verdict says
    where they are too few); by default all directions across the flow, up to eight. `segment`: steps between
    orthonormalisations; tangents should grow by a moderate factor over one. `adjoint`: False runs the tangent variant, at
    a cost in proportion to the parameters; True the adjoint one, at a cost independent of them and in proportion to the
    components of the observable; their numbers are the same. `complete`: True adds the covariance above, the unstable
    contribution: shadows keep the weights of their originals, which are not those of the perturbed flow, and
    $J^u$ is the growth of unstable volumes along the trajectory. False is shadowing as in the literature: cheaper by half,
    of less variance, and biased: on Lorenz's flow by 0.015 of 1.0.

    Requires a law with `HasDrift` and no noise, whose drift covers all fields of its state, and a time average. Each
    replica shadows its own trajectory; the ends of a trajectory cost a bias of O(1/T), on Lorenz's flow 0.003 at 15
    units of time. Valid where the flow is hyperbolic but for its own direction: exponents that are not told
    apart from zero, too few modes, and a trajectory at rest are told in the verdict. Cost per step: m + 1 tangents of the
    step for m modes and one parameter, twice with `complete` (with second derivatives); memory $O(m^2)$ a segment,
    independent of the dimension n but for n (m + 1) numbers.

    Source: Wang, Hu and Blonigan, J. Comput. Phys. 267, 210 (2014), for least-squares shadowing; Ni and Wang, J. Comput.
    Phys. 347, 56 (2017), for NILSS; Ni and Talnikar, J. Comput. Phys. 395, 690 (2019), for its adjoint; Ruelle, Commun.
    Math. Phys. 187, 227 (1997) and Ni, SIAM J. Appl. Dyn. Syst. 22, 2792 (2023), for the unstable contribution.
    """

    method: str = eqx.field(static=True, default="nilss")
    modes: int | None = eqx.field(static=True, default=None)
    segment: int = eqx.field(static=True, default=50)
    adjoint: bool = eqx.field(static=True, default=False)
    complete: bool = eqx.field(static=True, default=True)
    requires: ClassVar[tuple[type, ...]] = (HasDrift,)
    stationary: ClassVar[bool] = True

    def __check_init__(self) -> None:
        positive_whole("segment", self.segment)
        if self.method not in ("nilss", "lss"):
            raise ValueError(f'Argument `method` must be "nilss" or "lss", but it was {self.method!r}.')
        if self.modes is not None:
            positive_whole("modes", self.modes)

    def describe(self, problem: Problem) -> str:
        if self.complete:
            return "the derivative of the average over the invariant measure of the discretised flow"
        return (
            "the derivative of the average over shadows that keep the weights of the unperturbed flow: off the derivative of "
            "the invariant average by the unstable contribution"
        )

    def memory(self, state: int, carry: int, horizon: int) -> float:
        kept = 64 + 4 * horizon**0.5 if self.adjoint else 64
        whole = horizon * (state / 8.0) * state * 6.0 if self.method == "lss" else 0.0
        return whole + kept * 8.0 * _MOST_MODES * state + 64.0 * (horizon / self.segment) * (_MOST_MODES**2 + carry)

    def check(self, problem: Problem) -> None:
        law = problem.law()
        name = type(law).__name__
        if isinstance(law, HasDrift) and declared(law.noise):
            raise NotApplicable(
                f"`Shadowing` follows one trajectory of a deterministic flow, but {name} is driven by noise: a trajectory "
                "with the same noise nearby is not what its averages hang on. Use Reweighting where the density is known, or "
                "Girsanov."
            )
        super().check(problem)
        _refuse_observable(problem.observable)
        if weighs_samples(law):
            raise NotApplicable(
                f"`Shadowing` averages all states of a trajectory alike, but those of {name} carry weights; use Reweighting, or "
                "BPTT on a short horizon."
            )
        size, covered = _sizes(law)
        if size != covered:
            raise NotApplicable(
                f"`Shadowing` needs the drift of the whole state, but that of {name} covers {covered} of {size} numbers. And "
                "mechanics that conserves an energy is not hyperbolic, for its exponent of zero: use Reweighting where a density "
                "is known, or BPTT on a short horizon; where nothing is conserved, write the equations of motion as a `Flow`."
            )
        if size < 2 or (self.modes or 1) > size - 1:
            raise NotApplicable(
                f"`Shadowing` needs at least one direction across the flow for each of its {self.modes or 1} modes, but the "
                f"state has {size} dimensions. A flow on a line comes to rest: use BPTT; else lower `modes`."
            )

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        size, _ = _sizes(problem.law())
        modes = min(size - 1, _MOST_MODES) if self.modes is None else self.modes
        paced = dataclasses.replace(rollout, block=min(self.segment, rollout.horizon))

        def response(direction: PyTree) -> tuple[tuple[Array, Array], _nilss.Shadow]:
            found = _nilss.shadow(problem, paced, direction, modes, checkpoint=self.adjoint)
            gradient, follow = found.gradient, found.follow
            if self.method == "lss":
                gradient, tangents, dilations = _lss.shadow(problem, paced, direction)
                follow = lambda bundle, along, segment, t: (tangents[t], -dilations[t])
            score = self._score(problem, paced, direction, found.segments, follow)
            return (gradient, score), jax.lax.stop_gradient(found)

        along_all = _in_reverse if self.adjoint else _one_by_one
        (gradient, score), found = along_all(response, problem.parameters)
        return self._contribution(problem, paced, gradient, score, found, size - 1)

    def _score(
        self, problem: Problem, paced: Rollout, direction: PyTree, segments: _nilss.Segments, follow: Callable
    ) -> Array:
        """Minus the derivative of the log growth of unstable volumes over the window of the average."""
        if not self.complete:
            return jnp.zeros((), segments.growth.dtype)
        unstable = jnp.mean(_nilss.logarithms(segments), axis=0) > 0
        rates = _expansion.rates(problem, paced, direction, follow, unstable, checkpoint=self.adjoint)
        return -jnp.sum(jnp.where(segments.weight > 0, rates, 0.0))

    def _contribution(
        self, problem: Problem, paced: Rollout, gradient: PyTree, score: PyTree, found: _nilss.Shadow, transverse: int
    ) -> Shadowed:
        law, segments = problem.law(), found.segments
        shape = jax.eval_shape(lambda: problem.observable.term(law, law.init(paced.key))).shape
        value, logs = _nilss.average(segments).reshape(shape), _nilss.logarithms(segments)
        duration = jnp.asarray(law.time(paced.block * len(logs)))
        total, last = found.speeds
        return Shadowed(
            observable=value,
            score=score,
            product=jax.tree.map(lambda s: jnp.tensordot(value, s, axes=0), score),
            explicit=jax.tree.map(lambda g: g.reshape(shape + g.shape[1:]), gradient),
            halves=_halves(segments, shape),
            exponents=jnp.sum(logs, axis=0) / duration,
            duration=duration,
            stretch=jnp.max(logs),
            slowness=jnp.sqrt(last * paced.horizon / total),
            transverse=transverse,
            completed=self.complete,
        )


def _one_by_one(response: Callable, parameters: PyTree) -> tuple[tuple[PyTree, PyTree], Any]:
    """The linear response along every parameter; what does not depend on the direction is computed once."""
    flat, unravel = ravel_pytree(parameters)
    (gradient, score), found = jax.vmap(lambda row: response(unravel(row)))(jnp.eye(flat.size, dtype=flat.dtype))
    return (jax.vmap(unravel)(gradient.T), unravel(score)), jax.tree.map(lambda leaf: leaf[0], found)


def _in_reverse(response: Callable, parameters: PyTree) -> tuple[tuple[PyTree, PyTree], Any]:
    """The same from the transposed response, component by component of the observable."""
    return jax.jacrev(response, has_aux=True)(jax.tree.map(jnp.zeros_like, parameters))


def _refuse_observable(observable: Any) -> None:
    if not isinstance(observable, Additive) or observable.spread < 2:
        raise NotApplicable(
            f"`Shadowing` differentiates long-time averages, but {type(observable).__name__} is not one: a state at a fixed "
            "time of a chaotic flow has an ever steeper derivative. Use TimeAverage, or BPTT over a short horizon."
        )


def _sizes(law: Any) -> tuple[int, int]:
    """How many numbers the state has, and how many of them the drift covers."""

    def flat() -> tuple[Array, Array]:
        state = law.init(jax.random.key(0))
        return ravel_pytree(state)[0], ravel_pytree(law.drift(state, 0))[0]

    state, drift = jax.eval_shape(flat)
    return state.size, drift.size


def _halves(segments: _nilss.Segments, shape: tuple[int, ...]) -> dict[str, tuple[Array, Array]]:
    """The observable over both halves of its window, to the nearest segment."""
    if len(segments.weight) < 4:
        return {}
    early = (jnp.cumsum(segments.weight) < 0.5 + 1e-6).astype(segments.weight.dtype)

    def mean(share: Array) -> Array:
        return ((share @ segments.observed) / jnp.maximum(share @ segments.weight, 1e-30)).reshape(shape)

    return {"the observable": (mean(early), mean(1 - early))}
