"""The batteries are what they say: honest programs agree with differences all around, lying ones show their symptom.

No linter is asked here.  Honest: along two directions the derivative agrees with Richardson's central difference to
the case's `rtol` (1e-6 unless stated), and its integral over the whole reach agrees with the change of the value, so
that no jump lies there.  Lying: the stated symptom is there, along one of three directions.
"""

from functools import partial

import fresh_lying
import fresh_smooth
import jax
import jax.numpy as jnp
import lying_battery
import numpy as np
import pytest
import second_lying
import second_smooth
import smooth_battery
import third_lying
import third_smooth
from battery import QUICK, REACH, SEVERITIES, SYMPTOMS, Case, directions, follower, guilty_lines

HONEST = [*smooth_battery.CASES, *fresh_smooth.CASES, *second_smooth.CASES, *third_smooth.CASES]
LYING = [*lying_battery.CASES, *fresh_lying.CASES, *second_lying.CASES, *third_lying.CASES]
NODES, WEIGHTS = np.polynomial.legendre.leggauss(12)

pytestmark = pytest.mark.slow


def by_name(cases):
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


def richardson(values, h):
    """From values at -2h, -h, h, 2h, along the first axis."""
    return (8 * (values[2] - values[1]) - (values[3] - values[0])) / (12 * h)


def test_counts_and_names():
    assert len(smooth_battery.CASES) >= 64 and len(lying_battery.CASES) >= 70
    assert len(fresh_smooth.CASES) == 30 and len(fresh_lying.CASES) == 30
    assert len(second_smooth.CASES) == 25 and len(second_lying.CASES) == 25
    assert len(third_smooth.CASES) == 25 and len(third_lying.CASES) == 25
    names = [case.name for case in HONEST + LYING]
    assert len(set(names)) == len(names)
    assert not any(case.expected for case in HONEST)
    for case in LYING:
        assert case.expected and case.expected <= SEVERITIES - {"ok"}
        assert case.symptom in SYMPTOMS


def test_every_lying_case_marks_one_line_of_code():
    for case in LYING:
        ((file, line),) = guilty_lines(case)
        with open(file) as source:
            assert source.readlines()[line - 1].strip() != "# here"


@by_name(HONEST)
def test_honest(case: Case):
    follow = follower(case)
    h = 2e-3
    steps = np.concatenate([[0, -2 * h, -h, h, 2 * h], REACH * NODES, [-REACH, REACH]])
    frozen = None if case.smooth is None else lambda s, d: case.smooth(case.arguments[0] + s * d, *case.arguments[1:])
    for d in directions(case)[:2]:
        values, slopes = follow(steps, d)
        assert np.all(np.isfinite(values)) and np.all(np.isfinite(slopes))
        if frozen is not None:
            drawn, values = values[0], np.array([np.ravel(frozen(s, np.asarray(d))) for s in steps[:5]])
            np.testing.assert_allclose(values[0], drawn, rtol=1e-9)
        scale = np.max(np.abs(slopes)) + 1e-3 * np.max(np.abs(values))
        assert np.max(np.abs(slopes[0] - richardson(values[1:5], h))) < case.rtol * scale
        if frozen is None:
            integral = REACH * np.tensordot(WEIGHTS, slopes[5:-2], 1)
            assert np.max(np.abs(values[-1] - values[-2] - integral)) < case.rtol * 2 * REACH * scale


def narrowest(follow, d, measure):
    """Close in on the step of the grid where `measure` of two neighbours is greatest; what lies there at the end."""
    low, high = -REACH, REACH
    for _ in range(6):
        grid = np.linspace(low, high, 41)
        values, slopes = follow(grid, d)
        at = int(np.argmax(measure(grid, values, slopes)))
        low, high = grid[at], grid[at + 1]
    return high - low, values[at], values[at + 1], slopes[at], slopes[at + 1]


def value_gap(grid, values, slopes):
    mean = (slopes[1:] + slopes[:-1]) / 2 * np.diff(grid)[:, None]
    return np.max(np.abs(np.diff(values, axis=0) - mean), axis=1)


def slope_gap(grid, values, slopes):
    change = np.diff(slopes, axis=0)
    return np.max(np.abs(change - np.median(change, axis=0)), axis=1)


def zero(follow, d):
    values, slopes = follow(np.linspace(-REACH, REACH, 41), d)
    return np.all(slopes[20] == 0) and np.max(np.abs(values - values[20])) > 1e-3 * np.max(np.abs(values) + 1e-3)


