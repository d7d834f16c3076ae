"""Can this gradient be trusted? Each reason is one sentence with its number and what to use instead."""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from pliant.core import statistics

# Thresholds of PSIS: below 1/2 the variance is finite, above 0.7 no feasible number of replicas helps the mean.
FINITE_VARIANCE, RELIABLE_MEAN = 0.5, 0.7
HALF_WIDTH = 1.96
_PER_COMPONENT = 8


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The judgement on one estimate.

    **Fields**: `level`: "trusted"; "imprecise": the error bar is honest but wider than half the value; "untrusted":
    value or error bar mean nothing, for the reasons given. `reasons`: what speaks against it, one sentence each.
    `notes`: what to know all the same, such as what the estimate is a derivative of.
    """

    level: str
    reasons: list[str]
    notes: list[str] = dataclasses.field(default_factory=list)

    @property
    def trusted(self) -> bool:
        """Whether the level is "trusted"."""
        return self.level == "trusted"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What a verdict is made from: numpy arrays only.

    **Fields**: `influence`: shape (replicas, components); `names` of the components; `value`, `standard_error`: shape
    (components,); `observable`: (replicas, ...); `halves`: first and second half averages by name; `findings`: reasons
    that were found before the run; `notes`; `exact`: one value without randomness; `correlated`: the replicas are
    consecutive batches of one chain.
    """

    influence: np.ndarray
    names: list[str]
    value: np.ndarray
    standard_error: np.ndarray
    observable: np.ndarray
    unfinished: np.ndarray | None
    halves: dict[str, tuple[np.ndarray, np.ndarray]]
    findings: list[str]
    notes: list[str]
    exact: bool = False
    correlated: bool = False


def judge(evidence: Evidence) -> Verdict:
    """The verdict on an estimate."""
    notes = list(evidence.notes) + list(_notes(evidence))
    broken = list(_not_finite(evidence))
    if broken:
        return Verdict("untrusted", broken + evidence.findings, notes)
    grave = evidence.findings + [
        *_too_few(evidence),
        *_heavy_tails(evidence),
        *_not_mixed(evidence),
        *_short_chain(evidence),
    ]
    wide = list(_imprecise(evidence))
    level = "untrusted" if grave else "imprecise" if wide else "trusted"
    return Verdict(level, grave + wide, notes)


def _not_finite(evidence: Evidence) -> Iterator[str]:
    values = np.concatenate([evidence.influence, evidence.observable.reshape(len(evidence.observable), -1)], axis=1)
    bad = int(np.sum(~np.all(np.isfinite(values), axis=1)))
    if bad and (len(values) > 1 or evidence.exact):
        yield (
            f"{bad} of {len(values)} replicas gave NaN or infinite values: the simulation or its derivative overflowed; "
            "shorten dt or the horizon, or use Reweighting or Girsanov, which do not differentiate the trajectory."
        )


def _too_few(evidence: Evidence) -> Iterator[str]:
    replicas = len(evidence.influence)
    if replicas < 2 and not evidence.exact:
        yield "1 replica has no error bar; use replicas >= 2, or an estimator that makes batches of one long chain."


def _heavy_tails(evidence: Evidence) -> Iterator[str]:
    khat, name = tail_of(evidence.influence, evidence.names)
    if khat >= RELIABLE_MEAN:
        yield (
            f"the tail index of the per-replica gradients is k = {khat:.2f} >= 0.7 ({name}): their mean is dominated by "
            "a few replicas and converges too slowly to be trusted; shorten the horizon, or use Reweighting or Girsanov."
        )
    elif khat >= FINITE_VARIANCE:
        yield (
            f"the tail index of the per-replica gradients is k = {khat:.2f} >= 0.5 ({name}): their variance may be "
            "infinite and the error bar too short; shorten the horizon, or use an estimator with lighter tails."
        )


def tail_of(influence: np.ndarray, names: list[str]) -> tuple[float, str]:
    """The largest tail index over components and its component; many components are judged by their joint norm."""
    if influence.shape[1] > _PER_COMPONENT:
        # The largest of many noisy indices would raise false alarms.
        scale = np.where(np.std(influence, axis=0) > 0, np.std(influence, axis=0), 1.0)
        norms = np.linalg.norm((influence - np.mean(influence, axis=0)) / scale, axis=1)
        return statistics.tail_index(norms), "norm over all components"
    found = [(statistics.tail_index(column), name) for column, name in zip(influence.T, names, strict=True)]
    return max(found, key=lambda pair: -math.inf if math.isnan(pair[0]) else pair[0])


def _not_mixed(evidence: Evidence) -> Iterator[str]:
    for name, (first, second) in evidence.halves.items():
        yield from _drift(name, first, second)
        yield from _memory(name, first, second)


