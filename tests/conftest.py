"""Tests judge statistics in double precision, and keep what XLA compiles for the next run.

Nearly all time of the fast tests goes into compiling programs that run once, so XLA is told to compile soon rather than well.
`XLA_FLAGS` of one's own, empty ones too, take the place of that: continuous integration runs the slow tests, the matrix of
every estimator on every dynamics among them, with XLA as users have it.
"""

import os
from collections.abc import Iterator

import jax
import pytest

from pliant.atlas._programs import release

# Emitters by MLIR take half of the time; JAX 0.12 knows no others.
_SOON = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
_SOON += " --xla_cpu_use_fusion_emitters=false" if jax.__version_info__ < (0, 11) else ""
os.environ.setdefault("XLA_FLAGS", _SOON)
jax.config.update("jax_enable_x64", True)


def pytest_configure(config: pytest.Config) -> None:
    """What is compiled is shared by workers and later runs (`--cache-clear` empties it)."""
    assert config.cache is not None
    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(autouse=True, scope="module")
def release_programs() -> Iterator[None]:
    """Between files, let go of what was compiled where a worker holds much of it."""
    yield
    release()
