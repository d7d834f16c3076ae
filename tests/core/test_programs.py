"""Programs are read the same way under every JAX."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pliant.core.programs import Branch, Call, Equation, Program, Scan, While, operation, trace


@jax.custom_jvp
def doubled(x):
    return 2 * x


doubled.defjvp(lambda primals, tangents: (doubled(primals[0]), 3 * tangents[0]))


@jax.custom_vjp
def tripled(x):
    return 3 * x


tripled.defvjp(lambda x: (tripled(x), None), lambda _, cotangent: (4 * cotangent,))


def everything(x, y):
    table = jnp.arange(5.0)
    (carry, count), seen = lax.scan(
        lambda c, step: ((c[0] * x + step[0], c[1] + step[1]), c[0]), (y, 0), (table, jnp.arange(5)), reverse=True
    )
    _, looped = lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * x), (0, y))
    chosen = lax.cond(x > 0, lambda a: a * y, lambda a: a, looped)
    called = doubled(x) + tripled(x) + jax.checkpoint(jnp.sin)(x) + jax.jit(jnp.cos)(x)
    linear = jnp.linalg.solve(jnp.eye(2) * x, jnp.ones(2))
    return {"a": carry + count + jnp.sum(seen) + chosen, "b": called + linear[0] + jnp.searchsorted(table, x)}


def equations(program: Program) -> dict[str, Equation]:
    return {equation.name: equation for equation in program.equations}


def test_a_program_evaluates_to_what_the_function_returns():
    program, tree = trace(everything, 1.5, 0.5)
    found = jax.tree.unflatten(tree, program.evaluate(1.5, 0.5))
    assert jax.tree.map(float, found) == pytest.approx(jax.tree.map(float, everything(1.5, 0.5)), rel=1e-12)


def test_derivatives_of_an_evaluated_program_follow_its_custom_rules():
    program, _ = trace(lambda x: doubled(x) + tripled(x), 1.0)
    assert jax.grad(lambda x: program.evaluate(x)[0])(1.0) == 7.0


def test_every_structure_is_recognised():
    found = equations(trace(everything, 1.5, 0.5)[0])
    loop, while_, branch = (found[name].structure for name in ("scan", "while", "cond"))
    assert isinstance(loop, Scan) and (loop.constants, loop.carry, loop.length, loop.reverse) == (1, 2, 5, True)
    assert len(loop.body.inputs) == 1 + 2 + 2 and len(loop.body.outputs) == 2 + 1
    assert isinstance(while_, While) and (while_.condition_constants, while_.body_constants) == (0, 1)
    assert isinstance(branch, Branch) and len(branch.branches) == 2
    for name, custom in {"custom_jvp_call": True, "custom_vjp_call": True, "remat": False, "jit": False}.items():
        structure = found[name].structure
        assert isinstance(structure, Call) and structure.custom is custom
    assert found["mul"].structure is None


def test_an_inner_program_takes_the_operands_of_its_equation():
    def rule(equation, operands):
        structure = equation.structure
        if isinstance(structure, Call):
            return structure.body.evaluate(*operands, rule=rule)
        seen.append(equation.name)
        return equation.evaluate(operands)

    seen: list[str] = []
    program, _ = trace(everything, 1.5, 0.5)
    a, b = program.evaluate(1.5, 0.5, rule=rule)
    assert (float(a), float(b)) == pytest.approx(tuple(map(float, everything(1.5, 0.5).values())), rel=1e-12)
    assert {"sin", "cos", "mul"} <= set(seen) and "jit" not in seen


def test_a_loop_without_a_carry_and_one_without_arrays():
    def loops(x):
        _, mapped = lax.scan(lambda c, t: (c, x * t), None, jnp.arange(3.0))
        carried, _ = lax.scan(lambda c, _: ((c[0] * x, [c[1][0] + 1]), None), (x, [x]), length=4)
        return jnp.sum(mapped) + carried[0]

    first, second = (e.structure for e in trace(loops, 2.0)[0].equations if e.name == "scan")
    assert (first.constants, first.carry, first.length) == (1, 0, 3)
    assert (second.constants, second.carry, second.length) == (1, 2, 4)


def test_an_equation_knows_the_line_that_wrote_it():
    def written(x):
        y = jnp.linalg.norm(x)
        return y * 2

    norm = equations(trace(written, np.ones(3))[0])["jit"]
    assert norm.place.file == __file__ and norm.place.text == "y = jnp.linalg.norm(x)"
    assert norm.place.function.endswith("written")
    assert next(iter(norm.structure.body.equations)).place is None


def refuse(factor):
    raise TypeError(f"no derivative, factor {factor}")


scaled = operation("scaled", lambda x, y, factor: factor * x[..., None] * y, refuse)


def test_an_operation_of_ones_own_is_one_equation():
    f = lambda x, y: scaled(x, y, factor=3.0)
    (equation,) = trace(jax.jit(f), 2.0, np.ones(2))[0].equations
    (equation,) = equation.structure.body.equations if equation.name == "jit" else (equation,)
    assert equation.name == "scaled" and equation.parameters["factor"] == 3.0
    assert [kind.shape for kind in equation.operands] == [(), (2,)] and equation.results[0].shape == (2,)
    np.testing.assert_array_equal(jax.jit(f)(2.0, np.arange(2.0)), [0.0, 6.0])


def test_an_operation_of_ones_own_maps_with_its_batch_first():
    f = lambda x, y: scaled(x, y, factor=3.0)
    x, y = jnp.arange(2.0), jnp.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(jax.vmap(f, in_axes=(0, 1))(x, y), 3 * x[:, None] * y.T)
    np.testing.assert_array_equal(jax.jit(jax.vmap(f, in_axes=(None, 1)))(2.0, y), 6 * y.T)


def test_an_operation_of_ones_own_refuses_a_derivative_that_is_alive():
    with pytest.raises(TypeError, match="factor 3"):
        jax.grad(lambda x: jnp.sum(scaled(x, jnp.ones(2), factor=3.0)))(1.0)
    with pytest.raises(TypeError, match="factor 3"):
        jax.jvp(jax.jit(lambda y: scaled(jnp.ones(()), y, factor=3.0)), (jnp.ones(2),), (jnp.ones(2),))
    held = jax.grad(lambda x: x * jnp.sum(scaled(jax.lax.stop_gradient(x), jnp.ones(2), factor=3.0)))(1.0)
    assert held == 6.0


def test_special_functions_of_jax_are_told_from_what_the_user_wrote():
    def mixed(x):
        return jnp.where(x < 1.0, jax.scipy.stats.norm.cdf(x), jax.nn.relu(x))

    def walk(program):
        for equation in program.equations:
            yield equation
            for inner in equation.programs:
                yield from walk(inner)

    compared = [e for e in walk(trace(mixed, 0.5)[0]) if e.name in ("lt", "gt", "le", "ge")]
    assert [e.special for e in compared].count(False) == 1 and len(compared) > 1
    assert next(e for e in compared if not e.special).place.text.startswith("return jnp.where(x < 1.0")


def noisy(x, data):
    """What x does not reach: numbers at random, a mean, their product; and a constant that is spread out."""
    noise = jax.random.normal(jax.random.key(0), (100,)) * jnp.mean(data)
    return jnp.sum(jnp.sin(x * noise + jnp.zeros(100))), noise[:1]


def test_what_moving_inputs_do_not_reach_is_settled_and_need_not_be_evaluated_again():
    data = jnp.arange(5.0)
    program, _ = trace(noisy, 0.3, data)
    still = program.settled([True, False])
    # The first of the noise is a number: it is read from all of it.
    assert [variable.aval.shape for variable in still] == [(100,)]
    known = {variable: program.values(0.3, data)[variable] for variable in still}
    evaluated = []

    def rule(equation, operands):
        evaluated.append(equation.name)
        return equation.evaluate(operands)

    found = program.evaluate(0.7, data, rule=rule, known=known)
    np.testing.assert_allclose(found[0], noisy(0.7, data)[0])
    np.testing.assert_allclose(found[1], noisy(0.7, data)[1])
    assert "sin" in evaluated and len(evaluated) < len(program.equations)


def test_less_is_settled_where_more_moves():
    program, _ = trace(noisy, 0.3, jnp.arange(5.0))
    reached = program.settled([True, True])
    assert [variable.aval.shape for variable in reached] == [(100,)]
    assert not trace(lambda x: jnp.sin(x) + 1.0, jnp.ones(100))[0].settled([True])


def test_a_compiled_function_is_opened_where_it_hands_on_what_it_is_given():
    data = jnp.arange(3.0)
    compiled = jax.jit(lambda x, y: (jnp.sum(jnp.sin(x * y)), y))
    swapped, _ = trace(lambda y, x: compiled(x, y), data, 2.0)
    inside = swapped.opened
    assert "jit" in swapped.names and "jit" not in inside.names
    holding = trace(lambda x: compiled(x, data), 2.0)[0].opened
    for found, wanted in (
        (inside.evaluate(data, 2.0), compiled(2.0, data)),
        (holding.evaluate(2.0), compiled(2.0, data)),
    ):
        np.testing.assert_allclose(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jax.jit(jnp.multiply)(x, x),
        lambda x: (jax.jit(jnp.sin)(x), x),
        lambda x: jax.jit(jnp.sin)(x) + 1,
        lambda x: jax.checkpoint(jnp.sin)(x),
        doubled,
    ],
    ids=["twice", "beside", "after", "remat", "custom"],
)
def test_what_is_more_than_one_call_or_another_kind_stays_closed(function):
    program, _ = trace(function, 2.0)
    assert program.opened is program
