"""Forward runs of an ensemble: against plain JAX by hand, against C, and against the public peer uni-diffsim."""

import ctypes
import importlib
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
from _measure import Row, Run, Times, missing
from _problems import DT, REPLICAS, STEPS, law, square
from _programs import Program
from jax import lax

from pliant.observables import Final

PEER = "PLIANT_BENCH_UNI_DIFFSIM"
FLAGS = ("-O3", "-march=native", "-ffast-math", "-mprefer-vector-width=512", "-shared", "-fPIC")
PEER_GOALS = {"overdamped": 50.0, "BAOAB": 100.0}


def rows() -> Iterator[Row]:
    """Both dynamics in the process's precision."""
    for dynamics in ("overdamped", "BAOAB"):
        contestants = {"pliant": Program(law(dynamics), Final(square)), "plain": plain(dynamics)}
        compiled = c_loop(dynamics)
        if compiled:
            contestants["C"] = compiled
        times = Times(contestants)
        yield times.at_least(f"forward {dynamics}: plain vmap + scan over ours", "plain", "pliant", 3)
        name = f"forward {dynamics}: ours over one-thread C (Philox, AVX-512)"
        yield from [times.at_most(name, "pliant", "C", 2)] if compiled else missing([name], "<= 2x", "no C compiler")
    if not jax.config.jax_enable_x64:
        yield from peer_rows()


def plain(dynamics: str) -> Run:
    """What one writes by hand: a trajectory with jax.random.normal at every step, under vmap."""
    dtype = jnp.result_type(float)
    step = {"overdamped": _overdamped_step, "BAOAB": _baoab_step}[dynamics]

    @jax.jit
    def ensemble(a: jax.Array, b: jax.Array, keys: jax.Array) -> jax.Array:
        def trajectory(key: jax.Array) -> jax.Array:
            def force(x: jax.Array) -> jax.Array:
                return -4 * a * x * (x * x - 1) - b

            x = jnp.zeros(1, dtype)
            start = (x, jax.random.normal(key, (1,), dtype), force(x))

            def body(carry: tuple, key: jax.Array) -> tuple[tuple, None]:
                return step(force, carry, jax.random.normal(key, (1,), dtype)), None

            return jnp.sum(lax.scan(body, start, jax.random.split(key, STEPS))[0][0] ** 2)

        return jax.vmap(trajectory)(keys)

    arguments = (jnp.array(1.0), jnp.array(0.0), jax.random.split(jax.random.key(0), REPLICAS))
    return lambda: ensemble(*arguments)


def _overdamped_step(force: Callable, carry: tuple, normal: jax.Array) -> tuple:
    x, v, f = carry
    return x + DT * force(x) + float(np.sqrt(2 * DT)) * normal, v, f


def _baoab_step(force: Callable, carry: tuple, normal: jax.Array) -> tuple:
    x, v, f = carry
    damping, spread = float(np.exp(-DT)), float(np.sqrt(-np.expm1(-2 * DT)))
    v = v + DT / 2 * f
    x = x + DT / 2 * v
    v = damping * v + spread * normal
    x = x + DT / 2 * v
    f = force(x)
    return x, v + DT / 2 * f, f


def c_loop(dynamics: str) -> Run | None:
    """The C loop in the process's precision; None where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source = pathlib.Path(__file__).parent / "c" / "langevin.c"
    library = pathlib.Path(tempfile.mkdtemp()) / "langevin.so"
    subprocess.run([compiler, *FLAGS, str(source), "-o", str(library), "-lm"], check=True)
    dtype, real = (np.float64, ctypes.c_double) if jax.config.jax_enable_x64 else (np.float32, ctypes.c_float)
    name = f"{dynamics.lower()}_{'double' if dtype is np.float64 else 'float'}"
    function = getattr(ctypes.CDLL(str(library)), name)
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_uint32, *[real] * 4, ctypes.c_void_p]
    out = np.zeros(REPLICAS, dtype)
    return lambda: function(REPLICAS, STEPS, 7, 1.0, 0.0, DT, 1.0, out.ctypes.data)


def peer_rows() -> Iterator[Row]:
    """uni-diffsim in the same process: the environment variable holds folders for sys.path (the peer's, torch's)."""
    names = {dynamics: f"forward {dynamics}: uni-diffsim over ours" for dynamics in PEER_GOALS}
    sys.path += [folder for folder in os.environ.get(PEER, "").split(os.pathsep) if folder]
    try:
        torch, peer = importlib.import_module("torch"), importlib.import_module("uni_diffsim")
    except ImportError as error:
        for dynamics, name in names.items():
            yield from missing([name], f">= {PEER_GOALS[dynamics]:g}x", f"{error}; set {PEER}")
        return
    well = peer.DoubleWell(1.0)
    start = torch.zeros(REPLICAS, 1)
    integrators = {"overdamped": peer.OverdampedLangevin(1.0, 1.0), "BAOAB": peer.BAOAB(1.0, 1.0, 1.0)}
    for dynamics, integrator in integrators.items():
        initial = (start,) if dynamics == "overdamped" else (start, None)

        def run(integrator: object = integrator, initial: tuple = initial) -> None:
            with torch.no_grad():
                integrator.run(*initial, well.force, DT, STEPS, final_only=True)

        times = Times({"pliant": Program(law(dynamics), Final(square)), "peer": run}, rounds=7)
        yield times.at_least(names[dynamics], "peer", "pliant", PEER_GOALS[dynamics])