def mismatch(follow, d):
    estimates = []
    for h in (1e-3, 5e-4):
        values, slopes = follow(np.concatenate([[-2 * h, -h, h, 2 * h], np.zeros(37)]), d)
        estimates.append(richardson(values, h))
    size = np.max(np.abs(estimates[1]))
    assert np.max(np.abs(estimates[0] - estimates[1])) <= 1e-4 * size + 1e-12
    return np.max(np.abs(slopes[-1] - estimates[1])) > 1e-2 * size


def slopes(follow, d):
    h = 1e-6
    values, slope = follow(np.concatenate([[-2 * h, -h, 0, h, 2 * h], np.zeros(36)]), d)
    left, right = (values[2] - values[1]) / h, (values[3] - values[2]) / h
    gap = np.maximum(np.abs(slope[2] - left), np.abs(slope[2] - right))
    return np.max(gap) > 1e-2 * max(np.max(np.abs(left)), np.max(np.abs(right)))


def jump(follow, d):
    width, left, right, a, b = narrowest(follow, d, value_gap)
    assert width < 1e-8
    return np.max(np.abs(right - left) - 10 * width * np.maximum(np.abs(a), np.abs(b))) > 1e-7 * np.max(np.abs(left))


def kink(follow, d):
    width, left, right, a, b = narrowest(follow, d, slope_gap)
    assert width < 1e-8
    continuous = np.max(np.abs(right - left)) <= 10 * width * np.max(np.abs(a) + np.abs(b)) + 1e-13
    return continuous and np.max(np.abs(b - a)) > 1e-3 * np.max(np.abs(a) + np.abs(b))


def blowup(follow, d):
    values, slope = follow(np.linspace(-REACH, REACH, 41), d)
    secant = np.max(np.abs(values - values[20])) / REACH
    return np.max(np.abs(slope[20])) > 1e4 * secant


ALONG_A_LINE = {test.__name__: test for test in (zero, mismatch, slopes, jump, kink, blowup)}


def nonfinite(case: Case):
    x = jnp.asarray(case.arguments[0], jnp.float64)
    f = lambda p: jnp.ravel(case.function(p, *case.arguments[1:]))
    assert np.all(np.isfinite(f(x)))
    if case.mode == "forward":
        forward = follower(case)
        if not all(np.all(np.isfinite(forward(np.zeros(1), d)[1])) for d in directions(case)):
            return True
    return not np.all(np.isfinite(jax.jacrev(f)(x)))


def bias(case: Case):
    """The mean derivative over keys against the slope of the mean over the same keys, in standard errors."""
    number, h = 2000, REACH
    x, key = case.arguments
    d = jnp.asarray(directions(case)[0])

    @partial(jax.jit, compiler_options=QUICK)
    @jax.vmap
    def sample(key):
        f = lambda s: jnp.sum(jnp.asarray(case.function(x + s * d, key), jnp.float64))
        value, slope = jax.jvp(f, (0.0,), (1.0,))
        return slope, (f(h) - f(-h)) / (2 * h)

    slope, secant = (np.asarray(v) for v in sample(jax.random.split(key, number)))
    gap = secant - slope
    return abs(np.mean(gap)) > 5 * np.std(gap) / np.sqrt(number) and abs(np.mean(gap)) > 0.05 * abs(np.mean(secant))


@by_name(LYING)
def test_lying(case: Case):
    x, *others = case.arguments
    x = jnp.asarray(x, jnp.float64)
    f = lambda p: case.function(p, *others)
    if case.symptom == "untraceable":
        assert not case.traces
        with pytest.raises((jax.errors.JAXTypeError, jax.errors.JAXIndexError)):
            jax.make_jaxpr(f)(x)
        f(np.asarray(x))
        return
    jax.make_jaxpr(f)(x)
    if case.symptom == "raises":
        with pytest.raises((ValueError, TypeError, NotImplementedError)):
            jax.jvp(f, (x,), (x,))
    elif case.symptom == "reverse":
        with pytest.raises(ValueError, match="[Rr]everse-mode"):
            jax.grad(lambda p: jnp.sum(f(p)))(x)
    elif case.symptom == "nonfinite":
        assert nonfinite(case)
    elif case.symptom == "bias":
        assert bias(case)
    else:
        follow = follower(case)
        assert any(ALONG_A_LINE[case.symptom](follow, d) for d in directions(case))
