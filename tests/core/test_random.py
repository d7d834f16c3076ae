"""The generator: its bits, the law of its numbers, and their independence of everything but (key, replica, step)."""

import os
import subprocess
import sys

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import pliant
from pliant.core import random
from pliant.core.noise import NoiseSource, Normal, Uniform
from pliant.dynamics import OverdampedLangevin
from pliant.estimators import BPTT
from pliant.systems import DoubleWellSystem

REPLICAS, STEPS = 256, 400


def test_bits_are_those_of_threefry():
    key = jnp.array([0x12345678, 0x9ABCDEF0], jnp.uint32)
    counters = jax.random.bits(jax.random.key(0), (2, 1000), jnp.uint32)
    expected = jax.extend.random.threefry_2x32(key, counters.ravel())
    found = random.threefry((key[0], key[1]), (counters[0], counters[1]))
    np.testing.assert_array_equal(jnp.concatenate(found), expected)


def draws(noise, dtype, key=0):
    """Noise of shape (replicas, steps, numbers per step), as the engine draws it."""

    def one(replica):
        source = NoiseSource(noise, jax.random.key(key), replica, jnp.dtype(dtype))
        raw = source.blocks(source.streams(), 0, STEPS // source.group)
        steps = [jax.vmap(lambda raw, p=p: source.unpack(raw, p))(raw) for p in range(source.group)]
        return jnp.stack(steps, axis=1).reshape(STEPS, -1)

    return np.asarray(jax.jit(jax.vmap(one))(jnp.arange(REPLICAS, dtype=jnp.uint32)), float)


LAWS = [pytest.param(Normal((3,)), dtype, stats.norm(), id=f"normal-{dtype}") for dtype in ("float32", "float64")] + [
    pytest.param(Uniform((3,)), dtype, stats.uniform(), id=f"uniform-{dtype}") for dtype in ("float32", "float64")
]


@pytest.mark.parametrize(("noise", "dtype", "law"), LAWS)
def test_law_of_the_numbers(noise, dtype, law):
    """Kolmogorov-Smirnov, the first six moments in standard errors, and the tails."""
    sample = draws(noise, dtype).ravel()
    assert stats.kstest(sample, law.cdf).pvalue > 1e-3
    standard = (sample - law.mean()) / law.std()
    for power in range(1, 7):
        exact = law.expect(lambda x, p=power: ((x - law.mean()) / law.std()) ** p)
        values = standard**power
        assert abs(values.mean() - exact) < 4 * values.std() / np.sqrt(values.size), power
    if isinstance(noise, Uniform):
        assert 0 < sample.min() and sample.max() < 1
    else:
        far = np.sum(np.abs(sample) > 4)
        expected = sample.size * 2 * stats.norm.sf(4)
        assert abs(far - expected) < 4 * np.sqrt(expected)


@pytest.mark.parametrize(("noise", "dtype", "law"), LAWS)
def test_numbers_are_independent(noise, dtype, law):
    """Correlations between steps, replicas and numbers of one step, of the values and of their squares."""
    centred = (draws(noise, dtype) - law.mean()) / law.std()
    for values in (centred, centred**2 - 1):
        pairs = {
            "next step": (values[:, 1:], values[:, :-1]),
            "step after next": (values[:, 2:], values[:, :-2]),
            "next replica": (values[1:], values[:-1]),
            "same step": (values[:, :, 1:], values[:, :, :-1]),
            "next replica's next step": (values[1:, 1:], values[:-1, :-1]),
        }
        for where, (a, b) in pairs.items():
            products = (a * b).ravel()
            assert abs(products.mean()) < 4 * products.std() / np.sqrt(products.size), where


def test_sequences_do_not_repeat():
    numbers = draws(Normal((3,)), "float64")
    assert np.unique(numbers).size == numbers.size
    assert not np.any(numbers == draws(Normal((3,)), "float64", key=1))


def test_float32_resolves_the_tail():
    """The smallest word gives the largest radius: sqrt(2 log 2^32) = 6.66."""
    smallest = (jnp.zeros(1, jnp.uint32), jnp.zeros(1, jnp.uint32))
    radius = jnp.abs(random.normal_pair(smallest, smallest, jnp.dtype("float32")))
    np.testing.assert_allclose(radius, np.sqrt(2 * 32 * np.log(2)), rtol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normals_are_box_and_muller_to_round_off(dtype):
    """The polynomials against the logarithm and the circular functions of numpy."""
    bits = jax.random.bits(jax.random.key(2), (4, 2000), jnp.uint32)
    pair = np.asarray(random.normal_pair((bits[0], bits[1]), (bits[2], bits[3]), jnp.dtype(dtype)), complex)
    words = np.asarray(bits).astype(np.uint64)
    if dtype == "float64":
        unit = ((words[0] >> 1) * 2.0**-31) + ((words[1] >> 11) + 0.5) * 2.0**-52
        angle = 2 * np.pi * ((words[2] >> 1) * 2.0**-31 + ((words[3] >> 11) + 0.5) * 2.0**-52 - 0.5)
    else:
        unit = ((words[0] >> 1) + 0.5) * 2.0**-31
        angle = 2 * np.pi * words[1].astype(np.uint32).view(np.int32) * 2.0**-32
    expected = np.sqrt(-2 * np.log(unit)) * np.exp(1j * angle)
    np.testing.assert_allclose(pair, expected, atol=2e-6 if dtype == "float32" else 1e-14)


WELL = DoubleWellSystem()


def replicates(**options):
    estimate = pliant.gradient(
        WELL.law(OverdampedLangevin, 0.02),
        WELL.observable(burn_in=2),
        BPTT(),
        horizon=21,
        replicas=11,
        key=jax.random.key(5),
        wrt=WELL.wrt,
        keep_replicates=True,
        progress=False,
        **options,
    )
    return np.stack([estimate.replicates.a, estimate.replicates.b])


def test_replicas_are_the_same_in_chunks_of_any_size():
    whole = replicates()
    for memory in (1.0, 5e4):
        np.testing.assert_allclose(replicates(memory=memory), whole, rtol=1e-12)


TWO_DEVICES = """
import sys
sys.path[:0] = {path!r}
import jax
jax.config.update("jax_enable_x64", True)
from test_random import replicates
import numpy as np
assert jax.local_device_count() == 2
np.save({out!r}, np.stack([replicates(devices=1), replicates(devices=2)]))
"""


def test_replicas_are_the_same_on_two_devices(tmp_path):
    """Another process, which is told to split the CPU in two before JAX starts."""
    out, here = str(tmp_path / "replicates.npy"), os.path.dirname(os.path.abspath(__file__))
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu"}
    script = TWO_DEVICES.format(path=[here, os.path.dirname(here)], out=out)
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | flags, timeout=300)
    one, two = np.load(out)
    np.testing.assert_allclose(two, one, rtol=1e-12)
    np.testing.assert_allclose(one, replicates(), rtol=1e-12)
