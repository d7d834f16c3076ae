"""What a signal-to-noise ratio of ten costs by every estimator: on the double well, side by side."""

from collections.abc import Iterator

import jax
from _measure import Row

import pliant
import pliant.estimators
from pliant.core.errors import NotApplicable
from pliant.core.estimator import Estimator
from pliant.diagnostics import peak_memory, seconds_per_gradient
from pliant.dynamics import BAOAB, OverdampedLangevin
from pliant.systems import DoubleWellSystem

RATIO = 10.0
REPLICAS, TIME = 1024, 15.0
STEPS = {OverdampedLangevin: 0.01, BAOAB: 0.05}


def rows() -> Iterator[Row]:
    """Every estimator with its defaults, under both dynamics; what does not apply there has no row."""
    for dynamics in STEPS:
        for name, kind in pliant.estimators.components().items():
            if isinstance(kind, type) and issubclass(kind, Estimator):
                yield from _row(dynamics, name, kind())


def _row(dynamics: type, name: str, estimator: Estimator) -> Iterator[Row]:
    system, dt = DoubleWellSystem(), STEPS[dynamics]
    law, horizon = system.law(dynamics, dt), int(TIME / dt)
    observable = system.observable(burn_in=horizon // 3)
    options = dict(horizon=horizon, replicas=REPLICAS, key=jax.random.key(0), wrt=system.wrt)
    try:
        estimate = pliant.gradient(law, observable, estimator, progress=False, **options)
        seconds, _ = seconds_per_gradient(law, observable, estimator, **options, repeats=5)
        planned = peak_memory(law, observable, estimator, **options)
    except (NotApplicable, ValueError):
        return
    enough = (RATIO / estimate.snr) ** 2
    measured = (
        f"{seconds * enough:.3g} s, {planned / 1e6:.3g} MB per {REPLICAS} replicas "
        f"(SNR {estimate.snr:.3g} in {1e3 * seconds:.3g} ms; {estimate.verdict.level})"
    )
    yield Row(f"SNR {RATIO:g} on the double well, {dynamics.__name__}, {name}", "", measured)
