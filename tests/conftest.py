"""Tests judge statistics in double precision, and keep what XLA compiles for the next run."""

from collections.abc import Iterator

import jax
import pytest

from pliant.atlas._programs import release

jax.config.update("jax_enable_x64", True)


def pytest_configure(config: pytest.Config) -> None:
    """Nearly all time of the fast tests goes into compiling: workers and later runs share it (`--cache-clear` empties it)."""
    assert config.cache is not None
    jax.config.update("jax_compilation_cache_dir", str(config.cache.mkdir("jax")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@pytest.fixture(autouse=True, scope="module")
def release_programs() -> Iterator[None]:
    """Between files, let go of what was compiled where a worker holds much of it."""
    yield
    release()
