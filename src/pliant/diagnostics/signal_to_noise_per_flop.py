"""What a gradient's precision costs in arithmetic."""

from collections.abc import Callable

import jax
from jaxtyping import PRNGKeyArray

from pliant.core.estimator import Estimator
from pliant.core.gradient import gradient
from pliant.core.laws import Evolve
from pliant.core.observable import Observable
from pliant.diagnostics._flops import flops
from pliant.diagnostics._program import gradient_program


def signal_to_noise_per_flop(
    law: Evolve,
    observable: Observable,
    estimator: Estimator,
    *,
    horizon: int,
    replicas: int,
    key: PRNGKeyArray | None = None,
    wrt: Callable | None = None,
) -> tuple[float, float]:
    r"""The squared signal-to-noise ratio of one replicate over its floating point operations, and these operations.

    An average of R replicates has $\sqrt R$ times the signal-to-noise ratio of one and costs R times as much: squared
    ratio over cost, $\mathrm{SNR}_1^2 / \mathrm{FLOP}_1$, is what no number of replicas changes. A ratio s takes
    $s^2$ over it operations. `replicas` is how many the ratio is measured from; its own relative error is at least
    $2 / \mathrm{SNR}$ of the average over them.

    Operations are counted by XLA, operation by operation and loops as often as they run, those of the noise generator
    and of recomputation included; a transcendental function counts as one. They do not see memory traffic.

    Arguments and errors are those of `pliant.gradient`. Cost: one call of it, and a second or so of counting.

    Source: efficiency as inverse variance times cost, Glynn and Whitt, Oper. Res. 40, 505 (1992).
    """
    key = jax.random.key(0) if key is None else key
    run, arguments, chunk = gradient_program(law, observable, estimator, horizon, replicas, key, wrt)
    operations = flops(run, arguments) / chunk
    estimate = gradient(
        law, observable, estimator, horizon=horizon, replicas=replicas, key=key, wrt=wrt, progress=False
    )
    return estimate.snr**2 / replicas / operations, operations
