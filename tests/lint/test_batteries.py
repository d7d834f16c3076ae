"""Honest programs raise no alarm, lying ones are caught at their line.

The batteries were written by someone who had not seen the linter. At first contact it was quiet on 74 of 81 honest programs
and caught 116 of 119 lying ones; mended, on 29 of 30 fresh honest and 30 of 30 fresh lying programs at theirs. Later, of a
second set, on 25 of 25 honest and 23 of 25 lying ones; of a third set of larger programs, on 24 of 25 and 22 of 25.
"""

import fresh_lying
import fresh_smooth
import lying_battery
import pytest
import second_lying
import second_smooth
import smooth_battery
import third_lying
import third_smooth
from battery import Case, guilty_lines

import pliant


def of(cases: list[Case]) -> list:
    """All of them, of which every tenth is for every day."""
    marks = lambda i: () if i % 10 == 0 else pytest.mark.slow
    return [pytest.param(case, id=case.name, marks=marks(i)) for i, case in enumerate(cases)]


@pytest.mark.parametrize(
    "case", of(smooth_battery.CASES + fresh_smooth.CASES + second_smooth.CASES + third_smooth.CASES)
)
def test_an_honest_program_raises_no_alarm(case: Case) -> None:
    findings = [f for f in pliant.lint(case.function, *case.arguments) if f.severity != "info"]
    assert not findings, findings


@pytest.mark.parametrize("case", of(lying_battery.CASES + fresh_lying.CASES + second_lying.CASES + third_lying.CASES))
def test_a_lying_program_is_caught(case: Case) -> None:
    report = pliant.lint(case.function, *case.arguments)
    caught = [finding for finding in report if finding.severity in case.expected]
    assert caught, list(report)
    places = {(finding.place.file, finding.place.line) for finding in report if finding.place}
    assert not places or places & guilty_lines(case), (places, guilty_lines(case))
