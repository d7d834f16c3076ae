"""What a case of the batteries is, where its guilty lines are, and how a function is followed along a line.

A smooth case is an honest program: a finding there, other than `info` or `ok`, is a false alarm.  A lying case carries
the severities that are an acceptable answer: one finding of one of them must be reported, else it is missed.
Trouble lies at the arguments or can be reached from them by moving every parameter by a tenth of its size.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from pliant.lint._compiled import quick

jax.config.update("jax_enable_x64", True)

REACH = 0.1
"""How far, relative to each parameter's size, the arguments may be moved."""

SEVERITIES = frozenset({"BREAK", "NAN", "LIES", "BIAS", "BLOWUP", "JUMP", "kink", "info", "ok"})
SYMPTOMS = frozenset(
    {
        "zero",  # the derivative is zero, the function is not constant within reach
        "mismatch",  # the derivative is finite and disagrees with converged differences
        "slopes",  # the derivative disagrees with one of the one-sided slopes at the arguments
        "nonfinite",  # the derivative is not finite at the arguments, though the value is
        "jump",  # the value jumps within reach
        "kink",  # the value is continuous and its slope jumps within reach
        "blowup",  # the derivative dwarfs every secant over a wide step
        "bias",  # the mean derivative over keys is not the slope of the mean; the key is the second argument
        "reverse",  # forward mode works, reverse mode raises
        "raises",  # traces, but forward mode raises
        "untraceable",  # does not trace
    }
)


# What is an acceptable answer.
LOST = {"BREAK", "LIES", "JUMP"}
"""Information is lost and the value moves by steps."""
BLIND = {"BREAK", "LIES"}
"""The derivative is wrong although the function is smooth there."""
JUMPS = {"JUMP"}
"""The derivative is right where it is taken; a boundary within reach makes the value jump."""
AT_KINK = {"LIES", "kink"}
NEAR_KINK = {"kink"}
SINGULAR = {"NAN"}
RANDOM = {"BIAS", "BREAK"}
NOISY = {"BIAS", "BREAK", "LIES"}
"""A threshold on continuous noise."""
GROWTH = {"BLOWUP"}


@dataclass(frozen=True)
class Case:
    """A function, the arguments at which it is judged (the first is differentiated), and the acceptable answers."""

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    expected: frozenset[str] = frozenset()
    note: str = ""
    symptom: str | None = None
    mode: str = "forward"
    """`reverse` where only reverse mode is defined (custom_vjp)."""
    traces: bool = True
    rtol: float = 1e-6
    """Of derivatives against differences."""
    smooth: Callable[..., Any] | None = None
    """For draws by rejection: the same function at fixed quantiles, whose differences the derivative must match."""
    helpers: tuple[Callable[..., Any], ...] = field(default=())
    """Further functions whose source carries the mark of the guilty line."""


def collect(cases: list[Case]) -> Callable[..., Any]:
    """A decorator factory: the function below it joins `cases` with the given arguments."""

    def case(*arguments: Any, expected: Any = (), **fields: Any) -> Callable[..., Any]:
        def register(function):
            cases.append(Case(function.__name__, function, arguments, frozenset(expected), **fields))
            return function

        return register

    return case


def vec(*values: Any) -> jax.Array:
    """A float64 array."""
    return jnp.asarray(values, jnp.float64)


def guilty_lines(case: Case) -> set[tuple[str, int]]:
    """File and line of every source line of the case that ends in `# here`."""
    found = set()
    for function in (case.function, *case.helpers):
        function = inspect.unwrap(function)
        lines, start = inspect.getsourcelines(function)
        file = inspect.getsourcefile(function)
        assert file is not None
        found |= {(file, start + i) for i, line in enumerate(lines) if line.rstrip().endswith("# here")}
    return found


def directions(case: Case) -> np.ndarray:
    """Three fixed directions in units of each parameter's size (one where a parameter is zero)."""
    x = np.asarray(case.arguments[0], float)
    size = np.where(x == 0, 1.0, np.abs(x))
    rng = np.random.default_rng(7)
    rows = [np.ones(x.shape), rng.uniform(-1, 1, x.shape), rng.choice([-1.0, 1.0], x.shape)]
    return np.stack([row * size for row in rows])


QUICK = quick()


def follower(case: Case, function: Callable[..., Any] | None = None) -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    """(steps, direction) -> values and derivatives of the function at x + steps * direction; compiled once."""
    function = function or case.function
    x = jnp.asarray(case.arguments[0], jnp.float64)
    f = lambda p: jnp.ravel(jnp.asarray(function(p, *case.arguments[1:]), jnp.float64))

    def at(step, d):
        if case.mode == "reverse":
            slope = jnp.reshape(jax.jacrev(f)(x + step * d), (-1, x.size)) @ jnp.ravel(d)
            return f(x + step * d), slope
        return jax.jvp(f, (x + step * d,), (d,))

    run = jax.jit(lambda steps, d: jax.lax.map(lambda s: at(s, d), steps), compiler_options=QUICK)

    def follow(steps, direction):
        values, slopes = run(jnp.asarray(steps, jnp.float64), jnp.asarray(direction, jnp.float64))
        return np.asarray(values), np.asarray(slopes)

    return follow
