"""What the linter says of programs whose lies are known, where it says so, and how it is told that one is meant."""

import json
import pathlib
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import pliant
from pliant import cli
from pliant.lint import Finding, Report, _margins, accept, assert_differentiable, ignore
from pliant.lint._advice import advice
from pliant.lint._probe import Edge, Probe
from pliant.lint.report import SEVERITIES

KEY = jax.random.key(0)


def corner(t):
    return jnp.minimum(t**2, 2 * t)


def two_ramps(t):
    return jax.nn.relu(t) - jax.nn.relu(-t)


def converter(t):
    return jnp.sum(jnp.floor(t * jnp.arange(1.0, 20.0)))


def truncated(r):
    return jnp.where(r < 2.5, 4 * (r**-12 - r**-6), 0.0)


def lottery(p):
    return jnp.sum(jnp.where(jax.random.bernoulli(KEY, p, (20,)), 1.0, 0.0))


def lorenz(rho):
    def step(state, _):
        x, y, z = state
        return state + 0.01 * jnp.stack([10 * (y - x), x * (rho - z) - y, x * y - 8 / 3 * z]), z

    return jnp.mean(lax.scan(step, jnp.ones(3), None, length=4000)[1])


def trapped(t):
    return jnp.where(t > 0, jnp.sqrt(t), 0.0)


def stopped(t):
    return lax.stop_gradient(t) * t


def looked_at(t):
    return t if t > 0 else -t


def called_back(t):
    return jax.pure_callback(lambda x: x, jax.ShapeDtypeStruct((), jnp.result_type(float)), t)


def searched(t):
    return lax.while_loop(lambda x: x < 100, lambda x: x * t, t)


@jax.custom_vjp
def wrong(x):
    return jnp.sin(x)


wrong.defvjp(lambda x: (jnp.sin(x), x), lambda x, cotangent: (-jnp.cos(x) * cotangent,))


def wrong_rule(t):
    return wrong(t) ** 2


@pytest.mark.parametrize(
    ("function", "at", "severity", "line", "words"),
    [
        (corner, 2.0, "LIES", "return jnp.minimum(t**2, 2 * t)", ["slopes are 4 and 2"]),
        (two_ramps, 0.0, "LIES", "return jax.nn.relu(t) - jax.nn.relu(-t)", ["slopes are 1 and 1, the derivative is 0"]),
        (converter, 0.37, "LIES", "return jnp.sum(jnp.floor(t * jnp.arange(1.0, 20.0)))", ["jumps by"]),
        (truncated, 2.4, "JUMP", "return jnp.where(r < 2.5, 4 * (r**-12 - r**-6), 0.0)", ["at 2.5,", "jumps by 0.0163"]),
        (lottery, 0.3, "BIAS", "return jnp.sum(jnp.where(jax.random.bernoulli(KEY, p, (20,)), 1.0, 0.0))", ["jumps"]),
        (lorenz, 28.0, "BLOWUP", "return jnp.mean(lax.scan(step, jnp.ones(3), None, length=4000)[1])", ["1.0", "4000", "gone"]),
        (trapped, 0.0, "NAN", "return jnp.where(t > 0, jnp.sqrt(t), 0.0)", ["sqrt"]),
        (jnp.linalg.norm, [0.0, 0.0, 0.0], "NAN", None, ["sqrt"]),
        (stopped, 2.0, "LIES", "return lax.stop_gradient(t) * t", ["not that of the function"]),
        (looked_at, 1.0, "BREAK", "return t if t > 0 else -t", ["Python looks at a value"]),
        (called_back, 1.0, "BREAK", None, ["pure_callback"]),
        (searched, 1.5, "BREAK", "return lax.while_loop(lambda x: x < 100, lambda x: x * t, t)", ["reverse mode"]),
        (wrong_rule, 0.5, "LIES", "return wrong(t) ** 2", ["reverse mode gives -0.84", "forward mode 0.84"]),
    ],
)  # fmt: skip
def test_a_lie_is_found_at_its_line_with_its_numbers(function, at, severity, line, words):
    report = pliant.lint(function, jnp.asarray(at))
    assert not report.ok
    first = next(finding for finding in report if finding.severity == severity)
    assert all(word in first.message for word in words), first.message
    assert line is None or first.place.text == line


