"""The command line: what it prints, what it leaves behind, and how it refuses."""

import json
import os
import subprocess
import sys

import pytest

from pliant import cli

CONFIG = """
[[block]]
systems = ["double_well"]
dynamics = ["OverdampedLangevin", "VelocityVerlet"]
estimators = ["ForwardSensitivity", "Girsanov"]
horizon = 100
burn_in = 0
replicas = 64
"""


def test_run_status_and_report_of_real_cells(tmp_path, capsys):
    config, out = tmp_path / "mine.toml", tmp_path / "out"
    config.write_text(CONFIG)
    assert cli.main(["atlas", "run", str(config), "--out", str(out), "--workers", "1"]) == 0
    capsys.readouterr()
    assert cli.main(["atlas", "status", str(out), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    states = {(row["dynamics"], row["estimator"]): row["state"] for row in rows}
    assert states == {
        ("OverdampedLangevin", "ForwardSensitivity"): "done",
        ("OverdampedLangevin", "Girsanov"): "done",
        ("VelocityVerlet", "ForwardSensitivity"): "done",
        ("VelocityVerlet", "Girsanov"): "not_applicable",
    }
    assert "Dirac delta" in next(row["reason"] for row in rows if row["state"] == "not_applicable")
    done = rows[0]
    assert {"id", "value", "standard_error", "z_score", "snr", "verdict", "components", "bytes"} <= set(done)
    assert done["seconds"] > 0 and done["compile_seconds"] > 0 and done["bytes"] > 0 and done["bytes_source"] == "xla"
    assert [component["parameter"] for component in done["components"]]
    assert cli.main(["atlas", "status", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "VelocityVerlet" in printed and "not applicable" in printed and "4 cells" in printed
    assert cli.main(["atlas", "report", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out / "report.html")
    assert (out / "report.html").stat().st_size > 1e6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["atlas", "run", "nowhere", "--out", "x"], ["'nowhere'", "default"]),
        (["atlas", "status", "nowhere"], ["no atlas.sqlite in nowhere"]),
        (["atlas", "report", "nowhere"], ["no atlas.sqlite in nowhere"]),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_two(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(arguments) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("pliant: ") and complaint.count("\n") == 1
    assert all(word in complaint for word in words)


def test_a_mistake_in_the_configuration_names_file_line_and_key(tmp_path, capsys):
    config = tmp_path / "mine.toml"
    config.write_text(CONFIG.replace("horizon", "horizn"))
    assert cli.main(["atlas", "run", str(config), "--out", str(tmp_path / "out")]) == 2
    assert "mine.toml, line 6: `horizn`" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [["atlas", "run"], ["atlas"], [], ["atlas", "run", "--out", "x", "--workers", "0"]]
)
def test_arguments_that_are_missing_or_wrong(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage: pliant" in capsys.readouterr().err


def test_a_scheduler_that_does_not_answer(tmp_path, capsys, monkeypatch):
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    from pliant.atlas import scheduler

    monkeypatch.setattr(scheduler, "_CONNECT_SECONDS", 1)
    config = tmp_path / "mine.toml"
    config.write_text(CONFIG)
    arguments = ["atlas", "run", str(config), "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:9"]
    assert cli.main(arguments) == 2
    assert "no dask scheduler answers at tcp://127.0.0.1:9" in capsys.readouterr().err


def test_help_waits_for_no_library():
    code = (
        "import sys; from pliant import cli\n"
        "try: cli.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'jax', 'numpy', 'rich', 'sqlite3', 'plotly', 'distributed', 'openmm'}\n"
        "assert not heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_the_doctor_checks_a_gradient_against_its_exact_value():
    command = [sys.executable, "-m", "pliant", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(word in done.stdout for word in ("jax", "openmm", "devices", "precision", "passed"))


def test_the_exact_value_of_the_doctor_is_the_slope_of_the_variance(monkeypatch):
    from pliant.atlas import doctor

    def variance(stiffness: float) -> float:
        total = 0.0
        for _ in range(doctor._STEPS):
            total = (1 - stiffness * doctor._STEP) ** 2 * total + 2 * doctor._TEMPERATURE * doctor._STEP
        return total

    slope = (variance(doctor._STIFFNESS + 1e-5) - variance(doctor._STIFFNESS - 1e-5)) / 2e-5
    assert abs(slope / doctor.exact_derivative() - 1) < 1e-8
