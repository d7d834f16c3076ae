"""Mistakes that one could make in derivatives through draws: each turns a function of the library into a wrong one."""

import jax
import jax.numpy as jnp

from pliant.core.chance.replay import Recorder, Scorer


def negated(kept):
    return lambda *given: [-change for change in kept(*given)]


def detached(kept):
    """What a program gives moves with its draws alone."""

    def interpret(self, interpreter, parameters):
        outputs, entries = kept(self, interpreter, parameters)
        recorded = isinstance(interpreter, (Recorder, Scorer))
        return [jax.lax.stop_gradient(x) if recorded else x for x in outputs], entries

    return interpret


def other_keys(kept):
    """As good uniforms as those of the run, but not the same."""
    return lambda self, given, draw: 1 - kept(self, given, draw)


def one_way(kept):
    """The probability of the other value does not fall where that of the one rises."""
    return lambda self, key, x, p: (*kept(self, key, x, p)[:2], jnp.abs(kept(self, key, x, p)[2]))


def against_all_trials(kept):
    """A binomial of n - 1 trials is what a pair of weak derivatives has in common."""

    def weak(self, key, x, n, p):
        fewer = self.sample(key, n, jax.lax.stop_gradient(p))
        return jnp.stack([fewer + 1]), jnp.stack([fewer]), jnp.stack([n * p])

    return weak


def events_alone(kept):
    """That nothing happened has a probability too."""

    def at_draw(self, drawn):
        logs = jax.vmap(drawn.family.log_probability)(drawn.value, *drawn.parameters)
        self.book.append(jnp.where(drawn.value > 0, logs, 0.0))
        return drawn.value

    return at_draw


def with_itself(kept):
    """The baseline of a run is the mean of all runs, its own among them."""

    def product(output, logs):
        weights = jax.lax.stop_gradient(output - jnp.mean(output, axis=0))
        return jnp.tensordot(logs - jax.lax.stop_gradient(logs), weights, axes=1) / output.shape[0]

    return product


def opposite(kept):
    return lambda self, x, p: kept(self, x, 1 - p)


def unweighted(kept):
    return lambda *given: (kept(*given)[0], 1.0)