def test_an_edge_out_of_reach_is_none():
    assert pliant.lint(corner, 1.0).findings == ()
    assert [finding.severity for finding in pliant.lint(corner, 1.9)] == ["kink"]
    assert pliant.lint(corner, 1.9).ok
    assert pliant.lint(corner, 1.0, scale=1.5).findings != ()


def test_differences_are_taken_on_this_side_of_an_edge_close_by():
    """The jump is 4e-5 of the reach away: differences across it settled nowhere, and what else lies was not seen."""
    both = lambda r: lax.stop_gradient(r) * r + truncated(r)
    found = {finding.kind: finding for finding in pliant.lint(both, 2.49999)}
    assert found["stop_gradient"].severity == "LIES" and "differences 5.03" in found["stop_gradient"].message
    assert [finding.severity for finding in pliant.lint(truncated, 2.49999)] == ["JUMP"]


def test_parameters_are_chosen_and_may_be_trees():
    function = lambda parameters, data: jnp.floor(parameters["a"] * data).sum() + parameters["b"] ** 2
    assert pliant.lint(function, {"a": 1.3, "b": 2.0}, jnp.arange(5.0)).findings
    assert not pliant.lint(lambda data, b: jnp.floor(data).sum() + b**2, jnp.arange(5.0), 2.0, argnums=1).findings
    with pytest.raises(ValueError, match="`argnums` must name at least one argument with floating point numbers"):
        pliant.lint(lambda n: n, 3)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((1.0,), {"argnums": 2}, "`argnums` must hold whole numbers that name one of the 1 arguments .* it was 2"),
        ((1.0,), {"argnums": "x"}, "`argnums` must hold whole numbers .* it was 'x'"),
        ((), {}, "`argnums` must hold whole numbers that name one of the 0 arguments"),
        ((jnp.zeros(0),), {}, "`argnums` must name at least one argument with floating point numbers"),
        ((1.0,), {"directions": 0}, "`directions` must be a whole number >= 1, but it was 0"),
        ((1.0,), {"scale": -0.1}, "`scale` must be positive and finite, but it was -0.1"),
    ],
)
def test_bad_arguments_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        pliant.lint(lambda *numbers: sum(numbers), *arguments, **options)


def test_what_is_looked_at_is_a_function_of_numbers_to_numbers():
    with pytest.raises(TypeError, match="`function` must be callable, but it was a float"):
        pliant.lint(1.0, 1.0)
    with pytest.raises(ValueError, match="`function` must return at least one number"):
        pliant.lint(lambda t: None, 1.0)


def test_arguments_may_be_counted_from_the_end():
    assert pliant.lint(lambda a, b: a + jnp.floor(b), 1.5, 2.9, argnums=-1).findings
    assert not pliant.lint(lambda a, b: a + jnp.floor(b), 1.5, 2.9, argnums=(0,)).findings


def test_a_program_that_names_its_precision_is_told_what_to_do():
    single = lambda t: t * lax.scan(lambda c, _: (c * t, None), jnp.ones((), jnp.float32), None, length=3)[0]
    with pytest.raises(TypeError) as raised:
        pliant.lint(single, jnp.float32(0.9))
    assert any("double precision" in note for note in raised.value.__notes__)


def test_networks_hold_functions_too():
    network = eqx.nn.MLP(2, 1, 4, 1, activation=jax.nn.tanh, key=KEY)
    assert not pliant.lint(lambda network, x: network(x)[0], network, jnp.ones(2)).findings
    assert pliant.lint(lambda network, x: jnp.floor(1e3 * network(x)[0]), network, jnp.ones(2)).findings
    assert pliant.lint(lambda x, network: jnp.floor(1e3 * network(x)[0]), jnp.ones(2), network).findings


def only_below(limit):
    """A function that raises beyond a limit, as a solver does that has not converged."""
    return lambda t: t**2 + 0 * eqx.error_if(t, t > limit, "not converged")


def test_a_program_may_refuse_to_run_away_from_its_arguments():
    assert not pliant.lint(only_below(2.05), 2.0).findings
    jumping = lambda t: only_below(2.15)(t) + jnp.floor(t - 0.05)
    assert [(f.severity, f.kind) for f in pliant.lint(jumping, 2.0)] == [("LIES", "floor")]
    with pytest.raises(jax.errors.JaxRuntimeError, match="not converged"):
        pliant.lint(only_below(1.0), 2.0)


def test_findings_are_ranked_by_their_effect():
    both = lambda t: jnp.floor(101 * t) + truncated(t)
    report = pliant.lint(both, 2.41)
    assert [finding.kind for finding in report] == ["floor", "lt"]
    assert report.findings[0].effect > report.findings[1].effect


