"""One cell measured: its gradient with the error bar, against the truth, and what it cost."""

import dataclasses
import math
from typing import Any

from pliant.atlas.catalogue import system_named
from pliant.atlas.cells import Cell


def execute(cell: Cell) -> dict[str, Any]:
    """The record of a cell: a pure function of the cell, but for the seconds.

    Its first component, in the order of the flattened parameters, stands for the cell in tables.
    """
    import jax

    from pliant.atlas._programs import release
    from pliant.core.errors import NotApplicable

    release()
    with jax.enable_x64(cell.precision == "float64"):
        try:
            return _measure(cell)
        except NotApplicable as refusal:
            return {"state": "not_applicable", "reason": str(refusal)}


def _measure(cell: Cell) -> dict[str, Any]:
    import jax

    import pliant
    import pliant.dynamics
    import pliant.estimators
    from pliant.atlas.measure import measured

    system = system_named(cell.system)()
    law = system.law(getattr(pliant.dynamics, cell.dynamics), dt=cell.dt)
    observable = system.observable(burn_in=cell.burn_in)
    estimator = getattr(pliant.estimators, cell.estimator)(**dict(cell.options))
    estimate, cost = measured(
        lambda: pliant.gradient(
            law,
            observable,
            estimator,
            horizon=cell.horizon,
            replicas=cell.replicas,
            key=jax.random.key(cell.seed),
            wrt=system.wrt,
            keep_replicates=True,
            progress=False,
        ),
        cell.group,
    )
    known = system.continuum if _solves(law, observable, estimator, system) else system.truth
    truth = known(law, observable, cell.horizon)
    biases = bias(estimator, law, system, cell)
    return record(estimate, truth) | {"figures": figures(estimate), "bias": biases} | cost.as_dict()


def _solves(law: Any, observable: Any, estimator: Any, system: Any) -> bool:
    """Whether the estimator finds the steady state of the continuous dynamics, without a trajectory."""
    from pliant.core import prepare

    problem, _ = prepare.stated(law, observable, estimator, system.wrt)
    return estimator.solves(problem)


def record(estimate: Any, truth: Any) -> dict[str, Any]:
    """An estimate held against the truth (None where there is none), as plain numbers."""
    components = _components(estimate, truth)
    headline = {key: value for key, value in components[0].items() if key != "parameter"}
    verdict = estimate.verdict
    return {
        "state": "done",
        **headline,
        "snr": float(estimate.snr),
        "truth_source": None if truth is None else truth.source,
        "truth_of": None if truth is None else truth.of,
        "observable": _observable(estimate.observable, truth),
        "components": components,
        "verdict": verdict.level,
        "reasons": list(verdict.reasons),
        "notes": list(getattr(verdict, "notes", [])),
    }


# The participation ratio of a covariance is estimated from two halves of the replicas, sixteen times.
_REPLICAS_FOR_DIMENSION = 64


def figures(estimate: Any) -> dict[str, float | None]:
    """The figures of merit of the per-replica gradients; None where there are too few of them."""
    import numpy as np

    from pliant import diagnostics
    from pliant.core.estimate import as_columns

    values = None if estimate.replicates is None else as_columns(estimate.replicates)
    if values is None or len(values) < 2 or not np.all(np.isfinite(values)) or not np.any(values):
        return dict.fromkeys(("tail_index", "norm_stability", "effective_dimension"))
    enough = len(values) >= _REPLICAS_FOR_DIMENSION and np.ptp(values) > 0
    dimension = diagnostics.effective_dimension(values)[0] if enough else None
    return {
        "tail_index": diagnostics.tail_index(values),
        "norm_stability": diagnostics.norm_stability(values),
        "effective_dimension": dimension,
    }


# A bias in dt is one of the scheme and shows at once; later the gradient's own growth and noise would hide it. Large
# states take half a minute of compiling at every dt.
_STEPS_FOR_BIAS, _REPLICAS_FOR_BIAS, _LARGEST_FOR_BIAS = 20, 256, 32


def bias(estimator: Any, law: Any, system: Any, cell: Cell) -> list[dict[str, float]]:
    """How far an estimator lies from the derivative of the discretised dynamics, by norms, at dt, dt/2 and dt/4.

    Over the first twenty steps of dt; empty where it estimates that very derivative, and for large states.
    """
    import jax
    import numpy as np

    if law.x0.size > _LARGEST_FOR_BIAS:
        return []
    found = estimator.bias(
        law,
        system.observable(burn_in=0),
        horizon=min(_STEPS_FOR_BIAS, cell.horizon),
        replicas=min(_REPLICAS_FOR_BIAS, cell.replicas),
        key=jax.random.key(cell.seed),
        wrt=system.wrt,
    )
    norm = lambda values: float(np.linalg.norm(values))
    return [
        {
            "dt": entry.dt,
            "difference": norm(entry.difference),
            "standard_error": norm(entry.standard_error),
            "size": entry.size,
            "order": entry.order,
        }
        for entry in found
    ]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A number with its standard error beside the truth with its own; the last two are None where none is known."""

    value: float
    standard_error: float
    truth: float | None
    truth_error: float | None

    @property
    def z_score(self) -> float | None:
        """The deviation from the truth in standard errors of both; None without a truth, or without any error."""
        if self.truth is None:
            return None
        error = math.hypot(self.standard_error, self.truth_error or 0.0)
        return (self.value - self.truth) / error if error > 0 or math.isnan(error) else None

    @property
    def snr(self) -> float | None:
        """The size of the value in standard errors; None where there is no error."""
        return abs(self.value) / self.standard_error if self.standard_error != 0 else None

    def as_dict(self) -> dict[str, float | None]:
        """The fields with the z-score and the signal-to-noise ratio."""
        return dataclasses.asdict(self) | {"z_score": self.z_score, "snr": self.snr}


def _components(estimate: Any, truth: Any) -> list[dict[str, Any]]:
    from pliant.core import trees

    names = trees.names(estimate.value)
    values, errors = _scalars(estimate.value), _scalars(estimate.standard_error)
    nothing: list[Any] = [None] * len(names)
    truths = nothing if truth is None else _scalars(truth.gradient, len(names))
    doubts = nothing if truth is None else _scalars(truth.gradient_error, len(names))
    rows = zip(names, values, errors, truths, doubts, strict=True)
    return [{"parameter": name, **Comparison(*numbers).as_dict()} for name, *numbers in rows]


def _observable(estimate: Any, truth: Any) -> dict[str, Any]:
    value, error = _scalars(estimate.value), _scalars(estimate.standard_error)
    known = [None] if truth is None else _scalars(truth.value)
    doubt = [None] if truth is None else _scalars(truth.value_error)
    return Comparison(value[0], error[0], known[0], doubt[0]).as_dict()


def _scalars(tree: Any, count: int | None = None) -> list[float]:
    """Every scalar of a tree of arrays; a single one stands for all `count`."""
    import jax
    import numpy as np

    values = [float(x) for leaf in jax.tree.leaves(tree) for x in np.ravel(leaf)]
    return values * count if count is not None and len(values) == 1 else values
