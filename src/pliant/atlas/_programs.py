"""Letting go of compiled programs before the operating system has no room left for them."""

from pathlib import Path

import jax

# Linux gives a process 65,530 memory mappings. Every program that XLA holds takes some, and it crashes without.
MAPPINGS = 10_000


def release(most: int = MAPPINGS) -> bool:
    """Drop what JAX has compiled where this process holds more than `most` memory mappings; whether it did.

    Hundreds of cells, or tests, compile thousands of programs in one process, and JAX keeps them all. Where the
    system does not tell, nothing is dropped.
    """
    mappings = Path("/proc/self/maps")
    full = mappings.exists() and mappings.read_text().count("\n") > most
    if full:
        jax.clear_caches()
    return full
