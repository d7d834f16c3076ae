"""What a gradient costs over the forward run of the same observable, and the memory it takes at long horizons."""

from collections.abc import Iterator

import jax
from _measure import Row, Times, missing
from _problems import UserWell, extended, law, square
from _programs import Program

from pliant.core.estimator import Estimator
from pliant.estimators import BPTT, Adjoint, ForwardSensitivity, Girsanov, Reweighting
from pliant.observables import Final, TimeAverage

MEGABYTE = 2**20


def rows() -> Iterator[Row]:
    """Costs for both dynamics; the memory does not depend on precision beyond a factor and is given once."""
    for dynamics in ("overdamped", "BAOAB"):
        yield from _pathwise(dynamics)
        yield from _likelihood(dynamics)
    yield from _reversed()
    if not jax.config.jax_enable_x64:
        yield from _memory()


def _pathwise(dynamics: str) -> Iterator[Row]:
    closed, user = law(dynamics), law(dynamics, UserWell)
    observable = Final(square)
    times = Times(
        {
            "forward": Program(closed, observable),
            "user forward": Program(user, observable),
            "BPTT closed": Program(closed, observable, BPTT()),
            "BPTT user": Program(user, observable, BPTT()),
            "sensitivity": Program(closed, observable, ForwardSensitivity(), wrt=lambda law: law.potential.a),
        }
    )
    yield times.at_most(f"BPTT {dynamics}, user's energy, over forward", "BPTT user", "user forward", 3.5)
    yield times.at_most(f"BPTT {dynamics}, closed-form force, over forward", "BPTT closed", "forward", 2.5)
    yield times.at_most(f"forward sensitivity {dynamics}, one parameter, over forward", "sensitivity", "forward", 1.6)


def _likelihood(dynamics: str) -> Iterator[Row]:
    average = TimeAverage(square)
    times = Times(
        {
            "forward": Program(law(dynamics), average),
            "Reweighting": Program(law(dynamics), average, Reweighting()),
            "Girsanov": Program(law(dynamics), average, Girsanov()),
        }
    )
    for name in ("Reweighting", "Girsanov"):
        yield times.at_most(f"{name} {dynamics}, two parameters, over forward", name, "forward", 1.3)


def _reversed() -> Iterator[Row]:
    """The reversible adjoint, also of the two laws whose plain reverse mode, all kept, takes 28 to 49 forward runs."""
    laws = {"BAOAB": law("BAOAB"), **{name: extended(name) for name in ("NoseHooverChain", "ESH")}}
    for name, found in laws.items():
        row = f"reversible adjoint {name} over forward"
        if found is None:
            yield from missing([row], "<= 4x", "no such dynamics")
            continue
        average = TimeAverage(square)
        times = Times({"forward": Program(found, average), "adjoint": Program(found, average, Adjoint())})
        yield times.at_most(row, "adjoint", "forward", 4.0)


def _memory() -> Iterator[Row]:
    yield _growth("BPTT", BPTT(), 10.0)
    yield _growth("Adjoint", Adjoint(), 0.5)
    yield _growth("Reweighting", Reweighting(), 0.5)
    yield _growth("Girsanov", Girsanov(), 0.5)


def _growth(name: str, estimator: Estimator, goal: float) -> Row:
    """Temporary memory at a horizon of 10^4, beyond that at 10^2, as XLA has planned it."""
    observable = TimeAverage(square)
    planned = [Program(law("BAOAB"), observable, estimator, horizon=h).temporary / MEGABYTE for h in (100, 10_000)]
    growth = planned[1] - planned[0]
    measured = f"{growth:.2f} MB ({planned[0]:.2f} -> {planned[1]:.2f})"
    return Row(f"memory of {name} BAOAB, horizon 10^2 -> 10^4", f"<= {goal:g} MB", measured, growth <= goal)
