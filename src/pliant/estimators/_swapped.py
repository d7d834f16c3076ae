"""Trajectories run again with one draw swapped: what stochastic triples and measure-valued derivatives share."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from pliant.core.chance.discrete import Options, Simulation, replay
from pliant.core.contributions import Contribution, Direct
from pliant.core.estimator import Problem
from pliant.core.rollout import Rollout

# What is folded into a replica's key for the choice of swaps.
_CHOICE = 0x5BA


def replicate(problem: Problem, rollout: Rollout, options: Options, *, weak: bool) -> Contribution:
    """One replica's pathwise derivative with the terms of its draws."""
    # However the noise is drawn, the interpreter sees numbers of a known law.
    rollout = dataclasses.replace(rollout, marked=True)
    leaves, structure = jax.tree.flatten(problem.parameters)
    key = jax.random.fold_in(jax.random.fold_in(rollout.key, rollout.replica), _CHOICE)

    def run(leaves: Any) -> list[Any]:
        value, (_, unfinished) = problem.observe(rollout, jax.tree.unflatten(structure, leaves))
        return [value, *([] if unfinished is None else [jnp.asarray(unfinished)])]

    def observe(leaves: list[Any]) -> tuple[Any, list[Any]]:
        outputs = replay(Simulation(run, leaves, options), leaves, key, weak=weak)
        return outputs[0], outputs

    slopes, (value, *unfinished) = jax.jacrev(observe, has_aux=True)(leaves)
    return Direct(value, jax.tree.unflatten(structure, slopes), *unfinished)