def test_the_tenfold_effect_comes_first():
    def small_first(t):
        low = jnp.floor(t + 0.01)
        return t + low + 10 * jnp.ceil(t - 0.005)

    def large_first(t):
        high = 10 * jnp.ceil(t - 0.005)
        return t + high + jnp.floor(t + 0.01)

    for function in (small_first, large_first):
        first, second = (finding for finding in pliant.lint(function, 3.98) if finding.severity == "LIES")
        assert [first.kind, second.kind] == ["ceil", "floor"] and first.effect > 3 * second.effect


def test_an_edge_that_is_not_located_is_said(monkeypatch):
    """Neither Newton's method nor halving gets anywhere: that is no reason to call the program fine."""
    lost = lambda self, candidates: [Edge(site, direction, 0.5, located=False) for site, direction, _ in candidates]
    monkeypatch.setattr(Probe, "locate", lost)
    report = pliant.lint(truncated, 2.4)
    assert [finding.severity for finding in report] == ["UNKNOWN"] and not report.ok
    assert "not located" in report.findings[0].message


@pytest.mark.parametrize(
    ("function", "at", "kind", "where"),
    [
        (lambda t: 1.0 / (t - 1.05), 1.0, "div", "1.05"),
        (lambda t: 1.0 / (t - 1.05) ** 6, 1.0, "div", "1.05"),
        (lambda t: (t - 1.05) ** -2, 1.0, "integer_pow", "1.05"),
        (lambda t: jnp.sum(1.0 / (t - jnp.array([0.93, 1.02, 1.05]))), 1.0, "div", "1.02"),
        (lambda t: jnp.cbrt(t - 0.95), 1.0, "cbrt", "0.95"),
        (lambda t: jnp.log(t - 0.95), 1.0, "log", "0.95"),
        (jnp.tan, 1.5, "tan", "1.5708"),
        (jax.scipy.special.gammaln, -1.95, "lgamma", "-2"),
    ],
)
def test_a_pole_within_reach_is_told(function, at, kind, where):
    """Beside it all numbers are finite; nearer and nearer to it they grow without bound."""
    (finding,) = pliant.lint(function, at)
    assert finding.severity == "NAN" and finding.kind == kind
    assert f"has an edge at {where}, where the derivative ceases to be finite" in finding.message


@pytest.mark.parametrize(
    "function",
    [
        lambda t: jnp.sin(t - 1.05) / (t - 1.05),
        lambda t: (t**2 - 1.05**2) / (t - 1.05),
        lambda t: 1.0 / ((t - 1.05) ** 2 + 1e-3) ** 2,
        lambda t: jnp.sqrt((t - 1.05) ** 2 + 1e-4) ** 3,
        lambda t: jnp.tan(t) + jax.scipy.special.gammaln(t),
        lambda t: 1.0 / (t - 1.2) ** 6,
    ],
)
def test_what_only_looks_like_a_pole_is_not(function):
    assert not pliant.lint(function, 1.0).findings


def test_a_second_look_compiles_nothing(caplog):
    """At other numbers, also of a closure and of what is only passed; another program of the same shape is another one."""

    def function(scale):
        data = scale * jnp.arange(5.0)
        return lambda t, other: jnp.sum(jax.nn.relu(t * data - other) + jnp.sin(t) ** 2)

    with jax.log_compiles():
        pliant.lint(function(1.1), 0.7, jnp.ones(5))
        assert "Finished XLA compilation of jit(batch)" in caplog.text
        caplog.clear()
        assert not pliant.lint(function(1.2), 0.8, 1.1 * jnp.ones(5)).findings
        assert "jit(batch)" not in caplog.text
        assert pliant.lint(lambda t, other: function(1.1)(t, other) + jnp.floor(t), 1.05, jnp.ones(5)).findings
        assert "Finished XLA compilation of jit(batch)" in caplog.text


def test_a_second_look_sees_another_rule():
    """Two functions that are one but for the rules of their derivatives."""

    def with_rule(factor):
        ruled = jax.custom_jvp(jnp.sin)
        ruled.defjvp(lambda primals, tangents: (ruled(*primals), factor * jnp.cos(primals[0]) * tangents[0]))
        return lambda t: ruled(t) ** 2

    assert not pliant.lint(with_rule(1.0), 0.5).findings
    assert [finding.severity for finding in pliant.lint(with_rule(2.0), 0.5)] == ["LIES"]
    assert not pliant.lint(with_rule(1.0), 0.5).findings


