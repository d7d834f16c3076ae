"""Far away, narrow, infinite, tiny and wrong: what relaxations and safe functions make of it, in both precisions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smooth_checks import KERNELS

from pliant import smooth
from pliant.smooth import reparametrise, safe, shapes

INF, KEY = jnp.inf, jax.random.key(0)
FAR = jnp.array([-INF, -1e30, -1e8, 1e8, 1e30, INF], jnp.float32)
EDGES = {
    "step": (lambda x, w, k: smooth.step(x, w, kernel=k), [0, 0, 0, 1, 1, 1]),
    "inside": (lambda x, w, k: smooth.inside(x, w, kernel=k), [1, 1, 1, 0, 0, 0]),
    "clip": (lambda x, w, k: smooth.clip(x, w, lower=-1.0, upper=2.0, kernel=k), [-1, -1, -1, 2, 2, 2]),
    "above": (lambda x, w, k: smooth.clip(x, w, lower=-1.0, upper=INF, kernel=k), [-1, -1, -1, 1e8, 1e30, INF]),
    "below": (lambda x, w, k: smooth.clip(x, w, lower=-INF, upper=2.0, kernel=k), [-INF, -1e30, -1e8, 2, 2, 2]),
    "threshold": (lambda x, w, k: smooth.threshold(x, w, level=0.5, kernel=k), [0, 0, 0, 1e8, 1e30, INF]),
    "digitise": (lambda x, w, k: smooth.digitise(x, w, codes=8, kernel=k), [0, 0, 0, 7, 7, 7]),
    "within reach": (lambda x, w, k: smooth.digitise(x, w, codes=8, reach=1, kernel=k), [0, 0, 0, 7, 7, 7]),
}


@pytest.mark.parametrize(("relaxed", "limit"), EDGES.values(), ids=EDGES)
def test_far_away_values_are_the_limit_and_all_derivatives_are_finite(relaxed, limit):
    f = lambda x, w: jnp.stack([relaxed(x, w, kernel) for kernel in KERNELS])
    derivatives = (jax.jacfwd(f), jax.jacfwd(f, 1), jax.jacfwd(jax.jacfwd(f)))
    alone = lambda x: [g(x, jnp.float32(1e-9)) for g in (f, *derivatives)]
    values, *slopes = jax.jit(jax.vmap(alone))(jnp.append(FAR, jnp.nan))
    assert values.dtype == jnp.float32
    np.testing.assert_array_equal(values[:-1].T, [np.asarray(limit, np.float32)] * len(KERNELS))
    assert all(np.all(np.isfinite(slope[:-1])) for slope in slopes) and np.all(np.isnan(values[-1]))


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_clip_stays_within_its_bounds_to_the_last_digit(kernel):
    x = jnp.linspace(-300, 300, 4001, dtype=jnp.float32)
    for lower, upper in ((0.0, 0.01), (1.0, 1.0), (-1.0, 2.0)):
        clipped = smooth.clip(x, 1.0, lower=lower, upper=upper, kernel=kernel)
        assert np.all((clipped >= np.float32(lower)) & (clipped <= np.float32(upper)))


def test_open_bins_count_infinite_events():
    """Passage times that never came, say: those are in the last bin, and move nothing."""
    events, edges = jnp.array([0.5, INF, -INF, INF]), jnp.array([-INF, 1.0, INF])
    np.testing.assert_array_equal(smooth.histogram(events, 0.1, edges=edges, kernel="cubic"), [2, 2])
    count = lambda events, w, edges: smooth.histogram(events, w, edges=edges)[1]
    assert all(np.all(np.isfinite(slope)) for slope in jax.jit(jax.grad(count, (0, 1, 2)))(events, 0.1, edges))
    slope = jax.jit(jax.grad(lambda x: smooth.density(x, 0.1, points=0.4)))(events)
    assert np.all(np.isfinite(slope)) and slope[0] != 0


def test_ranks_of_infinities():
    x = jnp.array([0.0, INF, -INF, INF])
    np.testing.assert_array_equal(smooth.rank(x, 0.1, kernel="cubic"), [2, 3.5, 1, 3.5])
    assert np.all(np.isfinite(jax.jit(jax.jacobian(lambda x: smooth.rank(x, 0.1)))(x)))


def test_a_code_outside_the_range_of_whole_numbers():
    """A code of -3e9 does not fit 32 bits: it came out as the last one."""
    read = lambda x: smooth.digitise(jnp.float32(x), 1e-6, codes=8, spacing=1e-6, reach=2)
    assert read(-3000.0) == 0 and read(3000.0) == 7


@pytest.mark.parametrize("form", ["quintic", "charmm"])
def test_a_switch_narrower_than_the_radius_is_known(form):
    r = jnp.array([1.0, 1.9999, 2.0, 2.0001, 1e30, INF], jnp.float32)
    f = lambda r, w: smooth.switch(r, w, radius=2.0, form=form)
    np.testing.assert_array_equal(f(r, 1e-9), [1, 1, 0, 0, 0, 0])
    slopes = jax.vmap(jax.grad(f, (0, 1)), (0, None))(r, jnp.float32(1e-9))
    assert all(np.all(np.isfinite(slope)) for slope in slopes)


def test_a_distance_that_is_nan_is_not_cut_off():
    spoiled = smooth.cutoff(lambda r: 1 / r, 0.5, radius=2.5)(jnp.array([jnp.nan, 3.0]))
    assert np.isnan(spoiled[0]) and spoiled[1] == 0
    assert np.isnan(smooth.switch(jnp.nan, 0.5, radius=2.5))


@pytest.mark.parametrize(("dtype", "size"), [(jnp.float16, 3e4), (jnp.float32, 1e30), (jnp.float64, 1e300)])
def test_an_exploding_cotangent_is_shortened_and_does_not_vanish(dtype, size):
    cotangent = jnp.array([3.0, -4.0], dtype) * dtype(size / 4)
    back = jax.jit(jax.grad(lambda x: jnp.sum(smooth.clip_gradient(x, 5.0) * cotangent)))(jnp.ones(2, dtype))
    np.testing.assert_allclose(np.asarray(back, float), [3, -4], rtol=2e-3 if dtype == jnp.float16 else 1e-6)


def test_clipped_gradients_of_zero_have_derivatives_and_complex_ones_are_clipped_by_parts():
    assert jax.grad(jax.grad(lambda x: smooth.clip_gradient(x, 1.0) * 0 * x))(1.0) == 0
    part = jax.grad(lambda z: jnp.real(smooth.clip_gradient(z, 1.0, by="value") * (3 - 0.5j)))(1.0 + 0j)
    assert part == 1 - 0.5j


def test_a_schedule_between_widths_whose_quotient_is_no_number():
    widths = smooth.anneal(1e200, 1e-200, steps=2)(jnp.arange(3))
    np.testing.assert_allclose(widths, [1e200, 1, 1e-200], rtol=1e-12)


@pytest.mark.parametrize("size", [1e-35, 1e-10, 1.0, 1e15, 1e35])
def test_norms_and_angles_at_any_scale(size):
    """Squares of these overflow or underflow in single precision, fourth powers of an angstrom in metres already."""
    a, b = (jnp.array(vector, jnp.float32) * np.float32(size) for vector in ([3.0, 4.0, 0.0], [-4.0, 3.0, 0.0]))
    np.testing.assert_allclose(safe.norm(a), 5 * size, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(jax.grad(safe.norm))(a), [0.6, 0.8, 0], rtol=1e-6)
    angle, slope = jax.jit(jax.value_and_grad(safe.angle))(a, b)
    np.testing.assert_allclose(angle, np.pi / 2, rtol=1e-6)
    np.testing.assert_allclose(slope * np.float32(size), [0.16, -0.12, 0], atol=1e-7)
    slopes = jax.jit(jax.grad(safe.arctan2, (0, 1)))(a[1], a[0])
    np.testing.assert_allclose(np.array(slopes) * np.float32(size), [0.12, -0.16], rtol=1e-6)


def test_norms_beside_infinities_and_derivatives_of_higher_order():
    assert safe.norm(jnp.array([INF, 1.0])) == INF and np.isnan(safe.norm(jnp.array([jnp.nan, 1.0])))
    x = jnp.array([1.0, 2.0, -2.0]) * 1e-200
    exact = (np.eye(3) - np.outer([1, 2, -2], [1, 2, -2]) / 9) / 3
    np.testing.assert_allclose(jax.jit(jax.hessian(safe.norm))(x) * 1e-200, exact, atol=1e-14)


def test_independent_draws_are_not_one_draw():
    """A shape that location and scale do not fill would share one z among several of them."""
    draw = reparametrise.location_scale
    assert len(set(np.asarray(draw(KEY, jnp.zeros(3), 1.0, shape=(2, 3))).ravel())) == 6
    for shape in ((), (1,), (3, 2)):
        with pytest.raises(ValueError, match="`shape` must be one that location and scale, .* fill"):
            draw(KEY, jnp.zeros((1, 3)), 1.0, shape=shape)


def test_lists_are_arrays():
    np.testing.assert_array_equal(
        smooth.step([0.0, 1.0], [1, 2]), smooth.step(jnp.array([0.0, 1.0]), jnp.array([1, 2]))
    )
    np.testing.assert_array_equal(smooth.clip([0, 5], 0.1, lower=[1, 1], upper=[2, 2], kernel="cubic"), [1, 2])
    np.testing.assert_array_equal(safe.divide([1, 2], [0, 2], otherwise=[7, 8]), [7, 1])
    np.testing.assert_array_equal(smooth.density([0.0, 9.0], [1, 2], points=[50], kernel="cubic"), [0])


WRONG = {
    "complex": (lambda: smooth.step(1j, 1.0), "`x` must be real numbers .* but it was an array of complex"),
    "none": (lambda: smooth.threshold(None, 1.0), "`x` must be real numbers .* but it was None"),
    "no width": (lambda: smooth.step(1.0, None), "`width` must be real numbers .* None"),
    "a list of widths": (lambda: smooth.step(1.0, [0.1, -0.2]), "`width` must be positive and finite"),
    "shapes": (lambda: smooth.inside(jnp.ones(3), jnp.ones(2)), r"`distance`, `width` must have shapes that broadcast"),
    "a batch": (lambda: smooth.rank(jnp.ones((2, 3)), jnp.ones(3)), r"`width` must .* the shape of the batch, \(2,\)"),
    "a width an event": (lambda: smooth.histogram(jnp.ones(3), jnp.ones(2), edges=[0, 1]), "`width` must .* `events`"),
    "edges": (lambda: smooth.histogram(jnp.ones(3), 1.0, edges=10), r"`edges` must have shape \(bins \+ 1,\)"),
    "spacing": (lambda: smooth.digitise(1.0, 1.0, codes=4, spacing="fine"), "`spacing` must be real numbers"),
    "radius": (lambda: smooth.switch(1.0, 0.1, radius=None), "`radius` must be real numbers"),
    "potential": (lambda: smooth.cutoff(3.0, 0.1, radius=2.0), "`potential` must be a function"),
    "a cut-off's width": (lambda: smooth.cutoff(jnp.sin, -0.1, radius=2.0), "`width` must be positive"),
    "a cut-off's radius": (lambda: smooth.cutoff(jnp.sin, 3.0, radius=2.0), "`width` must not exceed `radius`"),
    "limit": (lambda: smooth.clip_gradient(jnp.ones(2), [1.0, 2.0]), "`limit` of a norm must be one number"),
    "start": (lambda: smooth.anneal("hot", 0.1, steps=3), "`start` must be real numbers"),
    "no widths": (lambda: smooth.bias(jnp.sin, None), "`width` must hold at least one width"),
    "order": (lambda: smooth.bias(jnp.sin, 0.1, order="2"), "`order` must be real numbers"),
    "axis": (lambda: safe.norm(jnp.ones((2, 2)), axis=(0, 1)), r"`axis` must be one of the 2 of `x`"),
    "vectors": (lambda: safe.angle(jnp.ones(3), jnp.ones(2)), r"`a` and `b` must have shape \(\.\.\., d\)"),
    "function": (lambda: safe.matrix_function(2.0, jnp.eye(2)), "`function` must be a function"),
    "ball": (lambda: shapes.ball(jnp.ones(3), radius=-1.0), "`radius` must be positive"),
    "box": (lambda: shapes.box(jnp.ones(3), lengths=[1, 0, 1]), "`lengths` must be positive"),
    "cylinder": (lambda: shapes.cylinder(jnp.ones(3), axis=(0, 0, 0)), "`axis` must be a vector that is not zero"),
    "a flat point": (lambda: shapes.cylinder(jnp.ones(2)), r"`point` must have shape \(\.\.\., 3\)"),
    "normal": (lambda: shapes.half_space(jnp.ones(3), normal=[0, 0, 0]), "`normal` must be a vector that is not zero"),
    "scale": (lambda: reparametrise.location_scale(KEY, 0.0, [1.0, -2.0]), "`scale` must be positive"),
    "an open bound": (lambda: reparametrise.Bounded(0.0, INF), "`upper` must be finite"),
    "floor": (lambda: reparametrise.Positive(None), "`floor` must be finite, a number or an array"),
    "a number": (lambda: reparametrise.Ordered()(1.0), "`free` must have a last axis"),
}


@pytest.mark.parametrize(("call", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
