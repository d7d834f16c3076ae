"""A configuration becomes cells, or is refused with the line and the key."""

import dataclasses

import pytest
from atlas_fakes import CATALOGUE
from hypothesis import given, settings
from hypothesis import strategies as st

from pliant.atlas.cells import Cell
from pliant.atlas.config import find, load, parse
from pliant.atlas.errors import ConfigError
from pliant.atlas.toml_lines import TomlLines

GOOD = """\
# a comment with [[block]] and horizon = 3 in it
[atlas]
title = "two blocks"   # and burn_in = 7
seed = 5

[[block]]
systems = ["well", "ring"]
dynamics = ["Brownian"]
estimators = [
    "Pathwise",  # horizon = 12
    "Score",
]
horizon = [500, 1000]
burn_in = 0.25

[block.options.Score]
window = 10

[[block]]
systems = ["well"]
dynamics = ["Verlet"]
estimators = ["Pathwise"]
timeout = 7
"""


def edited(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1
    return GOOD.replace(old, new, 1)


def test_blocks_are_cross_products_with_the_defaults_of_the_system():
    atlas = parse(GOOD, CATALOGUE)
    assert len(atlas.cells) == 2 * 1 * 2 * 2 + 1
    first, last = atlas.cells[0], atlas.cells[-1]
    assert (first.system, first.dynamics, first.estimator, first.horizon, first.burn_in) == (
        "well",
        "Brownian",
        "Pathwise",
        500,
        125,
    )
    assert (first.dt, first.replicas, first.timeout) == (0.01, 64, 300.0)
    assert (last.dynamics, last.horizon, last.burn_in, last.timeout) == ("Verlet", 1000, 100, 7.0)
    assert {cell.options for cell in atlas.cells if cell.estimator == "Score"} == {(("window", 10),)}
    assert atlas.title == "two blocks"


def test_overlapping_blocks_measure_a_cell_once_and_keep_its_first_place():
    block = '[[block]]\nsystems = ["well"]\ndynamics = ["Brownian"]\nestimators = ["Score"]\n'
    atlas = parse(f"{block}timeout = 1\n{block}horizon = [500, 1000]", CATALOGUE)
    assert [cell.horizon for cell in atlas.cells] == [1000, 500]
    assert atlas.cells[0].timeout == 1.0


def test_all_stands_for_every_name():
    listed = ", ".join(f'"{name}"' for name in CATALOGUE.estimators)
    written, meant = (
        parse(edited('estimators = ["Pathwise"]', f"estimators = {names}"), CATALOGUE)
        for names in ('"all"', f"[{listed}]")
    )
    assert written.cells == meant.cells
    assert len(written.cells) > len(parse(GOOD, CATALOGUE).cells)


def test_seeds_depend_on_the_cell_and_the_atlas_alone():
    forward = parse(GOOD, CATALOGUE)
    backward = parse(edited('["well", "ring"]', '["ring", "well"]'), CATALOGUE)
    assert {c.id: c.seed for c in forward.cells} == {c.id: c.seed for c in backward.cells}
    assert len({cell.seed for cell in forward.cells}) == len(forward.cells)
    assert forward.fingerprint == backward.fingerprint
    other = parse(edited("seed = 5", "seed = 6"), CATALOGUE)
    assert {c.id for c in forward.cells} == {c.id for c in other.cells}
    assert forward.fingerprint != other.fingerprint


def test_the_title_the_comments_and_the_limits_are_no_part_of_what_is_measured():
    changed = edited('title = "two blocks"', 'title = "another"').replace("timeout = 7", "timeout = 8 # longer")
    assert parse(changed, CATALOGUE).fingerprint == parse(GOOD, CATALOGUE).fingerprint


def test_a_cell_survives_the_store():
    for cell in parse(GOOD, CATALOGUE).cells:
        assert Cell.from_dict(cell.as_dict()) == cell


def test_every_setting_has_its_own_id():
    cell = parse(GOOD, CATALOGUE).cells[0]
    changes = {"dt": 0.02, "horizon": 7, "burn_in": 1, "replicas": 3, "options": (("a", 1),), "precision": "float32"}
    others = [dataclasses.replace(cell, **{key: value}) for key, value in changes.items()]
    assert len({cell.id, *(other.id for other in others)}) == len(changes) + 1


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (edited("horizon = [500", "horizn = [500"), 13, ["`horizn`", "Did you mean `horizon`"]),
        (edited("seed = 5", 'seed = "five"'), 4, ["`seed`", "whole number", "'five'"]),
        (edited("seed = 5", "seed = true"), 4, ["`seed`", "True"]),
        (edited("seed = 5", 'precision = "half"'), 4, ["`precision`", "float64"]),
        (edited('"ring"', '"rung"'), 7, ["'rung'", "`systems`", "Did you mean `ring`"]),
        (edited('["Brownian"]', '["Langevin"]'), 8, ["'Langevin'", "Brownian, Verlet"]),
        (edited('    "Score",', '    "Scores",'), 9, ["'Scores'", "Did you mean `Score`"]),
        (edited("500, 1000", "500, 100.5"), 13, ["`horizon`", "whole number", "100.5"]),
        (edited("500, 1000", "500, 0"), 13, ["`horizon`", "at least 1"]),
        (edited("500, 1000", ""), 13, ["`horizon`", "at least one value"]),
        (edited("burn_in = 0.25", "burn_in = 500"), 14, ["burn_in = 500", "horizon = 500"]),
        (edited("burn_in = 0.25", "burn_in = 1.5"), 14, ["`burn_in`", "below 1"]),
        (edited("burn_in = 0.25", "dt = -0.01"), 14, ["`dt`", "positive", "-0.01"]),
        (edited("burn_in = 0.25", "dt = inf"), 14, ["`dt`", "positive"]),
        (edited("burn_in = 0.25", "replicas = 1"), 14, ["`replicas`", "at least 2"]),
        (edited("window = 10", "windw = 10"), 17, ["`windw`", "an option of Score", "`window`"]),
        (edited("window = 10", "window = [10]"), 17, ["`window`", "a number"]),
        (edited("options.Score", "options.Slow"), 16, ["`Slow`", "an estimator of this block"]),
        (edited("timeout = 7", "timeout = 0"), 23, ["`timeout`", "positive"]),
        (edited('dynamics = ["Verlet"]', ""), 19, ["`dynamics`", "missing"]),
        (edited('systems = ["well"]', 'systems = "well"'), 20, ["`systems`", "list of names"]),
        (
            edited('systems = ["well"]', 'systems = ["ring"]'),
            19,
            ["no default `dt` for ring under Verlet"],
        ),
        (edited("[atlas]", "[altas]"), 2, ["`altas`", "Did you mean `atlas`"]),
        (edited("seed = 5", "seed = "), 4, ["not valid TOML"]),
        ('[block]\nsystems = ["well"]', 1, ["[[block]]"]),
        ("", 1, ["at least one table [[block]]"]),
    ],
)
def test_a_mistake_is_refused_with_its_line(text, line, words):
    with pytest.raises(ConfigError) as refusal:
        parse(text, CATALOGUE, source="mine.toml")
    message = str(refusal.value)
    assert f"line {line}" in message and "mine.toml" in message
    assert all(word in message for word in words), message


