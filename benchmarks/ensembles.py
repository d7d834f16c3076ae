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
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from _measure import Row, Run, Times, missing
from _problems import DT, REPLICAS, STEPS, extended, law, square
from _programs import Program
from jax import lax

from pliant.observables import Final

PEER = "PLIANT_BENCH_UNI_DIFFSIM"
FLAGS = ("-O3", "-march=native", "-ffast-math", "-mprefer-vector-width=512", "-shared", "-fPIC")
# On a plane: a single Nosé-Hoover chain is not ergodic on a line, and ESH does not run there.
PLANE = ("NoseHooverChain", "ESH")
PEER_GOALS = {"overdamped": 50.0, "BAOAB": 100.0, "VelocityVerlet": None, "GeneralizedLangevin": None,
              **dict.fromkeys(PLANE)}  # fmt: skip


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
        for dynamics, goal in PEER_GOALS.items():
            yield from missing([names[dynamics]], f">= {goal:g}x" if goal else "", f"{error}; set {PEER}")
        return
    for dynamics, run in peer_runs(torch, peer).items():
        ours = extended(dynamics) if dynamics in PLANE else law(dynamics)
        times = Times({"pliant": Program(ours, Final(square)), "peer": run}, rounds=7)
        yield times.at_least(names[dynamics], "peer", "pliant", PEER_GOALS[dynamics])


def peer_runs(torch: Any, peer: Any) -> dict[str, Run]:
    """The peer's own integrators on its own double well, as many trajectories and steps."""
    well = peer.DoubleWell(1.0)
    line, plane = torch.zeros(REPLICAS, 1), torch.tensor([0.3, -0.7]).repeat(REPLICAS, 1)
    force, options = (well.force, DT, STEPS), {"final_only": True}
    runs = {
        "overdamped": lambda: peer.OverdampedLangevin(1.0, 1.0).run(line, *force, **options),
        "BAOAB": lambda: peer.BAOAB(1.0, 1.0, 1.0).run(line, None, *force, **options),
        "VelocityVerlet": lambda: peer.VelocityVerlet().run(line, torch.randn_like(line), *force, **options),
        "GeneralizedLangevin": lambda: peer.GLE().run(line, None, *force, **options),
        "NoseHooverChain": lambda: peer.NoseHooverChain(n_chain=3).run(plane, None, *force, **options),
        "ESH": lambda: peer.ESH().run(plane, None, lambda x: -well.force(x), STEPS, DT, **options),
    }
    return {dynamics: torch.no_grad()(run) for dynamics, run in runs.items()}
