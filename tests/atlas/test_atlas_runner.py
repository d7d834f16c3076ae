"""Cells run once each, whatever dies, hangs or is interrupted."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import atlas_fakes
import pytest

from pliant.atlas import lanes, runner
from pliant.atlas.config import Atlas
from pliant.atlas.errors import RunError, StoreError
from pliant.atlas.store import Store, driver_lock

HERE = Path(__file__).parent


def atlas_of(estimators: str, more: str = "", horizons: str = "500", dynamics: str = '["Brownian"]') -> Atlas:
    text = (
        f'[atlas]\ntitle = "fake"\n[[block]]\nsystems = ["well"]\ndynamics = {dynamics}\n'
        f"estimators = {estimators}\nhorizon = [{horizons}]\n{more}"
    )
    return atlas_fakes.atlas_of(text)


def run(atlas: Atlas, folder: Path, **options) -> list[dict]:
    return table(atlas_fakes.run(atlas, folder, **options))


def table(folder: Path) -> list[dict]:
    store = Store.open(folder)
    records = [{"id": cell.id, **result} for cell, result in store.records()]
    store.close()
    return records


@pytest.fixture
def log(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "executions"
    monkeypatch.setenv(atlas_fakes.LOG, str(path))
    return path


def test_local_processes_measure_every_cell_once_in_the_order_of_the_configuration(tmp_path, log):
    atlas = atlas_of('["Pathwise", "Score"]', horizons="200, 300, 400", dynamics='["Brownian", "Verlet"]')
    rows = run(atlas, tmp_path / "out", workers=2)
    assert [row["id"] for row in rows] == [cell.id for cell in atlas.cells]
    assert Counter(row["state"] for row in rows) == {"done": 9, "not_applicable": 3}
    assert Counter(log.read_text().split()) == Counter(cell.id for cell in atlas.cells)


def test_the_table_does_not_depend_on_workers_or_executor(tmp_path):
    atlas = atlas_of('["Pathwise", "Score"]', horizons="200, 300, 400")
    one = run(atlas, tmp_path / "one", workers=1)
    with ThreadPoolExecutor(3) as pool:
        assert run(atlas, tmp_path / "threads", executor=pool, workers=3) == one


def test_accidents_are_recorded_and_the_others_go_on(tmp_path):
    atlas = atlas_of(
        '["Fatal", "Broken", "Slow", "Pathwise", "Score"]', "timeout = 15", "200, 300"
    )  # a worker on a busy machine takes seconds to start
    start = time.monotonic()
    rows = run(atlas, tmp_path / "out", workers=2)
    assert time.monotonic() - start < 120
    states = {row["id"].split("/")[2]: row["state"] for row in rows}
    assert states == {"Fatal": "failed", "Broken": "failed", "Slow": "timeout", "Pathwise": "done", "Score": "done"}
    errors = {row["id"].split("/")[2]: row for row in rows}
    assert "worker process died" in errors["Fatal"]["error"]
    assert errors["Broken"]["error"] == "FloatingPointError: the fake cell met a <NaN> & stopped"
    assert "in execute" in errors["Broken"]["traceback"]
    assert "limit of 15 s" in errors["Slow"]["error"]


def test_a_hung_worker_is_killed(tmp_path):
    lane = lanes.ProcessLane()
    cell = atlas_of('["Slow"]').cells[0]
    future = lane.submit(runner.guarded, atlas_fakes.execute, cell)
    assert lane._pid is not None
    pid = lane._pid.result()
    assert lane.recover()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert future.done()
    quick = atlas_of('["Pathwise"]').cells[0]
    assert lane.submit(runner.guarded, atlas_fakes.execute, quick).result(timeout=30)["state"] == "done"
    lane.close()


def test_workers_use_one_thread_each():
    lane = lanes.ProcessLane()
    assert lane.submit(os.getenv, "NPROC").result(timeout=30) == os.environ.get("NPROC", "1")
    lane.close()


def test_a_lane_of_an_executor_that_hangs_is_not_used_again(tmp_path):
    with ThreadPoolExecutor(2) as pool:
        places = lanes.over(pool, 2)
        atlas = atlas_of('["Slow", "Pathwise"]', "timeout = 1", "200, 300")
        store = Store.create(tmp_path / "out", atlas, {})
        with pytest.raises(RunError, match="no worker is left"):
            runner.run(store, places, nap, watch=lambda cell, result: None)
        assert [result["state"] for _, result in store.records()].count("timeout") == 2
        store.close()


def nap(cell):
    time.sleep(3 if cell.estimator == "Slow" else 0)
    return {"state": "done"}


def test_a_broken_executor_of_somebody_else_ends_the_run_and_loses_nothing(tmp_path):
    atlas = atlas_of('["Pathwise", "Fatal"]')
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(RunError, match="Fatal"),
    ):
        run(atlas, tmp_path / "out", executor=pool, workers=1)
    assert [row["state"] for row in table(tmp_path / "out")] == ["done", "pending"]


def test_cells_of_one_group_go_to_one_worker_where_others_have_work():
    atlas = atlas_of('["Pathwise", "Score"]', "dt = [0.01, 0.02, 0.03]")
    queue = runner._Queue(atlas.cells)
    first = queue.take(after=None)
    second = queue.take(after=None)
    assert first.group != second.group
    assert queue.take(after=first).group == first.group
    assert queue.take(after=second).group == second.group
    assert queue.take(after=first).group == first.group
    assert queue.take(after=first).group == second.group
    assert not queue


def test_a_finished_atlas_is_not_measured_again(tmp_path, log):
    atlas = atlas_of('["Pathwise", "Broken"]')
    first = run(atlas, tmp_path / "out", workers=1)
    assert run(atlas, tmp_path / "out", workers=1) == first
    assert len(log.read_text().split()) == 2


def test_another_configuration_is_refused(tmp_path):
    run(atlas_of('["Pathwise"]'), tmp_path / "out", workers=1)
    with pytest.raises(StoreError, match="another configuration.*--out"):
        run(atlas_of('["Pathwise"]', horizons="501"), tmp_path / "out", workers=1)
    assert len(table(tmp_path / "out")) == 1


def test_two_drivers_do_not_share_a_folder(tmp_path):
    with driver_lock(tmp_path), pytest.raises(StoreError, match="another `pliant atlas run`"):
        run(atlas_of('["Pathwise"]'), tmp_path, workers=1)
    assert run(atlas_of('["Pathwise"]'), tmp_path, workers=1)[0]["state"] == "done"


def test_a_folder_without_an_atlas(tmp_path):
    with pytest.raises(StoreError, match="no atlas.sqlite"):
        Store.open(tmp_path)


def test_a_result_stays_as_it_was_first_written(tmp_path):
    atlas = atlas_of('["Pathwise"]')
    store = Store.create(tmp_path, atlas, {})
    store.finish(atlas.cells[0], {"state": "done", "value": float("nan")})
    store.finish(atlas.cells[0], {"state": "failed", "error": "late"})
    assert [result["state"] for _, result in store.records()] == ["done"]
    store.close()


@pytest.mark.parametrize("begun", [0, 1, 9, 25])
def test_killed_at_any_moment_and_started_again_it_ends_with_the_same_table(tmp_path, log, begun):
    text = (
        '[[block]]\nsystems = ["well"]\ndynamics = ["Brownian", "Verlet"]\n'
        'estimators = ["Pathwise", "Score", "Broken"]\nhorizon = [200, 300, 400, 500, 600, 700, 800]\n'
    )
    config, out = tmp_path / "config.toml", tmp_path / "killed"
    config.write_text(text)
    undisturbed = run(atlas_fakes.atlas_of(text), tmp_path / "calm", workers=2)
    log.write_text("")
    kill_once(begun, config, out, log)
    kept = {row["id"] for row in table(out) if row["state"] not in ("pending", "running")}
    assert len(kept) < len(undisturbed)
    log.write_text("")
    subprocess.run([sys.executable, HERE / "atlas_driver.py", config, out], check=True, env=environment())
    assert comparable(table(out)) == comparable(undisturbed)
    assert Counter(log.read_text().split()) == Counter({row["id"] for row in undisturbed} - kept)


def kill_once(begun: int, config: Path, out: Path, log: Path) -> None:
    """Start a driver and kill it as soon as so many cells have begun, or its store exists."""
    process = subprocess.Popen([sys.executable, HERE / "atlas_driver.py", config, out], env=environment())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (len(log.read_text().split()) < begun or not has_cells(out)):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the driver was done before it could be killed"
    # Its workers end by themselves; until they have, they may still write to the log.
    before = None
    while before != (before := log.read_text()):
        time.sleep(0.5)


def has_cells(folder: Path) -> bool:
    try:
        return len(table(folder)) > 0
    except (StoreError, sqlite3.OperationalError):
        return False


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}


def comparable(rows: list[dict]) -> list[str]:
    timings = ("seconds", "compile_seconds", "bytes", "traceback")
    return [json.dumps({key: value for key, value in row.items() if key not in timings}) for row in rows]


@pytest.mark.parametrize("accident", ["Pathwise", "Broken"])
def test_a_real_cluster_of_two_workers(tmp_path, accident):
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    from pliant.atlas.scheduler import connected

    atlas = atlas_of(f'["Score", "{accident}"]', horizons="200, 300, 400")
    local = run(atlas, tmp_path / "local", workers=2)
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with connected(cluster.scheduler_address) as (executor, width):
            assert width == 2
            remote = run(atlas, tmp_path / "cluster", executor=executor, workers=width)
    assert comparable(remote) == comparable(local)
