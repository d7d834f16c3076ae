"""Malliavin weights: derivatives moved off the observable and onto the noise."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from pliant.core import gaussian_step
from pliant.core.contributions import Contribution, Covariance
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator, Problem
from pliant.core.laws import State
from pliant.core.observable import Additive
from pliant.core.rollout import Rollout
from pliant.core.validate import positive_whole
from pliant.estimators import _explicit


class Malliavin(Estimator):
    r"""Integration by parts on the noise: $\partial_\theta \mathbb E[O] = \mathbb E[\partial_\theta O + O\,\delta_\theta]$.

    No derivative of the observable is taken, so it may jump; and unlike a likelihood ratio it serves initial conditions, dt
    and the amplitude of the noise (temperature, friction) too, exactly for the discrete scheme.

    **The last state alone** (`Final`). Tangents are followed as in `ForwardSensitivity` to step n - W, and from there on
    undone by the W noises that are left. A step $x' = m(x) + s w$ has the Jacobian $A = \partial m / \partial x$ and moves by
    itself by $c = \partial_\theta m + (\partial_\theta s)\, w$; what arises at step j is shared out evenly over the n - j
    noises from there on, and the tangent Y at step n - W over all W of them:

    $$ R_{j+1} = A_j R_j + \frac{c_j}{n - j}, \quad R_{n-W} = \frac{Y}{W}, \qquad
       \delta_\theta = \sum_{j = n-W}^{n-1} \left( s^{-1} R_{j+1} \cdot w_j
       - \frac{\operatorname{tr} s^{-1} \partial_\theta s}{n - j} \right). $$

    Moving every $w_j$ by $s^{-1} R_{j+1}$ moves $x_n$ by its whole tangent; as $R_{j+1}$ depends on no later noise than
    $w_j$, the integral is Itô's but for the trace, and nothing need be inverted. With W = n and an initial condition it is
    the formula of Bismut, Elworthy and Li.

    **Any other observable** sees all steps. Its weight is the score of every step, in whose first the initial condition
    moves: exact also for passage times, but with variance $\sim 1/dt$ for the initial condition and for the amplitude of the
    noise, as path laws of two amplitudes are singular in the continuum. In parameters of the drift it is `ScoreFunction`.

    **Arguments**: `window` W, in steps; None, the default, takes all. The variance is $\sim Y^2 / (W dt)$, plus $\sim \ln W$
    in the amplitude of the noise. Short windows inherit the tails of the tangent at step n - W: over the barrier of a double
    well (200 steps of 0.01) the error of d/dkT is 0.068 at W = 1, 0.010 at 40 and 0.007 at 200, that of the score of every
    step 0.049.

    Requires a state of one array, every number of which is moved by a normal noise of its own, of an amplitude that does not
    depend on the state (overdamped Langevin by Euler-Maruyama). Cost for `Final`: one tangent a parameter, in memory
    independent of the horizon; else that of a likelihood ratio. Where the tangent at step n - W is heavy-tailed (barriers,
    chaos) so is the weight: lengthen the window, where it is not the whole horizon yet.

    Source: Fournié, Lasry, Lebuchoux, Lions and Touzi, Finance Stoch. 3, 391 (1999); Bismut, Large Deviations and the
    Malliavin Calculus (1984); Elworthy and Li, J. Funct. Anal. 125, 252 (1994); Warren and Allen, Phys. Rev. Lett. 109,
    250601 (2012), for the score of every step.
    """

    window: int | None = eqx.field(static=True, default=None)

    def __check_init__(self) -> None:
        if self.window is not None:
            positive_whole("window", self.window)

    def check(self, problem: Problem) -> None:
        super().check(problem)
        law = problem.law()
        reason = gaussian_step.refusal(law) or gaussian_step.multiplicative(law)
        if reason is not None:
            raise NotApplicable(
                f"`Malliavin` cannot integrate by parts on {type(law).__name__}: {reason}; use BPTT or ForwardSensitivity for "
                "smooth observables, ScoreFunction for jumping ones."
            )

    def memory(self, state: int, carry: int, horizon: int) -> float:
        return 256.0 * state + 16.0 * carry

    def replicate(self, problem: Problem, rollout: Rollout) -> Contribution:
        observable = problem.observable
        if isinstance(observable, Additive) and observable.last_only:
            window = rollout.horizon if self.window is None else min(self.window, rollout.horizon)
            value, weight, explicit = _of_last_state(problem, rollout, window)
            unfinished = None
        else:
            value, weight, explicit, unfinished = _of_path(problem, rollout)
        product = jax.tree.map(lambda w: jnp.tensordot(value, w, axes=0), weight)
        return Covariance(value, weight, product, explicit, unfinished)


def _of_last_state(problem: Problem, rollout: Rollout, window: int) -> tuple[Array, PyTree, PyTree]:
    """The observable of the last state, its weight, and its explicit derivative."""
    law, observable, horizon = problem.law(), problem.observable, rollout.horizon
    flat, place = ravel_pytree(problem.parameters)

    def start(_: Any, state: State) -> PyTree:
        initial = lambda flat: ravel_pytree(rollout.initial(problem.law(place(flat))))[0]
        return jax.jacfwd(initial)(flat).T, jnp.zeros_like(flat), state

    def update(carry: PyTree, _: Any, state: State, noise: Array, after: State, t: Any) -> PyTree:
        tangent, weight, _ = carry
        open_now, share = t >= horizon - window, 1.0 / (horizon - t)
        tangent = jnp.where(t == horizon - window, tangent / window, tangent)
        tangent = _moved(problem, tangent, jnp.where(open_now, share, 1.0), state, noise, t)
        gained = _by_parts(problem, tangent, share, state, noise, t)
        return tangent, weight + jnp.where(open_now, gained, 0.0), after

    _, weight, state = rollout.fold(law, start, update)
    return observable.term(law, state), place(weight), _explicit.of_term(problem, state)


def _moved(
    problem: Problem, tangent: Float[Array, "p d"], share: Array, state: State, noise: Array, t: Any
) -> Float[Array, "p d"]:
    """A step's derivative along the tangent of the state, and along `share` of each parameter."""
    x, rebuild = ravel_pytree(state)
    flat, place = ravel_pytree(problem.parameters)

    def step(x: Array, flat: Array) -> Array:
        return ravel_pytree(problem.law(place(flat)).step(rebuild(x), noise, t))[0]

    along = lambda column, by: jax.jvp(step, (x, flat), (column, by))[1]
    return jax.vmap(along)(tangent, share.astype(flat.dtype) * jnp.eye(flat.size, dtype=flat.dtype))


