"""The bias of the continuous adjoint, measured beside the discrete one on the same noise, step by halved step."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from pliant.core.estimate import as_columns, mean_and_error
from pliant.core.estimator import Estimator
from pliant.core.gradient import gradient
from pliant.core.laws import Evolve
from pliant.core.observable import Observable


@dataclasses.dataclass(frozen=True)
class Bias:
    """The continuous gradient less the discrete one at one dt.

    **Fields**: `dt`, `horizon`; `difference` and its `standard_error`, shape (components,), over replicas with the same
    noise on both sides; `size`: the norm of the discrete gradient; `order`: the power of dt with which the norm of the
    difference fell since twice this dt, nan at the first.
    """

    dt: float
    horizon: int
    difference: np.ndarray
    standard_error: np.ndarray
    size: float
    order: float = float("nan")

    def __str__(self) -> str:
        norm, error = np.linalg.norm(self.difference), np.linalg.norm(self.standard_error)
        return f"dt = {self.dt:.3g}: bias {norm:.3g} ± {error:.2g} of {self.size:.3g}, order {self.order:.2f}"


def measure(
    pair: tuple[Estimator, Estimator],
    law: Any,
    observable: Observable,
    *,
    horizon: int,
    replicas: int,
    key: PRNGKeyArray,
    wrt: Callable | None,
    halvings: int,
) -> list[Bias]:
    """The bias of the first estimator against the second at dt, dt/2, ... with the physical time held."""
    found: list[Bias] = []
    for times in (2**power for power in range(halvings + 1)):
        finer: Evolve = dataclasses.replace(law, dt=law.dt / times)
        ours, theirs = (
            as_columns(_replicates(finer, observable, estimator, horizon * times, replicas, key, wrt))
            for estimator in pair
        )
        mean, error = mean_and_error(ours - theirs)
        size = float(np.linalg.norm(theirs.mean(axis=0)))
        bias = Bias(float(finer.time(1)), horizon * times, mean, error, size)
        found.append(dataclasses.replace(bias, order=_order(found[-1], bias)) if found else bias)
    return found


def _replicates(
    law: Evolve, observable: Observable, estimator: Estimator, horizon: int, replicas: int, key: Any, wrt: Any
) -> Any:
    estimate = gradient(
        law, observable, estimator, horizon=horizon, replicas=replicas, key=key, wrt=wrt, keep_replicates=True
    )
    return jax.tree.map(np.asarray, estimate.replicates)


def _order(coarse: Bias, fine: Bias) -> float:
    return float(np.log2(np.linalg.norm(coarse.difference) / np.linalg.norm(fine.difference)))
