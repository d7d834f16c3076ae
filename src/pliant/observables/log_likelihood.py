"""The log-likelihood of data under a law's stationary density."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from pliant.core.errors import NotApplicable
from pliant.core.laws import Evolve, HasStationaryDensity, State, Step
from pliant.core.observable import Observable
from pliant.core.trees import check_finite


class LogLikelihood(Observable):
    r"""The mean log-likelihood $\frac1n \sum_i \log \rho_\theta(x_i)$ of data under the law's stationary density.

    **Arguments**: `data`: positions of shape (n, *position).

    Its value is that of the UNNORMALISED density (at zero velocity): the normalisation $\log Z(\theta)$ is not known. Its
    derivative needs it all the same,

    $$ \partial_\theta L = E_{data}[\partial_\theta \log \tilde\rho] - E_\rho[\partial_\theta \log \tilde\rho], $$

    so that it is differentiated by `ContrastiveDivergence` alone, which samples the second average; every other estimator
    would return the first one, and is refused.

    It is no function of the trajectory, and stands here because `gradient` asks what is measured: data belong to that, and
    the number of steps to the estimator.

    Source: Ackley, Hinton and Sejnowski, Cognitive Science 9, 147 (1985), equation 9.
    """

    data: Float[Array, "n *shape"]

    def __init__(self, data: Any = None):
        self.data = jnp.array([[-1.0], [0.0], [1.0]]) if data is None else _as_data(data)

    def refusal(self, estimator: Any) -> str | None:
        if getattr(estimator, "contrastive", False):
            return None
        return "it would leave out the derivative of the normalisation; use ContrastiveDivergence."

    def start(self, law: Evolve, state: State) -> Float[Array, ""]:
        reason = law.refusal(HasStationaryDensity)
        if reason is not None or not isinstance(law, HasStationaryDensity):
            raise NotApplicable(f"`LogLikelihood` needs `HasStationaryDensity`, but {reason}")
        rest: Any = jax.tree.map(jnp.zeros_like, state)
        if self.data.shape[1:] != rest.position.shape:
            raise ValueError(
                f"Argument `data` must have shape (n, {', '.join(map(str, rest.position.shape))}) for positions of "
                f"{type(law).__name__}, but it was {self.data.shape}."
            )
        data = self.data.astype(rest.position.dtype)
        return jnp.mean(jax.vmap(lambda x: law.log_density(_moved(rest, x)))(data))

    def update(self, carry: PyTree, law: Evolve, state: State, t: Step) -> PyTree:
        return carry

    def result(self, carry: PyTree) -> Float[Array, ""]:
        return carry


def _as_data(data: Any) -> Float[Array, "n *shape"]:
    array = jnp.asarray(data)
    if array.ndim < 1 or not array.size or not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(
            f"Argument `data` must be an array of floating point positions (n, *position), but it had shape {array.shape} "
            f"of {array.dtype}."
        )
    check_finite(array, "data")
    return array


def _moved(state: Any, position: Array) -> Any:
    return eqx.tree_at(lambda state: state.position, state, position)
