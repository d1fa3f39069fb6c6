"""A real Dask cluster on loopback whose two workers are two vantages."""

from __future__ import annotations

from pathlib import Path

import pytest
import zoo
from test_survey import cells, run_fleet_notebook
from zoo import EC

from irkit.chain import Chain
from irkit.fleet import capture_many, vantages_of


def test_the_workers_of_a_cluster_are_vantages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    monkeypatch.setenv("DASK_TEMPORARY_DIRECTORY", str(tmp_path))
    options = {"host": "127.0.0.1", "nthreads": 1, "local_directory": str(tmp_path), "dashboard": False}
    workers = {
        place: {"cls": distributed.Nanny, "options": {**options, "env": {"IRKIT_VANTAGE": place}}}
        for place in ("eu-west", "ap-south")
    }
    scheduler = {"cls": distributed.Scheduler, "options": {"host": "127.0.0.1", "dashboard": False}}
    with (
        zoo.python_tls(EC.server_context()) as port,
        distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs=50) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        seen = {}
        for place in workers:
            executor = client.get_executor(workers=[place])
            found = list(capture_many([f"127.0.0.1:{port}"] * 3, executor=executor, sweep=True))
            assert all(isinstance(result, Chain) and zoo.ders(result) == zoo.ders(EC.chain) for _, result in found)
            seen[place] = {result.obtained.vantage for _, result in found if isinstance(result, Chain)}
        assert seen == {place: {place} for place in workers}
        spread = capture_many([f"127.0.0.1:{port}"] * 256, executor=client.get_executor(), sweep=True)
        places = {result.obtained.vantage for _, result in spread if isinstance(result, Chain)}
        assert places <= set(workers)
        assert places
        assert list(vantages_of(client)) == sorted(workers)
        shown = run_fleet_notebook(tmp_path, scheduler=client.scheduler.address, sweep=True)
    assert ["vantages", "an office, ap-south, eu-west"] in cells(shown[0])
    assert [line[1] for line in cells(shown[1])[2:]] == sorted([*workers, "an office"])
