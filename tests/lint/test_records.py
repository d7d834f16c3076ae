"""What a walk sees at a site, against the same by sorting all of it; and walks that do not look."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pliant.core.programs import trace
from pliant.lint._flow import Flow
from pliant.lint._margins import BENDS
from pliant.lint._records import Margins, Packed, digest
from pliant.lint._walk import Walk


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("size", [1, 5, 16, 17, 300, 512, 513, 10_000])
def test_the_nearest_edges_are_those_of_all_margins(size):
    margin, slope = np.random.default_rng(size).normal(size=(2, size))
    record = digest(Margins(jnp.asarray(margin), jnp.asarray(slope)))
    steps = -margin / slope
    found = np.asarray(record.crossings)
    assert found[0] == pytest.approx(steps[np.argmin(np.abs(steps))])
    assert np.all(np.isin(np.round(found[np.isfinite(found)], 9), np.round(steps, 9)))
    assert np.isfinite(found).sum() == min(size, 16)
    assert record.margin == np.abs(margin).min()


@pytest.mark.parametrize(("margin", "slope"), [(0.0, 0.0), (1.0, 0.0), (1.0, np.nan), (np.inf, 1.0)])
def test_what_does_not_move_or_has_no_edge_is_not_gone_to(margin, slope):
    assert np.all(np.isinf(digest(Margins(jnp.full(3, margin), jnp.full(3, slope))).crossings))


def test_an_edge_at_the_arguments_is_at_step_zero():
    assert digest(Margins(jnp.array([2.0, 0.0]), jnp.ones(2))).crossings[0] == 0.0


def test_sides_change_where_one_element_changes_sides_or_two_do():
    margin = jnp.asarray(np.random.default_rng(0).normal(size=1000))
    side = lambda *flipped: int(digest(Margins(margin.at[jnp.array(flipped, int)].multiply(-1), margin)).sides)
    every = {side(), *(side(i) for i in range(200)), *(side(i, i + 1) for i in range(200))}
    assert len(every) == 401


def test_margins_of_a_step_come_out_of_their_row_as_they_went_in():
    few, one, many = (Margins(jnp.arange(n) * 1.0, -1.0 * jnp.arange(n)) for n in (3, 1, 100))
    given = {(0,): few, (2, 1): many, (1,): one}
    _, packed = lax.scan(lambda carry, _: (carry, Packed.of(given)), 0.0, None, length=4)
    found = packed.margins()
    assert found.keys() == given.keys()
    for path, margins in given.items():
        for back, array in zip(found[path], margins, strict=True):
            np.testing.assert_array_equal(back, jnp.broadcast_to(array, (4, array.size)))


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
def test_the_lead_of_the_first_is_that_of_sorted_rows(name):
    x = jnp.asarray(np.random.default_rng(1).normal(size=(4, 5, 6)))
    rows = jnp.sort(x.transpose(1, 0, 2).reshape(5, 24), axis=-1)
    wanted = rows[:, -1] - rows[:, -2] if name == "reduce_max" else rows[:, 1] - rows[:, 0]
    np.testing.assert_allclose(BENDS[name]([x], [], {"axes": (0, 2)}), wanted)
    tied = jnp.array([1.0, 1.0]) if name == "reduce_max" else -jnp.array([1.0, 1.0])
    assert BENDS[name]([tied], [], {"axes": (0,)}) == 0.0


def loops(x):
    """A branch, a loop of known and one of unknown length, all with edges."""
    x, _ = lax.scan(lambda x, _: (jnp.abs(jnp.sin(2 * x)) + 0.1 * x, None), x, None, length=7)
    x = lax.while_loop(lambda x: x < 3.0, lambda x: 1.5 * x + jnp.maximum(x, 0.2), x)
    return lax.cond(x > 4.0, jnp.sqrt, jnp.floor, x) * x


def test_a_walk_that_does_not_look_gives_the_same_values_and_slopes():
    program, _ = trace(loops, 0.4)
    flow = Flow(program, [True])
    (seen,), records = Walk(program, flow)([0.4], [1.0])
    (unseen,), nothing = Walk(program, flow, looking=False)([0.4], [1.0])
    assert records and not nothing
    expected = pytest.approx(list(map(float, jax.jvp(loops, (0.4,), (1.0,)))))
    assert [float(seen.value), float(seen.tangent)] == expected
    assert [float(unseen.value), float(unseen.tangent)] == expected
