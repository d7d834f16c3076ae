r"""Unbiased derivatives of the expectation of a program that draws: surrogates whose ordinary JAX derivative is the estimate.

The derivative is $\mathbb E[\partial_\theta f\,|_\text{draws}] + \mathbb E \sum_j \partial_\theta a_j (f^+_j - f^-_j)$, a
sum over what could have come out otherwise. Of its terms a few are taken at random, each for one more run.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.lax import stop_gradient
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pliant.core.chance.chains import Value
from pliant.core.chance.interpreter import Interpreter
from pliant.core.chance.replay import Recorder, Scorer, Swap, Swapper, Units, WeakRecorder
from pliant.core.errors import NotApplicable
from pliant.core.programs import Program, trace
from pliant.core.validate import one_of, positive_whole

# The share of runs that goes to alternatives alike, so that none that matters is left to a vanishing chance.
_ALIKE = 0.1


@dataclasses.dataclass(frozen=True)
class Options:
    """How a program is interpreted.

    **Fields**: `replays`: runs with a draw swapped, at most; `max_steps` of a while loop that draws; `strict`: whether jumps that
    cannot be followed are refused.
    """

    replays: int = 16
    max_steps: int | None = None
    strict: bool = True


def options(replays: Any, max_steps: Any, jumps: Any) -> Options:
    """The arguments of all that runs programs again, checked."""
    one_of("jumps", jumps, ("raise", "ignore"))
    steps = None if max_steps is None else positive_whole("max_steps", max_steps)
    return Options(positive_whole("replays", replays), steps, jumps == "raise")


class Simulation:
    """A program with parameters: `function(parameters) -> outputs`, both flat lists of arrays, its keys held by it."""

    def __init__(self, function: Callable[[Sequence[Any]], Sequence[Any]], parameters: Sequence[Any], options: Options):
        self.options = options
        self.program: Program = trace(function, parameters)[0]
        self.sites: dict[tuple, int] = {}

    def interpret(self, interpreter: Interpreter, parameters: Sequence[Any]) -> tuple[list[Any], Any]:
        """The outputs, and what the interpreter has written."""
        results = interpreter.run(self.program, [Value(x, active=True) for x in parameters])
        if interpreter.strict and any(source.chosen and source.shared for source in interpreter.sources):
            raise NotApplicable(
                "The noise of a choice by `argmax`, as `jax.random.categorical` makes it, is used elsewhere too, and nothing "
                "says what it would be had another index come out: draw the index by `pliant.draw.categorical`."
            )
        return [_real(result.value) for result in results], interpreter.entries()

    def interpreter(self, kind: Callable[..., Interpreter], *arguments: Any) -> Any:
        """One of this program's."""
        return kind(*arguments, self.sites, self.options.max_steps, self.options.strict)


def replay(simulation: Simulation, parameters: Sequence[Any], key: PRNGKeyArray, *, weak: bool = False) -> list[Any]:
    """The outputs of one run, with the derivative by replay with a swapped draw."""
    recorder = simulation.interpreter(WeakRecorder if weak else Recorder)
    held = [stop_gradient(x) for x in parameters]

    def record(parameters: Sequence[Any]) -> tuple:
        outputs, units = simulation.interpret(recorder, parameters)
        return (outputs, None if units is None else units.amplitude), (units, recorder.tape)

    # One run serves what was drawn, the choice of what is swapped, and the derivative, which is linear and draws nothing.
    (outputs, _), linear, (units, tape) = jax.linearize(record, held, has_aux=True)
    changed, slopes = linear([x - y for x, y in zip(parameters, held, strict=True)])
    outputs = [x + change for x, change in zip(outputs, changed, strict=True)]
    if units is None:
        return outputs
    chosen, weight = _choose(
        simulation.options.replays, key, units.site.shape[0], lambda k: linear(_direction(k, held))[1]
    )
    paired = weak or any(source.shared for source in recorder.sources if source.compared)
    units = jax.tree.map(lambda leaf: leaf[chosen], units)
    run = lambda swaps: _runs(simulation, held, swaps, tape)
    changes = _paired(run, units) if paired else _flipped(run, units, outputs)
    return [_added(x, change, weight * slopes[chosen]) for x, change in zip(outputs, changes, strict=True)]


