"""Cross-fitting: coefficients come from the other folds, so that they are independent of the replicas that they meet.

What is fitted to the very replicas that it is applied to has an optimistic error bar and, for products of averages, a bias.
Each fold's influence values are made from its own replicas alone, and combined with coefficients from all other ones: the
mean over folds is unbiased at any number of replicas.

Source: Schick, Ann. Stat. 14, 1139 (1986); Chernozhukov et al., Econom. J. 21, C1 (2018), definition 3.2.
"""

from collections.abc import Iterator

import jax
import numpy as np
from jaxtyping import Float, PyTree

from pliant.core.contributions import Contribution
from pliant.core.estimate import as_columns

# Fewer replicas a fold than these leave nothing to centre products with.
_LEAST = 4


def splits(replicas: int, folds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The replicas of each fold and those of all others; no fold at all where there are too few replicas to split.

    Folds are consecutive: batches of one chain then share few neighbours.
    """
    everyone = np.arange(replicas)
    folds = min(folds, replicas // _LEAST)
    if folds >= 2:
        for own in np.array_split(everyone, folds):
            yield own, np.setdiff1d(everyone, own)


def columns(contribution: Contribution, rows: np.ndarray) -> Float[np.ndarray, "replicas components"]:
    """The influence values that these replicas have among themselves."""
    return as_columns(jax.tree.map(lambda leaf: np.asarray(leaf)[rows], contribution).influence())


def like(tree: PyTree, values: Float[np.ndarray, "replicas components"]) -> PyTree:
    """The columns as a tree of the structure, shapes and dtypes of `tree`."""
    leaves, structure = jax.tree.flatten(tree)
    ends = np.cumsum([leaf[0].size for leaf in leaves])[:-1]
    parts = np.split(values, ends, axis=1)
    shaped = [part.reshape(leaf.shape).astype(leaf.dtype) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(structure, shaped)