def _by_parts(
    problem: Problem, tangent: Float[Array, "p d"], share: Array, state: State, noise: Array, t: Any
) -> Float[Array, " p"]:
    """What moving this step's noise by the tangent over the spread adds to the weight."""
    flat, place = ravel_pytree(problem.parameters)
    spread = lambda flat: gaussian_step.parts(problem.law(place(flat)), state, t)[1].ravel()
    trace = jax.grad(lambda flat: jnp.sum(jnp.log(jnp.abs(spread(flat)))))(flat)
    return tangent @ (noise.ravel() / spread(flat)) - share * trace


def _of_path(problem: Problem, rollout: Rollout) -> tuple[Array, PyTree, PyTree, Array | None]:
    """The observable of a path, the score of its steps with a moving start, the explicit derivative, whether it was cut."""
    law, observable = problem.law(), problem.observable

    def begin(parameters: PyTree) -> State:
        return rollout.initial(problem.law(parameters))

    def start(_: Any, state: State) -> PyTree:
        return jax.tree.map(jnp.zeros_like, problem.parameters), observable.start(law, state)

    def update(carry: PyTree, _: Any, state: State, noise: Array, after: State, t: Any) -> PyTree:
        weight, folded = carry

        def density(parameters: PyTree) -> Array:
            moving = jax.tree.map(lambda own, new: jnp.where(t == 0, new, own), state, begin(parameters))
            return gaussian_step.log_density(problem.law(parameters), moving, after, t)

        gained = jax.grad(density)(problem.parameters)
        return jax.tree.map(jnp.add, weight, gained), observable.update(folded, law, after, t + 1)

    weight, folded = rollout.fold(law, start, update)
    explicit = _explicit.of_trajectory(problem, rollout, start=begin)
    return observable.result(folded), weight, explicit, observable.unfinished(folded)