def test_the_lines_of_nested_and_quoted_keys():
    text = '\n'.join(  # noqa: FLY002
        ['a.b = 1', '"c # d" = """', "[[not.a.table]]", 'e = 1"""', "[x]", "y = [", " 1, # ]", " {z = 2}]", "w = ''",
         "[[t]]", "[[t.u]]", "k = 1", "[[t.u]]", "k = 2", "[[t]]", "[t.'v.w']", "k = 3"]
    )  # fmt: skip
    lines = TomlLines(text)
    expected = {
        ("a", "b"): 1,
        ("c # d",): 2,
        ("x",): 5,
        ("x", "y"): 6,
        ("x", "w"): 9,
        ("t", 0): 10,
        ("t", 0, "u", 0, "k"): 12,
        ("t", 0, "u", 1, "k"): 14,
        ("t", 1): 15,
        ("t", 1, "v.w", "k"): 17,
        ("t", 1, "nowhere", "at", "all"): 15,
    }
    assert {path: lines.line(*path) for path in expected} == expected


PIECES = ["k{} = 1", "k{} = '[' # ]", "k{} = [1,\n2]", "[t{}]", 'k{} = """\n[x]\n"""']


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.sampled_from(["k{} = 1", "k{} = '[' # ]", "k{} = [1,\n2]", "[t{}]", 'k{} = """\n[x]\n"""']), max_size=9)
)
def test_every_line_is_found_among_strings_arrays_and_tables(pieces):
    named = [piece.format(index) for index, piece in enumerate(pieces)]
    lines = TomlLines("\n".join(named))
    table: tuple = ()
    number = 1
    for index, piece in enumerate(named):
        path = (f"t{index}",) if piece.startswith("[") else (*table, f"k{index}")
        table = path if piece.startswith("[") else table
        assert lines.line(*path) == number
        number += piece.count("\n") + 1


def test_a_configuration_that_is_nowhere():
    with pytest.raises(ConfigError, match="default.*'nowhere' is neither"):
        find("nowhere")


@pytest.mark.parametrize("name", ["default", "quick", "matrix"])
def test_what_ships_can_be_run_by_what_is_installed(name):
    atlas = load(find(name))
    assert len(atlas.cells) >= 15
    assert {"double_well"} <= {cell.system for cell in atlas.cells}


def test_the_discrete_atlas_has_every_estimator_of_draws_on_every_chain():
    cells = load(find("discrete")).cells
    assert {cell.system for cell in cells} == {
        "fading_walk",
        "layered_detector",
        "queue",
        "population",
        "metropolis_chain",
    }
    for system in {cell.system for cell in cells}:
        named = [cell.estimator for cell in cells if cell.system == system]
        assert {"StochasticTriple", "MeasureValued", "ScoreFunction", "Girsanov", "BPTT"} <= set(named)
        assert named.count("FiniteDifference") == 2


def test_the_default_atlas_has_five_estimators_on_three_dynamics_of_three_systems():
    cells = load(find("default")).cells
    combinations = {(cell.system, cell.dynamics, cell.estimator) for cell in cells}
    assert len(combinations) == 3 * 3 * 5
    swept = {cell.horizon for cell in cells if (cell.system, cell.dynamics) == ("double_well", "BAOAB")}
    assert len(swept) >= 4
