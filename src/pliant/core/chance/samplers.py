"""Draws that JAX's own samplers make: recognised in a program that knows nothing of this library."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from pliant.core.chance.chains import Chain, Value
from pliant.core.chance.draws import Family, Geometric, Poisson
from pliant.core.programs import Equation

# Whatever way a number was drawn, its law says what could have come out instead.
_SAMPLERS: dict[str, Family] = {"_poisson": Poisson(), "_geometric": Geometric()}
# -log(-log(uniform)), from the uniform on (0, 1) on.
_GUMBEL = ("mul", "add", "log", "neg", "log", "neg")


def sampler(equation: Equation) -> Family | None:
    """The law that a call of `jax.random` draws from, given a key and one parameter; None where it is none of these."""
    return _SAMPLERS.get(equation.of_jax) if len(equation.inputs) == 2 else None


def choice(equation: Equation, values: list[Value]) -> Array | None:
    """The chances of the outcomes of `argmax(logits + gumbel)`, outcomes last; None where it is something else."""
    chain = values[0].chain
    if equation.name != "argmax" or not isinstance(chain, Chain) or len(equation.parameters["axes"]) != 1:
        return None
    names = tuple(step.name for step in chain.steps)
    rest = chain.steps[len(_GUMBEL) :]
    if names[: len(_GUMBEL)] != _GUMBEL or not all(s.name == "add" or (s.name == "sub" and s.left) for s in rest):
        return None
    logits = sum((s.operands[0] if s.name == "add" else -s.operands[0] for s in rest), jnp.zeros_like(values[0].value))
    return jax.nn.softmax(jnp.moveaxis(logits, equation.parameters["axes"][0], -1), axis=-1)