def score(simulation: Simulation, parameters: Sequence[Any]) -> tuple[list[Any], Float[Array, ""] | None]:
    """The outputs of one run, and the log probability of what it drew; None where it drew nothing that matters."""
    scorer = simulation.interpreter(Scorer)
    outputs, entries = simulation.interpret(scorer, parameters)
    if any(source.shared and source.compared for source in scorer.sources):
        raise NotApplicable(
            "`expect` by the score function needs the probability of all that depends on a draw, but the noise of a "
            'comparison is used elsewhere too: use estimator="replay", which moves it to the threshold.'
        )
    return outputs, None if entries is None else jnp.sum(entries)


def _swap(units: Units, value: Int[Array, " k"]) -> Swap:
    return Swap(
        units.site, units.iteration, units.element, value,
        units.noise_site, units.noise_iteration, units.noise_element, units.noise_uniform,
    )  # fmt: skip


def _runs(simulation: Simulation, parameters: Sequence[Any], swaps: Swap, tape: list[Any]) -> list[Any]:
    """The outputs of a run for every swap."""

    def one(swap: Swap) -> list[Any]:
        return simulation.interpret(simulation.interpreter(Swapper, swap, tape), parameters)[0]

    return jax.vmap(one)(swaps)


def _flipped(run: Callable, units: Units, outputs: Sequence[Any]) -> list[Any]:
    """Differences where one of each pair is what was drawn: one run each."""
    down = units.drawn == units.plus
    runs = run(_swap(units, jnp.where(down, units.minus, units.plus)))
    sign = jnp.where(down, -1.0, 1.0)
    return [_rows(sign, y) * (y - stop_gradient(x)) for y, x in zip(runs, outputs, strict=True)]


def _paired(run: Callable, units: Units) -> list[Any]:
    """Differences of two runs each."""
    pairs = zip(run(_swap(units, units.plus)), run(_swap(units, units.minus)), strict=True)
    return [high - low for high, low in pairs]


def _added(output: Any, changes: Any, slopes: Any) -> Any:
    """The output itself, plus what is zero and has the derivative of the draws."""
    return output + jnp.tensordot(slopes, stop_gradient(changes).astype(slopes.dtype), axes=1).astype(output.dtype)


def _choose(runs: int, key: PRNGKeyArray, count: int, probe: Callable) -> tuple[Int[Array, " k"], Float[Array, " k"]]:
    """Which alternatives are run, and the weights that make their sum unbiased: systematic sampling by size."""
    if count <= runs:
        return jnp.arange(count), jnp.ones(count)
    direction, place = jax.random.split(key)
    size = jnp.abs(stop_gradient(probe(direction)))
    total = jnp.sum(size)
    share = jnp.where(total > 0, (1 - _ALIKE) * size / jnp.where(total > 0, total, 1.0) + _ALIKE / count, 1 / count)
    ladder = jnp.cumsum(share)
    rungs = (jnp.arange(runs) + jax.random.uniform(place, (), ladder.dtype)) / runs * ladder[-1]
    chosen = jnp.minimum(jnp.searchsorted(ladder, rungs, side="right"), count - 1)
    return chosen, 1 / (runs * share[chosen])


def _direction(key: PRNGKeyArray, parameters: Sequence[Any]) -> list[Any]:
    """A random direction among the parameters, every one by its own size."""
    keys = jax.random.split(key, len(parameters))
    signs = [jax.random.rademacher(k, jnp.shape(x), x.dtype) for k, x in zip(keys, parameters, strict=True)]
    sizes = [jnp.mean(jnp.abs(x)) for x in parameters]
    return [sign * jnp.where(size > 0, size, 1.0) for sign, size in zip(signs, sizes, strict=True)]


def _rows(column: Any, like: Any) -> Any:
    return column.reshape(-1, *(1,) * (like.ndim - 1)).astype(like.dtype)


def _real(x: Any) -> Any:
    """An expectation is a real number also where its samples are integers."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(float)