# A drift is told apart from chance at four standard errors, and matters from half the spread of the replicas.
_DRIFT_Z, _DRIFT_SIZE, _MEMORY = 4.0, 0.5, 0.5


def _drift(name: str, first: np.ndarray, second: np.ndarray) -> Iterator[str]:
    change = second - first
    error = np.std(change, axis=0, ddof=1) / np.sqrt(len(change))
    size = np.abs(np.mean(change, axis=0))
    spread = np.std(first + second, axis=0, ddof=1) / 2 / np.sqrt(len(change))
    moved = (size > _DRIFT_Z * error) & (size > _DRIFT_SIZE * spread)
    if np.any(moved):
        z = float(np.max(np.where(moved, size / np.maximum(error, 1e-300), 0.0)))
        yield (
            f"the chain has not mixed: {name} moves by {z:.1f} standard errors between the two halves of the "
            "trajectory; lengthen burn_in and the horizon."
        )


def _memory(name: str, first: np.ndarray, second: np.ndarray) -> Iterator[str]:
    if len(first) < 25:
        return
    a, b = first - first.mean(axis=0), second - second.mean(axis=0)
    norm = np.sqrt(np.mean(a * a, axis=0) * np.mean(b * b, axis=0))
    correlation = float(np.max(np.mean(a * b, axis=0) / np.where(norm > 0, norm, 1.0)))
    if correlation > _MEMORY:
        yield (
            f"the chain has not mixed: the two halves of a trajectory agree on {name} with correlation "
            f"{correlation:.2f} > {_MEMORY}; the relaxation time is longer than the horizon: lengthen it, or use a "
            "pathwise estimator, which needs no mixing."
        )


# Beyond this, in units of a batch, the error bar of batch means rests on too few independent stretches.
_BATCH_MEMORY = 1.5


def _short_chain(evidence: Evidence) -> Iterator[str]:
    if not evidence.correlated:
        return
    tau = max(statistics.integrated_autocorrelation_time(column)[0] for column in evidence.influence.T)
    if tau > _BATCH_MEMORY:
        yield (
            f"the chain is too short for its error bar: its {len(evidence.influence)} batches are still correlated over "
            f"{tau:.1f} batches; lengthen the horizon {math.ceil(2 * tau / _BATCH_MEMORY)} times, or use replicas."
        )


def _imprecise(evidence: Evidence) -> Iterator[str]:
    value, error = float(np.linalg.norm(evidence.value)), HALF_WIDTH * float(np.linalg.norm(evidence.standard_error))
    if len(evidence.influence) > 1 and error > 0.5 * value:
        ratio = error / (0.5 * value) if value > 0 else math.inf
        enough = len(evidence.influence) * ratio**2
        count = f"about {_two_digits(enough)} replicas would do" if enough < 1e12 else "no number of replicas will do"
        yield (
            f"the 95 % interval is {ratio:.2g} times half the value ({value:.3g}): the gradient is not told apart from "
            f"noise well enough; {count}, or an estimator with less variance."
        )


def _two_digits(number: float) -> str:
    digits = 10 ** max(int(math.log10(number)) - 1, 0)
    return f"{math.ceil(number / digits) * digits:,}"


def _notes(evidence: Evidence) -> Iterator[str]:
    if evidence.unfinished is not None and np.any(evidence.unfinished):
        share = float(np.mean(evidence.unfinished))
        yield f"{share:.1%} of the replicas had not finished at the horizon: the observable is cut off there."
    wide = HALF_WIDTH * evidence.standard_error > 0.5 * np.abs(evidence.value)
    if np.any(wide) and not np.all(wide):
        listed = [name for name, is_wide in zip(evidence.names, wide, strict=True) if is_wide]
        yield f"compatible with zero or poorly resolved on their own: {', '.join(listed[:6])}" + _more(listed) + "."
    yield from _skewed(evidence)
    if 1 < len(evidence.influence) < 25:
        yield f"{len(evidence.influence)} replicas are too few to see heavy tails; 25 or more are judged by tail index."


# Measured on all estimators: below about this many replicas per squared skewness a 95 % interval covers too little.
_PER_SQUARED_SKEWNESS = 15


def _skewed(evidence: Evidence) -> Iterator[str]:
    replicas = len(evidence.influence)
    if replicas < 2:
        return
    skewness = np.abs(statistics.skewness(evidence.influence))
    worst = int(np.argmax(skewness))
    if replicas < _PER_SQUARED_SKEWNESS * skewness[worst] ** 2:
        yield (
            f"the error bar of {evidence.names[worst]} is somewhat short: its replicas have skewness {skewness[worst]:.1f}, for "
            f"which a 95 % interval needs about {_two_digits(_PER_SQUARED_SKEWNESS * skewness[worst] ** 2)} replicas to cover."
        )


def _more(listed: list[str]) -> str:
    return f" and {len(listed) - 6} more" if len(listed) > 6 else ""
