"""What lies is seen through every transformation, at a line of the user's; once in full, a third of all pairs in the suite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import AxisType, PartitionSpec
from operations import OPERATIONS, TRANSFORMATIONS, hidden

import pliant
from pliant.core.programs import trace
from pliant.lint import accept
from pliant.smooth import clip_gradient, detach, straight_through

KEY = jax.random.key(1)
NAMES, WAYS = list(OPERATIONS), list(TRANSFORMATIONS)
PAIRS = [(name, way) for i, name in enumerate(NAMES) for j, way in enumerate(WAYS) if (i + j) % 3 == 0]
QUICK = [
    ("floor", "remat"),
    ("comparison", "jit"),
    ("relu", "shard_map"),
    ("bernoulli", "vmap"),
    ("while", "vmap"),
    ("sqrt", "scan"),
    ("stop_gradient", "cond"),
    ("wrong custom_vjp", "custom_jvp"),
    ("sign", "pure_callback"),
    ("wrong custom_vjp", "while"),
    ("smooth.detach", "custom_vjp"),
    ("python index", "plain"),
    ("boolean index", "jit"),
]


def check(name, way):
    operation = OPERATIONS[name]
    expected = ("BREAK",) if way == "pure_callback" else operation.expected
    report = pliant.lint(hidden(name, way), operation.at, KEY)
    assert [finding for finding in report if finding.severity in expected and finding.place], list(report)


@pytest.mark.parametrize(("name", "way"), QUICK)
def test_an_operation_is_seen(name, way):
    check(name, way)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "way"), [pair for pair in PAIRS if pair not in QUICK])
def test_every_operation_is_seen(name, way):
    check(name, way)


@pytest.mark.parametrize("check_vma", [False, True])
def test_a_shard_map_is_the_program_over_all_its_shards(check_vma):
    """Collectives, a loop and a branch between them; one device here, where its axes have length one."""
    mesh = jax.make_mesh((1, 1), ("a", "b"), (AxisType.Auto,) * 2, devices=jax.devices()[:1])
    specs = PartitionSpec("b", "a"), PartitionSpec()

    def per_device(x, w):
        total = lax.scan(lambda c, row: (c + jnp.sin(row * w).sum() + lax.pmean(row.sum(), "a"), None), x.sum(), x)[0]
        total = lax.cond(w > 0, lambda z: 2 * z, lambda z: z, lax.psum(total, ("a", "b")))
        return jax.nn.relu(x) * total + lax.axis_index("a"), lax.psum(x.sum(), ("a", "b"))

    sharded = jax.shard_map(per_device, mesh=mesh, in_specs=specs, out_specs=specs, check_vma=check_vma)
    x, w = jnp.arange(1.0, 7.0).reshape(3, 2), jnp.asarray(0.7)
    program, _ = trace(sharded, x, w)
    (equation,) = [equation for equation in program.equations if equation.name == "shard_map"]
    assert equation.structure is not None
    for expected, found in zip(jax.jit(sharded)(x, w), equation.structure.body.evaluate(x, w), strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-14)
    assert pliant.lint(lambda x: jnp.sum(sharded(x, w)[0] ** 2), x).ok


@pytest.mark.parametrize(
    ("function", "severity", "kind"),
    [
        (lambda x: detach(x) * x, "LIES", "detach"),
        (lambda x: straight_through(jnp.round(x), x), "LIES", "straight_through"),
        (lambda x: clip_gradient(x**2, 0.1), "LIES", "clip_gradient"),
        (lambda x: clip_gradient(x**2, 1e6), "info", "clip_gradient"),
        (lambda x: accept(detach(x), "a constant of the step") * x, None, None),
        (lambda x: accept(straight_through(jnp.round(x), x), "trained with noise"), None, None),
        (lambda x: accept(clip_gradient(x**2, 0.1), "short steps alone"), None, None),
    ],
)
def test_what_is_biased_by_declaration_is_told_unless_accepted(function, severity, kind):
    told = [(finding.severity, finding.kind) for finding in pliant.lint(function, 3.2)]
    assert (severity, kind) in told if severity else not told


def test_the_derivative_of_eigenvectors_that_jax_refuses():
    report = pliant.lint(lambda x: jnp.abs(jnp.linalg.eig(jnp.array([[x, 1.0], [2.0, 0.0]]))[1][0, 0]), 0.3)
    assert any(finding.severity == "BREAK" and "eigenvectors" in finding.message for finding in report)
