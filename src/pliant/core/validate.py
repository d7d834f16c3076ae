"""Arguments of the public calls, each refused with one clear error before anything runs."""

import math
from collections.abc import Iterable
from typing import Any

import jax
from jax.core import Tracer
from jaxtyping import PRNGKeyArray

from pliant.core.estimator import Estimator
from pliant.core.laws import Balance, Evolve, Law, Sampled, Weigh
from pliant.core.observable import Observable
from pliant.core.trees import check_finite


def positive_whole(name: str, value: Any) -> int:
    """A whole number of at least one."""
    whole = not isinstance(value, bool) and hasattr(value, "__index__")
    if not whole or int(value) < 1:
        raise ValueError(f"Argument `{name}` must be a whole number >= 1, but it was {value!r}.")
    return int(value)


def positive(name: str, value: Any) -> None:
    """A number, or an array, of positive finite values; traced values pass."""
    if isinstance(value, Tracer) or not (hasattr(value, "__array__") or isinstance(value, int | float)):
        return
    import numpy as np

    array = np.asarray(value)
    if array.dtype.kind in "fiu" and not (np.all(np.isfinite(array)) and np.all(array > 0)):
        shown = float(array) if array.ndim == 0 else f"an array with minimum {np.min(array):.3g}"
        raise ValueError(f"Argument `{name}` must be positive and finite, but it was {shown}.")


def one_of(name: str, value: Any, known: Iterable[str]) -> None:
    """One of the names that there are."""
    known = tuple(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"Argument `{name}` must be one of {', '.join(known)}, but it was {value!r}.")


def prng_key(key: Any) -> PRNGKeyArray:
    """A JAX key of the new style."""
    dtype = getattr(key, "dtype", None)
    if dtype is None or not jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key) or key.shape != ():
        shown = f"{type(key).__name__}" + (f" of {dtype}{list(key.shape)}" if dtype is not None else f" {key!r}")
        raise ValueError(
            f"Argument `key` must be one random key, but it was {shown}. Make it with `jax.random.key(0)`; an old-style "
            "key goes through `jax.random.wrap_key_data`."
        )
    return key


def simulation(law: Any) -> Law:
    """What stands behind a law of any of the three kinds, its arrays finite."""
    if isinstance(law, Balance):
        check_finite(law, "law")
        return law
    return evolving(law)


def evolving(law: Any) -> Evolve:
    """The evolution behind a law, its arrays finite."""
    if not isinstance(law, Law):
        raise ValueError(
            f"Argument `law` must be a pliant law (Evolve, Weigh or Balance), but it was {type(law).__name__}. Take one "
            "from `pliant.dynamics` or subclass `pliant.Evolve`."
        )
    check_finite(law, "law")
    if isinstance(law, Weigh):
        return Sampled(law)
    if not isinstance(law, Evolve):
        raise ValueError(f"Argument `law` must evolve or weigh here, but {type(law).__name__} does neither.")
    return law


def of_type(name: str, value: Any, kind: type, where: str) -> None:
    """An instance of `kind`; a class in its place is the commonest slip."""
    if not isinstance(value, kind):
        shown = f"the class {value.__name__}; call it" if isinstance(value, type) else type(value).__name__
        raise ValueError(f"Argument `{name}` must be one of {where}, but it was {shown}.")


def observable_and_estimator(observable: Any, estimator: Any) -> None:
    """Both of the right kind."""
    of_type("observable", observable, Observable, "pliant.observables")
    of_type("estimator", estimator, Estimator, "pliant.estimators")


def memory_budget(memory: float) -> float:
    """Bytes."""
    if not (isinstance(memory, int | float) and math.isfinite(memory) and memory > 0):
        raise ValueError(f"Argument `memory` must be a positive number of bytes, but it was {memory!r}.")
    return float(memory)


def noise_generator(generator: str) -> str:
    """One of the two generators."""
    if generator not in ("fused", "jax"):
        raise ValueError(f'Argument `generator` must be "fused" or "jax", but it was {generator!r}.')
    return generator
