"""Discrete draws as operations that a traced program shows, and what a derivative needs to know of each family.

A family is a probability mass function with parameters. `jax.grad` through a draw raises; `pliant.core.chance.replay` finds the
draws of a program and asks their families what could have come out instead.
"""

import abc
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from pliant.core.programs import operation

DRAW, GUARD = "pliant_draw", "pliant_guard"

# Alternatives of one draw: the values that take its place, those they are compared with, and an amplitude for each.
Swaps = tuple[Int[Array, " j"], Int[Array, " j"], Float[Array, " j"]]


class Family(abc.ABC):
    r"""A family of probability mass functions on the integers, for one draw.

    `swaps(key, x, *p)` are values y, x' and amplitudes a with
    $\partial_p \mathbb E f(X) = \mathbb E \sum_j \partial_p a_j\,(f(y_j) - f(x'_j))$ where X = x: only the derivative of
    an amplitude by the parameters matters. Samplers are monotone in their parameters at a fixed key, so that a program
    that is run again stays close to what it was.
    """

    name: str

    def __hash__(self) -> int:
        return hash(type(self))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    @abc.abstractmethod
    def quantile(self, unit: Float[Array, ""], *parameters: Any, **named: Any) -> Int[Array, ""]:
        """The draw that a uniform on [0, 1) stands for."""

    def sample(self, key: PRNGKeyArray, *parameters: Any) -> Int[Array, ""]:
        """One draw."""
        return self.quantile(unit(key, parameters[-1]), *parameters)

    def quantiles(self, units: Any, *parameters: Any) -> Int[Array, "..."]:
        """Draws with leading axes, those of the uniforms that they are functions of."""
        quantile = self.quantile
        for _ in range(units.ndim):
            quantile = jax.vmap(quantile)
        return quantile(units, *parameters)

    @abc.abstractmethod
    def log_probability(self, x: Int[Array, ""], *parameters: Any, **named: Any) -> Float[Array, ""]:
        """The log of the probability of `x`, up to what does not depend on the parameters."""

    @abc.abstractmethod
    def swaps(self, key: PRNGKeyArray, x: Int[Array, ""], *parameters: Any, **named: Any) -> Swaps:
        """What could have come out instead of `x`, compared with `x`."""

    def weak(self, key: PRNGKeyArray, x: Int[Array, ""], *parameters: Any, **named: Any) -> Swaps:
        """Pairs from a decomposition of the derivative into two probability measures; `swaps` where `x` is one of them."""
        return self.swaps(key, x, *parameters)


class Bernoulli(Family):
    """1 with probability p, else 0."""

    name = "bernoulli"

    def quantile(self, unit: Float[Array, ""], p: Any) -> Int[Array, ""]:
        return (unit < p).astype(jnp.int32)

    def log_probability(self, x: Int[Array, ""], p: Any) -> Float[Array, ""]:
        return _log(jnp.where(x == 1, p, 1 - p))

    def swaps(self, key: PRNGKeyArray, x: Int[Array, ""], p: Any) -> Swaps:
        return _one(1 - x, x, jnp.where(x == 0, p, -p))


class Binomial(Family):
    """The number of successes of n trials; n may be traced and has no derivative."""

    name = "binomial"

    def quantile(self, unit: Float[Array, ""], n: Any, p: Any) -> Int[Array, ""]:
        # Counted from the likelier end: the log of its mass does not underflow before the bulk is reached.
        flipped = p > 0.5
        rare = jnp.where(flipped, 1 - p, p)
        odds = _log(rare) - jnp.log1p(-rare)
        # u < p is success: small u means many.
        unit = jnp.where(flipped, unit, 1 - unit)
        step = lambda k: odds + _log((n - k).astype(rare.dtype)) - jnp.log(k + 1.0).astype(rare.dtype)
        count = jnp.minimum(_invert(unit, n * jnp.log1p(-rare), step, n * rare), n)
        return jnp.where(flipped, n - count, count).astype(jnp.int32)

    def log_probability(self, x: Int[Array, ""], n: Any, p: Any) -> Float[Array, ""]:
        return _times(x, _log(p)) + _times(n - x, _log(1 - p))

    def swaps(self, key: PRNGKeyArray, x: Int[Array, ""], n: Any, p: Any) -> Swaps:
        # One of n trials is switched: n - x of them from failure to success, x of them back.
        values = jnp.stack([jnp.minimum(x + 1, n), jnp.maximum(x - 1, 0)])
        return values, jnp.stack([x, x]), jnp.stack([(n - x) * p, -x * p])

    def weak(self, key: PRNGKeyArray, x: Int[Array, ""], n: Any, p: Any) -> Swaps:
        fewer = self.sample(key, jnp.maximum(n - 1, 0), jax.lax.stop_gradient(p))
        return _one(jnp.minimum(fewer + 1, n), fewer, n * p)


class Geometric(Family):
    """The number of trials up to the first success: 1, 2, ..."""

    name = "geometric"

    def quantile(self, unit: Float[Array, ""], p: Any) -> Int[Array, ""]:
        trials = jnp.ceil(jnp.log1p(-unit) / jnp.log1p(-p))
        return jnp.clip(trials, 1, 2**31 - 256).astype(jnp.int32)

    def log_probability(self, x: Int[Array, ""], p: Any) -> Float[Array, ""]:
        return _times(x - 1, _log(1 - p)) + _log(p)

    def swaps(self, key: PRNGKeyArray, x: Int[Array, ""], p: Any) -> Swaps:
        # The derivative is 1/p times the difference between the law of the first success and that of the second.
        return _one(x + self.sample(key, jax.lax.stop_gradient(p)), x, -_log(p))


