"""Replicas in chunks that fit in memory, over the devices there are: every replica comes out the same in any split."""

import functools
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, PRNGKeyArray, PyTree

from pliant.core.contributions import Contribution
from pliant.core.estimator import Estimator, Problem
from pliant.core.progress import Progress
from pliant.core.rollout import Rollout


class Settings(eqx.Module):
    """How a problem is run.

    **Fields**: `horizon` steps, `replicas` trajectories, `key`; `chunk` replicas at a time on `devices` local devices;
    `block` steps per draw of noise; `generator` of the noise.
    """

    horizon: int
    replicas: int
    key: PRNGKeyArray
    chunk: int
    devices: int
    block: int
    generator: str


@eqx.filter_jit
def _chunk(
    problem: Problem,
    estimator: Estimator,
    key: PRNGKeyArray,
    first: Array,
    shape: tuple[int, int, int, int],
    generator: str,
) -> Contribution:
    """The contributions of one chunk of replicas; everything static is in `shape` and in the trees' structure."""
    chunk, horizon, block, devices = shape
    dynamic, static = eqx.partition((problem, estimator), eqx.is_array)

    def one(dynamic: PyTree, key: PRNGKeyArray, replica: Array) -> Contribution:
        problem, estimator = eqx.combine(dynamic, static)
        return estimator.replicate(problem, Rollout(key, replica, horizon, block, generator))

    def many(dynamic: PyTree, key: PRNGKeyArray, replicas: Array) -> Contribution:
        if len(replicas) > 1:
            return jax.vmap(one, in_axes=(None, None, 0))(dynamic, key, replicas)
        # A batch axis of length one makes XLA write slower loops: several times so for hundreds of particles.
        return jax.tree.map(lambda leaf: leaf[None], one(dynamic, key, replicas[0]))

    replicas = first + jnp.arange(chunk, dtype=jnp.uint32)
    if devices > 1:
        mesh = Mesh(np.array(jax.local_devices()[:devices]), ("replicas",))
        rows = PartitionSpec("replicas")
        # The loop's carry starts equal on all devices and ends different: a check of that would refuse it.
        many = jax.shard_map(
            many, mesh=mesh, in_specs=(PartitionSpec(), PartitionSpec(), rows), out_specs=rows, check_vma=False
        )
    return many(dynamic, key, replicas)


def gather(problem: Problem, estimator: Estimator, settings: Settings, *, progress: bool) -> tuple[Any, float]:
    """The contributions of all replicas as numpy arrays, and the seconds that it took."""
    started = time.perf_counter()
    shape = (settings.chunk, settings.horizon, settings.block, settings.devices)
    label = f"{type(estimator).__name__} x {settings.replicas}"
    parts = []
    with Progress(label, settings.replicas, shown=progress) as bar:
        for first in range(0, settings.replicas, settings.chunk):
            part = _chunk(problem, estimator, settings.key, jnp.uint32(first), shape, settings.generator)
            take = min(settings.chunk, settings.replicas - first)
            parts.append(jax.tree.map(lambda leaf, take=take: np.asarray(leaf)[:take], part))
            bar.advance(take)
    whole = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return whole, time.perf_counter() - started


def program(problem: Problem, estimator: Estimator, settings: Settings) -> tuple[Callable, tuple]:
    """What `gather` runs for every chunk, as a function of arrays alone and its arguments: for those who measure it."""
    shape = (settings.chunk, settings.horizon, settings.block, settings.devices)
    dynamic, static = eqx.partition((problem, estimator, settings.key), eqx.is_array)

    def run(dynamic: PyTree, first: Array) -> Contribution:
        problem, estimator, key = eqx.combine(dynamic, static)
        return _chunk(problem, estimator, key, first, shape, settings.generator)

    return run, (dynamic, jnp.uint32(0))


def chunk_size(replicas: int, bytes_each: float, memory: float, devices: int, work: float) -> int:
    """Replicas per chunk: what fits in `memory`, in some sixteen chunks where the work lasts long enough for a bar."""
    fits = max(int(memory / max(bytes_each, 1.0)), 1)
    long = work > 2e9
    wanted = max(-(-replicas // 16), min(256, replicas)) if long else replicas
    chunk = min(fits, wanted, replicas)
    return -(-chunk // devices) * devices


@functools.cache
def count_devices(asked: int | None) -> int:
    """The number of local devices to use."""
    here = jax.local_device_count()
    if asked is not None and not 1 <= asked <= here:
        raise ValueError(f"Argument `devices` must lie between 1 and {here}, the local devices, but it was {asked}.")
    return here if asked is None else asked


def nbytes(tree: Any) -> int:
    """The bytes of a tree of arrays or of their shapes."""
    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def merge_batches(contribution: Any, estimator: Estimator) -> Any:
    """One long chain comes as one replica of many batches: its batches take the place of replicas."""
    if estimator.batches is None:
        return contribution
    return jax.tree.map(lambda leaf: np.reshape(leaf, (-1, *leaf.shape[2:])), contribution)