def test_single_precision_programs_are_looked_at_in_double():
    assert not pliant.lint(lambda t: jnp.sum(jnp.sin(t) ** 2), jnp.ones(3, jnp.float32)).findings


@pytest.mark.parametrize("double", [False, True])
def test_numpy_functions_take_the_numpy_arrays_that_do_not_move(double):
    times, channels = np.linspace(0.0, 1.0, 5, dtype=np.float32), np.arange(5)

    def readout(gain, times, channels):
        return jnp.sum(jnp.floor(gain * np.exp(times) * np.sqrt(channels)))

    with jax.enable_x64(double):
        (finding,) = pliant.lint(readout, 3.1, times, channels)
        assert finding.kind == "floor"
        assert jax.grad(readout)(3.1, times, channels) == 0.0


def with_a_rule(function):
    """With the derivative that it has, by a rule of the user's."""
    ruled = jax.custom_jvp(function)
    ruled.defjvp(lambda primals, tangents: (function(*primals), jax.jvp(function, primals, tangents)[1]))
    return ruled


@pytest.mark.parametrize("made", [lambda function: function, jax.jit, with_a_rule], ids=["plain", "jit", "custom_jvp"])
def test_numpy_constants_are_of_the_precision_that_a_program_is_looked_at_or_run_in(made):
    """JAX keeps such a constant as it was first traced, and takes it into programs of another precision."""
    charges = np.array([1.1, 2.3, 3.6])
    readout = made(lambda gain: jnp.sum(jnp.floor(gain * charges)))
    with jax.enable_x64(False):
        run = jax.jit(readout)
        before = run(1.05)
        for _ in range(2):
            (finding,) = pliant.lint(readout, 1.05)
            assert finding.severity == "LIES" and finding.kind == "floor"
            assert before.dtype == jnp.float32 and run(1.05) == before
            assert jax.jit(jax.grad(readout))(1.05).dtype == jnp.float32


@pytest.mark.parametrize(("made", "size"), [(lambda function: function, 3), (jax.jit, 4)], ids=["plain", "jit"])
def test_a_second_look_at_a_program_with_numpy_constants_compiles_nothing(made, size, caplog):
    charges = np.linspace(1.1, 3.6, size)
    readout = made(lambda gain: jnp.sum(jnp.sin(gain * charges)))
    with jax.enable_x64(False), jax.log_compiles():
        readout(1.05)
        pliant.lint(readout, 1.05)
        assert "Finished XLA compilation of jit(batch)" in caplog.text
        readout(1.05)
        caplog.clear()
        assert pliant.lint(readout, 1.07).ok
        assert "jit(batch)" not in caplog.text


def test_what_the_author_stands_by_is_not_reported():
    def meant(t):
        return accept(jnp.floor(t), "the converter has so many bits") + t

    def ignored(t):
        with ignore("the converter has so many bits"):
            charge = jnp.floor(t)
        return charge + t

    assert not pliant.lint(meant, 3.2).findings and not pliant.lint(ignored, 3.2).findings
    assert jax.grad(meant)(3.2) == 1.0
    assert pliant.lint(lambda t: meant(t) + jnp.round(t), 3.45).findings
    with pytest.raises(ValueError, match="`reason` must say why"):
        accept(1.0, "")


def test_as_an_assertion():
    assert_differentiable(jnp.sin, 1.0)
    assert_differentiable(corner, 1.9)
    with pytest.raises(AssertionError, match="jumps by"):
        assert_differentiable(truncated, 2.4)
    assert_differentiable(truncated, 2.4, allow=["JUMP"])
    with pytest.raises(ValueError, match="`allow` must hold severities"):
        assert_differentiable(truncated, 2.4, allow=["jump"])


def test_reports_for_people_and_for_programs(monkeypatch):
    report = pliant.lint(truncated, 2.4)
    assert isinstance(report, Report) and isinstance(report.findings[0], Finding) and len(report) == 1
    assert "truncated: 1 found" in str(report) and "JUMP" in str(report)
    read = json.loads(report.to_json())
    assert read["ok"] is False and read["findings"][0]["place"]["file"] == __file__
    (result,) = json.loads(report.to_sarif())["runs"][0]["results"]
    assert result["ruleId"] == "JUMP" and result["level"] == "warning"
    place = result["locations"][0]["physicalLocation"]
    assert place["region"]["startLine"] == report.findings[0].place.line
    monkeypatch.chdir(pathlib.Path(__file__).parent.parent)
    run = json.loads(report.to_sarif())["runs"][0]
    assert run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "lint/test_lint.py"
    assert result["ruleId"] in [rule["id"] for rule in run["tool"]["driver"]["rules"]]