class Poisson(Family):
    """The number of events at a mean of `rate`."""

    name = "poisson"

    def quantile(self, unit: Float[Array, ""], rate: Any) -> Int[Array, ""]:
        step = lambda k: _log(rate) - jnp.log(k + 1.0).astype(rate.dtype)
        return _invert(unit, -rate, step, rate).astype(jnp.int32)

    def log_probability(self, x: Int[Array, ""], rate: Any) -> Float[Array, ""]:
        return _times(x, _log(rate)) - rate

    def swaps(self, key: PRNGKeyArray, x: Int[Array, ""], rate: Any) -> Swaps:
        return _one(x + 1, x, rate)


class Categorical(Family):
    """An index with the given probabilities, which sum to one."""

    name = "categorical"

    def quantile(self, unit: Float[Array, ""], p: Any) -> Int[Array, ""]:
        below = jnp.cumsum(p) <= unit * jnp.sum(p)
        return jnp.minimum(jnp.sum(below), p.shape[-1] - 1).astype(jnp.int32)

    def log_probability(self, x: Int[Array, ""], p: Any) -> Float[Array, ""]:
        return _log(p[x])

    def swaps(self, key: PRNGKeyArray, x: Int[Array, ""], p: Any) -> Swaps:
        # The amplitudes sum to one: what they are compared with is free, and x costs no other run.
        values = jnp.arange(p.shape[-1], dtype=jnp.int32)
        return values, jnp.full_like(values, x), p


def _one(value: Any, against: Any, amplitude: Any) -> Swaps:
    return jnp.stack([value]), jnp.stack([against]), jnp.stack([amplitude])


def unit(key: PRNGKeyArray, like: Any) -> Float[Array, ""]:
    """The uniform on [0, 1) that a draw is a function of, in the precision of its parameters."""
    return jax.random.uniform(key, (), jnp.result_type(like))


def uniforms(keys: Any, like: Any) -> Float[Array, "..."]:
    """The uniforms of draws with leading axes, those of the keys."""
    one = functools.partial(unit, like=like)
    for _ in range(keys.ndim):
        one = jax.vmap(one)
    return one(keys)


def _log(p: Any) -> Float[Array, ""]:
    """The logarithm, whose derivative at zero is not infinite: an event without probability has not happened."""
    return jnp.where(p > 0, jnp.log(jnp.where(p > 0, p, 1.0)), -jnp.inf)


def _times(count: Any, log: Any) -> Float[Array, ""]:
    """`count * log`, zero where the count is."""
    return jnp.where(count == 0, 0.0, jnp.where(count == 0, 1, count) * jnp.where(count == 0, 0.0, log))


def _invert(unit: Any, first: Any, log_ratio: Callable, mean: Any) -> Int[Array, ""]:
    """The smallest k with P(X <= k) > unit, from log P(0) and the logs of P(k + 1) / P(k): k + 1 additions."""
    smallest = jnp.log(jnp.finfo(unit.dtype).tiny)

    def more(state: tuple) -> Any:
        k, log_mass, total = state
        return (total <= unit) & ((k < mean) | (log_mass > smallest))

    def add(state: tuple) -> tuple:
        k, log_mass, total = state
        log_mass = log_mass + log_ratio(k)
        return k + 1, log_mass, total + jnp.exp(log_mass)

    return jax.lax.while_loop(more, add, (jnp.int32(0), first, jnp.exp(first)))[0]


def _evaluate(key: Any, *parameters: Any, family: Family) -> Int[Array, "..."]:
    return family.quantiles(uniforms(key, parameters[-1]), *parameters)


def _refuse(family: Family) -> None:
    raise TypeError(
        f"`draw.{family.name}` has no derivative under `jax.grad` or `jax.jvp`: a discrete draw jumps as a function of its "
        "parameters, and the derivative of what it gives is zero or wrong. Write the program as f(theta, key) and "
        "differentiate `pliant.draw.expect(f)`; where the draw is to be held constant, put `jax.lax.stop_gradient` around "
        "its parameters."
    )


_draw = operation(DRAW, _evaluate, _refuse)


def _refuse_guarded(name: str) -> None:
    raise TypeError(
        f"`draw.{name}` has no derivative under `jax.grad` or `jax.jvp`: what it gives jumps as a function of its "
        "parameters. Write the program as f(theta, key) and differentiate `pliant.draw.expect(f)`."
    )


_guard = operation(GUARD, lambda x, name: x, _refuse_guarded)


def guarded(x: Any, name: str) -> Any:
    """The array itself, which plain differentiation refuses and `pliant.core.chance.replay` looks through."""
    return _guard(x, name=name)


def draw(family: Family, key: PRNGKeyArray, *parameters: Any, shape: tuple[int, ...] = ()) -> Int[Array, "*shape"]:
    """Independent draws: one per element of `shape`; leading axes of the parameters are those of `shape`."""
    keys = jax.random.split(key, shape) if shape else key
    return _draw(keys, *parameters, family=family)
