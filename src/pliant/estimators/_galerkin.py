r"""Poisson's equation of a steady state in a basis of polynomials, from averages along the law's own trajectories.

With the transition operator P of one step, $(1 - P) \Phi = O - \langle O \rangle$ and

$$ \partial_\theta \langle O \rangle = \langle \partial_\theta O \rangle + \langle (\partial_\theta P)\, \Phi \rangle, \qquad
   (\partial_\theta P)\, \Phi (x) = E[\nabla \Phi(x') \cdot \partial_\theta x' \mid x] $$

where $\partial_\theta x'$ is the derivative of one step at fixed noise: no generator, density or score is needed. In a basis
$\psi$ the potential is $\Phi = c \cdot \psi$ with $\langle \psi_i (\psi_j - \psi_j') \rangle c_j =
\operatorname{Cov}(\psi_i, O)$: the weak form by temporal differences, free of any error in dt.

Source: Bradtke and Barto, Machine Learning 22, 33 (1996), for the weak form; Abdulle, Pavliotis and Vaes, SIAM/ASA J.
Uncertain. Quantif. 5, 720 (2017), for Hermite-Galerkin methods of Poisson's equation; Miller, Biometrika 61, 1 (1974), for
the jackknife.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pliant.core.contributions import Contribution
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Problem
from pliant.core.laws import State
from pliant.core.rollout import Rollout
from pliant.core.trees import first_name
from pliant.estimators import _explicit, _pilot

# Functions in a basis, by default and at most.
_DEFAULT, _MOST = 300, 1500
_GROUPS = 32


class Basis(eqx.Module):
    """Products of normalised Hermite polynomials in standardised coordinates, of a total degree from 1 up.

    **Fields**: `centre`, `scale` of the coordinates, shape (d,); `degree`; `coordinates` of a state, or None for all of
    its numbers but a stored force, which is a function of the others.
    """

    centre: Float[Array, " d"]
    scale: Float[Array, " d"]
    degree: int = eqx.field(static=True)
    coordinates: Callable | None = eqx.field(static=True)

    @property
    def functions(self) -> int:
        """How many functions there are."""
        return size_of(self.centre.size, self.degree)

    def __call__(self, state: State) -> Float[Array, " m"]:
        return self.at(of_state(state, self.coordinates))

    def at(self, place: Float[Array, " d"]) -> Float[Array, " m"]:
        """The functions where the coordinates have these values."""
        z = (place - self.centre) / self.scale
        rows = [jnp.ones_like(z), z]
        for n in range(1, self.degree):
            rows.append((z * rows[n] - math.sqrt(n) * rows[n - 1]) / math.sqrt(n + 1))
        powers = powers_of(z.size, self.degree)
        return jnp.prod(jnp.stack(rows)[powers, jnp.arange(z.size)], axis=1)


def of_state(state: State, coordinates: Callable | None) -> Float[Array, " d"]:
    """The coordinates of a state."""
    if coordinates is not None:
        return jnp.ravel(coordinates(state))
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return jnp.concatenate([jnp.ravel(leaf) for path, leaf in leaves if first_name(path) != "force"])


def _without_force(state: State) -> State:
    """The state without a stored force: the step then makes it anew, with its dependence on the parameters."""
    return state if getattr(state, "force", None) is None else dataclasses.replace(state, force=None)


def powers_of(d: int, degree: int) -> np.ndarray:
    """The degrees of every function in every coordinate, shape (m, d), by rising total degree."""
    rows = [
        np.bincount(chosen, minlength=d)
        for total in range(1, degree + 1)
        for chosen in itertools.combinations_with_replacement(range(d), total)
    ]
    return np.array(rows)


def size_of(d: int, degree: int) -> int:
    """How many functions of total degree 1 to `degree` there are."""
    return math.comb(d + degree, degree) - 1


class Projected(Contribution):
    """The averages behind the weak form.

    **Fields** beside the observable: `mean` of the basis (m,); `matrix`, of basis times its fall over a step (m, m);
    `product` of basis and observable (m, *obs); `force`: the basis' response to the parameters over a step, leaves (m,
    *parameter); `explicit` (*obs, *parameter); `lower`: functions in the basis of lower degree.
    """

    observable: Float[Array, "*obs"]
    mean: Array
    matrix: Array
    product: Array
    force: PyTree
    explicit: PyTree
    lower: Array
    unfinished: None = None

    def influence(self) -> PyTree:
        return self._response(self.mean.shape[1])

    def _response(self, size: int) -> PyTree:
        """Per-replica values of the response in the first `size` functions.

        Their spread is that of the linearised solution (the infinitesimal jackknife); their mean is the jackknife's over
        groups of replicas, which takes off the bias of a solution of noisy equations.
        """
        replicas = len(self.observable)
        each = jax.tree.map(lambda x: np.asarray(x, float), self._averages())
        whole = jax.tree.map(lambda x: x.mean(axis=0), each)
        if replicas < 2:
            return jax.tree.map(lambda e: np.full_like(e, np.nan), each[-1])
        groups = np.array_split(np.arange(replicas), min(replicas, _GROUPS))
        left = [_solution(_without(whole, each, group), size) for group in groups]
        spread = _linearised(each, whole, size)

        def leaf(at: Any, moved: Any, *without: Any) -> Any:
            weights = [(replicas - len(group)) / replicas for group in groups]
            bias = sum(weight * (w - at) for weight, w in zip(weights, without, strict=True))
            return moved + (at - bias)

        return jax.tree.map(leaf, _solution(whole, size), spread, *left)

    def _averages(self) -> tuple:
        return self.observable, self.mean, self.matrix, self.product, self.force, self.explicit

    def bias(self) -> tuple[Any, PyTree]:
        """The change from the lower degree to the full one, less what is chance in it."""
        full, lower = (self._response(size) for size in (self.mean.shape[1], int(self.lower[0])))
        return 0.0, jax.tree.map(lambda a, b: _beyond_chance(a - b), full, lower)

    def notes(self) -> list[str]:
        beyond = float(np.linalg.norm(ravel_pytree(self.bias()[1])[0]))
        size = float(np.linalg.norm(ravel_pytree(jax.tree.map(lambda x: np.mean(x, axis=0), self.influence()))[0]))
        return [
            f"truncation: from a basis of {int(self.lower[0])} to one of {self.mean.shape[1]} functions the gradient changes "
            f"by {beyond / max(size, 1e-300):.1%} of itself beyond chance, which is in the error bar"
        ]


def _beyond_chance(change: Float[np.ndarray, "replicas *shape"]) -> np.ndarray:
    mean, error = np.mean(change, axis=0), np.std(change, axis=0) / math.sqrt(max(len(change) - 1, 1))
    return np.sqrt(np.maximum(mean**2 - error**2, 0.0))


def _without(whole: PyTree, each: PyTree, group: np.ndarray) -> PyTree:
    """Averages over all replicas but those of a group."""

    def leaf(mean: Any, x: Any) -> Any:
        return (len(x) * mean - x[group].sum(axis=0)) / (len(x) - len(group))

    return jax.tree.map(leaf, whole, each)


def _solution(averages: tuple, size: int) -> PyTree:
    """The response from averages over replicas: leaves (*obs, *parameter)."""
    force, explicit = averages[-2:]
    potential = _potential(averages, size)[0]
    return jax.tree.map(lambda f, e: e + np.tensordot(potential, f[:size], axes=(0, 0)), force, explicit)


def _potential(averages: tuple, size: int) -> tuple[Float[np.ndarray, "m *obs"], Float[np.ndarray, "m m"]]:
    """The coefficients of the potential, and the inverse that gave them."""
    observable, mean, matrix, product, *_ = averages
    # Least squares with minimal norm: coordinates that depend on one another do no harm.
    inverse = np.linalg.pinv(matrix[:size, :size], rcond=1e-10)
    right = (product - np.multiply.outer(mean, observable))[:size]
    return np.tensordot(inverse, right, axes=1), inverse


def _linearised(each: tuple, whole: tuple, size: int) -> PyTree:
    """How far the response moves with the deviation of every replica from the mean, to first order."""
    potential, inverse = _potential(whole, size)
    off = jax.tree.map(lambda x, mean: x - mean, each, whole)
    observable, mean, matrix, product, force, explicit = off
    drift = product - np.multiply.outer(whole[1], observable).swapaxes(0, 1) - np.multiply.outer(mean, whole[0])
    unbalanced = drift[:, :size] - np.tensordot(matrix[:, :size, :size], potential, axes=1)
    moved = np.einsum("ij,rj...->ri...", inverse, unbalanced)

    def leaf(f: Any, df: Any, de: Any) -> Any:
        along = np.moveaxis(np.tensordot(potential, df[:, :size], axes=(0, 1)), potential.ndim - 1, 0)
        return de + along + np.tensordot(moved, f[:size], axes=(1, 0))

    return jax.tree.map(leaf, whole[4], force, explicit)


def check(problem: Problem, degree: int | None, coordinates: Callable | None) -> None:
    """Raise `NotApplicable` where a step jumps, or the basis would be too large."""
    law = problem.law()
    if law.jumps:
        raise NotApplicable(
            f"a step of {type(law).__name__} jumps with its parameters at fixed noise, and its derivative misses the jump; "
            'use `Implicit(method="window")` where it has a path density, or Reweighting.'
        )
    d = of_state(law.init(jax.random.key(0)), coordinates).size
    asked = _degree(d) if degree is None else degree
    if size_of(d, asked) > _MOST:
        raise NotApplicable(
            f"a basis of degree {asked} in {d} coordinates has {size_of(d, asked)} functions, more than {_MOST}: lower "
            '`degree`, pass the few `coordinates` that matter, or use `Implicit(method="window")`.'
        )


def _degree(d: int) -> int:
    """The highest degree, up to eight, with a basis of moderate size; an even one leaves none of a symmetry out."""
    fitting = [n for n in range(1, 9) if size_of(d, n) <= _DEFAULT]
    return max(fitting, default=2)


def prepare(problem: Problem, horizon: int, degree: int | None, coordinates: Callable | None) -> Basis:
    """The basis, standardised by a pilot run."""
    walks, _ = _pilot.series(problem.law(), _Coordinates(coordinates), horizon)
    flat = walks.reshape(-1, walks.shape[2])
    scale = np.where(flat.std(axis=0) > 0, flat.std(axis=0), 1.0)
    chosen = _degree(flat.shape[1]) if degree is None else degree
    return Basis(jnp.asarray(flat.mean(axis=0)), jnp.asarray(scale), chosen, coordinates)


class _Coordinates(eqx.Module):
    """The coordinates as a function of law and state."""

    function: Callable | None = eqx.field(static=True)

    def __call__(self, law: Any, state: State) -> Float[Array, " d"]:
        return of_state(state, self.function)


def replicate(problem: Problem, rollout: Rollout, basis: Basis) -> Projected:
    """One trajectory's averages of the weak form."""
    observable: Any = problem.observable
    fixed: Any = problem.law()

    def terms(state: State, noise: PyTree, after: State, t: Any) -> tuple:
        here, there, value = basis(state), basis(after), observable.term(fixed, after)
        live = _without_force(state)
        # By the chain rule over the few coordinates: the many functions would be walked back one by one.
        moves = jax.jacrev(lambda p: of_state(problem.law(p).step(live, noise, t), basis.coordinates))(
            problem.parameters
        )
        slope = jax.jacfwd(basis.at)(of_state(after, basis.coordinates))
        force = jax.tree.map(lambda leaf: jnp.tensordot(slope, leaf, axes=1), moves)
        matrix, product = jnp.outer(here, here - there), jnp.tensordot(there, value, axes=0)
        return value, there, matrix, product, force, _explicit.of_term(problem, after)

    def start(law: Any, state: State) -> PyTree:
        mean, value = jnp.zeros_like(basis(state)), jnp.zeros_like(observable.term(law, state))
        force, explicit = (
            jax.tree.map(lambda p, x=x: jnp.zeros((*x.shape, *p.shape), p.dtype), problem.parameters)
            for x in (mean, value)
        )
        return value, mean, jnp.outer(mean, mean), jnp.tensordot(mean, value, axes=0), force, explicit

    def update(carry: PyTree, law: Any, state: State, noise: PyTree, after: State, t: Any) -> PyTree:
        weight = observable.weight(t + 1)
        return jax.tree.map(lambda total, term: total + weight * term, carry, terms(state, noise, after, t))

    value, mean, matrix, product, force, explicit = rollout.fold(fixed, start, update)
    below = basis.degree - (2 if basis.degree >= 4 else 1)
    lower = jnp.asarray(size_of(basis.centre.size, below))
    return Projected(value, mean, matrix, product, force, explicit, lower)