def test_brackets_of_a_line_are_told_as_they_stand():
    def chosen(t):
        i = 1
        return jnp.floor(t[i])  # here

    assert "t[i]" in str(pliant.lint(chosen, jnp.array([0.5, 1.01])))


def test_the_advice_for_a_branch_of_python_is_one_of_jax():
    assert "jax.lax.cond" in pliant.lint(looked_at, 1.0).findings[0].advice


@pytest.mark.parametrize("severity", [severity for severity in SEVERITIES if severity != "info"])
def test_no_finding_is_without_advice_and_what_it_names_is_there(severity):
    for name in (*_margins.BLOCKS, *_margins.BENDS, *_margins.EDGES, "custom_jvp_call", "while", "derivative"):
        given = advice(severity, name)
        assert given
        for path in re.findall(r"`pliant\.([a-zA-Z._]+)`", given):
            found = pliant
            for part in path.split("."):
                found = getattr(found, part)
        for short in re.findall(r"`safe\.(\w+)`", given):
            assert short in pliant.smooth.safe.components()


def test_operations_are_called_as_they_are_written():
    table = str(pliant.lint(truncated, 2.4))
    assert "`<` has an edge at 2.5" in table and "lt" not in table.split("instead")[1]


def test_the_advice_for_rounded_noise_is_one_that_serves():
    rounded = lambda gain, key: jnp.floor(gain + jax.random.normal(key))
    (finding,) = pliant.lint(rounded, 0.4, KEY)
    assert finding.severity == "BIAS" and "`pliant.expect`" in finding.advice
    slopes = jax.vmap(jax.grad(pliant.expect(rounded)), (None, 0))(0.4, jax.random.split(KEY, 4000))
    exact = jnp.sum(jax.scipy.stats.norm.pdf(jnp.arange(-9.0, 9.0) - 0.4))
    assert abs(jnp.mean(slopes) - exact) < 4 * jnp.std(slopes) / 4000**0.5 + 1e-5


def test_the_command_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "detector_of_mine.py").write_text(
        "import jax.numpy as jnp\ndef smooth(x):\n    return jnp.sum(jnp.sin(x))\ndef hard(x):\n    return jnp.floor(x)\n"
        "def wrong(x):\n    return x @ jnp.ones(3)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main(["lint", "detector_of_mine:smooth", "--args", "[1.0, 2.0]"]) == 0
    assert "nothing found" in capsys.readouterr().out
    assert cli.main(["lint", "detector_of_mine:hard", "--args", "2.1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["findings"][0]["place"]["line"] == 5
    (tmp_path / "broken_of_mine.py").write_text("def f(:")
    for wrong_target, said in (
        (["detector_of_mine"], "must name both"),
        (["detector_of_mine:soft"], "no attribute 'soft'"),
        (["no_such_detector:soft"], "No module named"),
        (["broken_of_mine:f"], "SyntaxError"),
        (["detector_of_mine:smooth", "--args", "x"], "must hold numbers"),
        (["detector_of_mine:smooth", "--args", "1.0", "2.0"], "smooth(x) takes"),
        (["detector_of_mine:wrong", "--args", "[1.0, 2.0]"], "fails at these arguments"),
    ):
        assert cli.main(["lint", *wrong_target]) == 2
        assert said in capsys.readouterr().err


def test_what_parameters_do_not_reach_is_computed_once():
    asked = []

    def measured(time):
        asked.append(time.shape)
        return np.sin(time)

    def misfit(rate, time):
        curve = jax.pure_callback(measured, time, time)
        return jnp.sum((jnp.abs(rate * time - 1.0) - curve) ** 2)

    time = jnp.linspace(0.1, 3.0, 100)
    assert pliant.lint(misfit, 0.7, time)
    assert asked == [time.shape]


def test_of_several_edges_in_a_line_that_jump_alike_one_is_told():
    staircase = lambda t: jnp.floor(3 * t) + jnp.round(5 * t) + t
    (finding,) = pliant.lint(staircase, 0.66)
    assert finding.severity == "LIES" and finding.kind == "floor"
