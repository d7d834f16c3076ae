"""Every operation that the linter knows of, as a lie about one number, and the transformations to hide it under.

An operation is `(x, key) -> number` with the point at which it lies (its edge is there or within reach) and the
severities that say so. A transformation takes such a function and gives one of the same kind.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, PartitionSpec

from pliant.smooth import clip_gradient, detach, straight_through

ROW = jnp.arange(1.0, 4.0)


class Operation(NamedTuple):
    """A function that lies at `at`, in one of the ways of `expected`."""

    function: Callable[[Any, Any], Any]
    at: float
    expected: tuple[str, ...]


def uniform(key):
    return jax.random.uniform(key, (6,))


def accept_reject(x, key):
    """The first of some proposals that is below a density."""
    proposals, heights = uniform(key), uniform(jax.random.fold_in(key, 1))
    return proposals[jnp.argmax(heights < jnp.exp(-x * proposals))] + 0.0 * x


def resampled(x, key):
    """One step of a particle filter: particles weighed, resampled and averaged."""
    particles = x * jax.random.normal(key, (8,))
    weights = jnp.cumsum(jax.nn.softmax(-((particles - 1.0) ** 2)))
    chosen = jnp.searchsorted(weights, (jnp.arange(8) + jax.random.uniform(key)) / 8)
    return jnp.mean(particles[chosen])


def symmetric(x):
    """Its two lower levels meet at x = 1."""
    turn = jnp.array([[1.0, 0.3, 0.2], [0.5, 1.0, 0.4], [0.2, 0.6, 1.0]])
    rotation = jnp.linalg.qr(turn)[0]
    return rotation @ jnp.diag(jnp.stack([x, 2.0 - x, 5.0 + x])) @ rotation.T


def general(x):
    """Nonsymmetric: its eigenvalues are plus and minus the root of x - 1, and it is defective at x = 1."""
    return jnp.array([[0.0, 1.0], [-1.0, 0.0]]) + x * jnp.array([[0.0, 0.0], [1.0, 0.0]])


@jax.custom_jvp
def wrong_jvp(x):
    return jnp.sin(x)


@wrong_jvp.defjvp
def _(primals, tangents):
    return jnp.sin(primals[0]), 2.0 * jnp.cos(primals[0]) * tangents[0]


@jax.custom_vjp
def wrong_vjp(x):
    return jnp.sin(x)


wrong_vjp.defvjp(lambda x: (jnp.sin(x), x), lambda x, cotangent: (-jnp.cos(x) * cotangent,))


def exploding(x, key):
    return lax.scan(lambda y, _: (x * y * (1.0 - y), None), 0.3, None, length=300)[0]


def as_long_as_it_takes(x, key):
    return lax.while_loop(lambda y: y < 100.0, lambda y: y * x, x)


LIES, NAN = ("LIES",), ("NAN",)
SHARP = ("LIES", "JUMP")
AT_EDGE = ("LIES", "NAN")
CHANCE = ("BIAS",)
OPERATIONS = {
    "floor": Operation(lambda x, key: jnp.floor(x), 3.1, SHARP),
    "ceil": Operation(lambda x, key: jnp.ceil(x), 3.1, SHARP),
    "round": Operation(lambda x, key: jnp.round(x) * x, 3.4, SHARP),
    "sign": Operation(lambda x, key: jnp.sign(x - 3.0), 3.1, SHARP),
    "heaviside": Operation(lambda x, key: jnp.heaviside(x - 3.0, 0.5), 3.1, SHARP),
    "argmax": Operation(lambda x, key: jnp.argmax(jnp.stack([x, 2.0, x**2 - 7.0])) * 1.0, 3.1, SHARP),
    "argsort": Operation(lambda x, key: jnp.argsort(jnp.stack([x, 3.0, 2.0])) @ ROW, 3.1, SHARP),
    "sort": Operation(lambda x, key: jnp.sort(jnp.stack([x, 3.0, 2.0])) @ ROW, 3.0, LIES),
    "searchsorted": Operation(lambda x, key: jnp.searchsorted(ROW, x) * 1.0, 2.9, SHARP),
    "digitise": Operation(lambda x, key: jnp.digitize(x, ROW) * 1.0, 2.9, SHARP),
    "histogram": Operation(lambda x, key: jnp.histogram(x * ROW, jnp.arange(10.0))[0] @ jnp.arange(9.0), 2.9, SHARP),
    "integer cast": Operation(lambda x, key: jnp.int32(x) * 1.0, 3.1, SHARP),
    "comparison": Operation(lambda x, key: jnp.where(x < 3.0, x**2, 1.0), 3.1, SHARP),
    "truncated potential": Operation(lambda x, key: jnp.where(x < 2.5, 4 * (x**-12 - x**-6), 0.0), 2.4, SHARP),
    "rem": Operation(lambda x, key: x % 1.5, 3.1, SHARP),
    "min": Operation(lambda x, key: jnp.minimum(x**2, 3.0 * x), 3.0, LIES),
    "max": Operation(lambda x, key: jnp.maximum(x**2, 3.0 * x), 3.0, LIES),
    "abs": Operation(lambda x, key: jnp.abs(x - 3.0), 3.0, LIES),
    "clip": Operation(lambda x, key: jnp.clip(x, 0.0, 3.0), 3.0, LIES),
    "relu": Operation(lambda x, key: jax.nn.relu(x - 3.0), 3.0, LIES),
    "reduce_max": Operation(lambda x, key: jnp.max(jnp.stack([x, 3.0, 1.0])), 3.0, LIES),
    "cummin": Operation(lambda x, key: jnp.sum(lax.cummin(jnp.stack([3.0, x, 1.0]))), 3.0, LIES),
    "bernoulli": Operation(lambda x, key: jnp.sum(jax.random.bernoulli(key, x, (6,)) * 1.0), 0.3, CHANCE),
    "categorical": Operation(
        lambda x, key: jnp.sum(jax.random.categorical(key, jnp.stack([x, 0.0, 1.0]), shape=(6,)) * 1.0), 0.5, CHANCE
    ),
    "poisson": Operation(lambda x, key: jnp.sum(jax.random.poisson(key, x, (6,)) * 1.0), 3.0, CHANCE),
    "accept-reject": Operation(accept_reject, 1.5, CHANCE),
    "resampling": Operation(resampled, 1.2, CHANCE),
    "while": Operation(as_long_as_it_takes, 1.5, ("BREAK",)),
    "eigh": Operation(lambda x, key: jnp.linalg.eigh(symmetric(x))[1][0, 0] ** 2, 1.0, AT_EDGE),
    "svd": Operation(lambda x, key: jnp.linalg.svd(symmetric(x))[0][0, 0] ** 2, 1.0, AT_EDGE),
    "eig": Operation(lambda x, key: jnp.real(jnp.linalg.eig(general(x))[1][1, 1]) ** 2, 1.1, ("BREAK",)),
    "eigvals": Operation(lambda x, key: jnp.max(jnp.real(jnp.linalg.eigvals(general(x)))), 1.0, AT_EDGE),
    "eigenvalues": Operation(lambda x, key: jnp.max(jnp.linalg.eigvalsh(symmetric(x))[:2]), 1.0, AT_EDGE),
    "sqrt": Operation(lambda x, key: jnp.sqrt((x - 3.0) ** 2), 3.0, NAN),
    "norm": Operation(lambda x, key: jnp.linalg.norm((x - 3.0) * ROW), 3.0, NAN),
    "log": Operation(lambda x, key: (x - 3.0) * jnp.log(x - 3.0), 3.0, NAN),
    "power": Operation(lambda x, key: (x - 3.0) ** 0.5, 3.0, NAN),
    "arccos": Operation(lambda x, key: jnp.arccos(x), 1.0, NAN),
    "arcsin": Operation(lambda x, key: jnp.arcsin(x), 1.0, NAN),
    "arctan2": Operation(lambda x, key: jnp.arctan2(x - 3.0, (x - 3.0) ** 2), 3.0, NAN),
    "division": Operation(lambda x, key: jnp.sin(x - 3.0) / (x - 3.0), 3.0, NAN),
    "where trap": Operation(lambda x, key: jnp.where(x > 3.0, jnp.sqrt(x - 3.0), 0.0), 3.0, AT_EDGE),
    "stop_gradient": Operation(lambda x, key: lax.stop_gradient(x) * x, 3.0, LIES),
    "straight-through": Operation(lambda x, key: x + lax.stop_gradient(jnp.round(x) - x), 3.4, LIES),
    "smooth.straight_through": Operation(
        lambda x, key: straight_through(jnp.round(x), jnp.sin(x)), 3.4, (*CHANCE, *LIES)
    ),
    "smooth.detach": Operation(lambda x, key: detach(x) * x, 3.0, (*CHANCE, *LIES)),
    "smooth.clip_gradient": Operation(lambda x, key: clip_gradient(x**2, 0.1), 3.0, (*CHANCE, *LIES, "BREAK")),
    "wrong custom_jvp": Operation(lambda x, key: wrong_jvp(x) ** 2, 0.5, LIES),
    "wrong custom_vjp": Operation(lambda x, key: wrong_vjp(x) ** 2, 0.5, (*LIES, "BREAK")),
    "exploding scan": Operation(exploding, 3.9, ("BLOWUP",)),
    "python if": Operation(lambda x, key: x if x > 3.0 else -x, 3.1, ("BREAK",)),
    "python float": Operation(lambda x, key: jnp.sin(float(x)), 3.1, ("BREAK",)),
    "python int": Operation(lambda x, key: sum(x for _ in range(int(x))), 3.1, ("BREAK",)),
    "python index": Operation(lambda x, key: [x, 2 * x, x**2, -x][jnp.int32(x)], 3.1, ("BREAK",)),
    "boolean index": Operation(lambda x, key: jnp.sum(ROW[ROW < x]) * x, 3.1, ("BREAK",)),
    "numpy": Operation(lambda x, key: jnp.asarray(np.sin(x)), 3.1, ("BREAK",)),
}


def _mapped(function, x, key):
    return jnp.sum(jax.vmap(function, (0, None))(x * jnp.ones(2), key))


def _scanned(function, x, key):
    return lax.scan(lambda total, weight: (total + weight * function(x, key), None), 0.0, jnp.ones(2))[0]


def _while_it_lasts(function, x, key):
    """Two rounds, counted by a condition."""
    going = lambda state: state[0] < 2
    return lax.while_loop(going, lambda state: (state[0] + 1, state[1] + function(x, key)), (0, 0.0 * x))[1]


def _branched(function, x, key):
    return lax.cond(x > -7.0, lambda x: function(x, key) * 1.0, lambda x: 0.0 * x, x)


def _ruled(function, x, key):
    """A custom rule that is the function's own derivative."""
    ruled = jax.custom_jvp(lambda x: function(x, key) * 1.0)
    ruled.defjvp(lambda primals, tangents: jax.jvp(lambda x: function(x, key) * 1.0, primals, tangents))
    return ruled(x)


def _ruled_backwards(function, x, key):
    ruled = jax.custom_vjp(lambda x: function(x, key) * 1.0)
    ruled.defvjp(lambda x: jax.vjp(lambda x: function(x, key) * 1.0, x), lambda pull, cotangent: pull(cotangent))
    return ruled(x)


def _sharded(function, x, key):
    mesh = jax.make_mesh((1,), ("devices",), (AxisType.Auto,), devices=jax.devices()[:1])
    per_device = lambda xs, key: jax.vmap(function, (0, None))(xs, key)
    specs = PartitionSpec("devices"), PartitionSpec()
    sharded = jax.shard_map(per_device, mesh=mesh, in_specs=specs, out_specs=specs[0], check_vma=False)
    return jnp.sum(sharded(x * jnp.ones(2), key))


def _called_back(function, x, key):
    """Behind NumPy's back."""
    behind = lambda x: np.asarray(function(jnp.asarray(x), key), float)
    return jax.pure_callback(behind, jax.ShapeDtypeStruct((), jnp.result_type(float)), x, vmap_method="sequential")


TRANSFORMATIONS: dict[str, Callable[[Callable, Any, Any], Any]] = {
    "plain": lambda function, x, key: function(x, key),
    "jit": lambda function, x, key: jax.jit(function)(x, key),
    "remat": lambda function, x, key: jax.checkpoint(function)(x, key),
    "vmap": _mapped,
    "scan": _scanned,
    "while": _while_it_lasts,
    "cond": _branched,
    "custom_jvp": _ruled,
    "custom_vjp": _ruled_backwards,
    "shard_map": _sharded,
    "pure_callback": _called_back,
}


def hidden(operation: str, transformation: str) -> Callable[[Any, Any], Any]:
    """An operation under a transformation."""
    return partial(TRANSFORMATIONS[transformation], OPERATIONS[operation].function)
