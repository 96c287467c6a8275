"""Many runs: in order, each named, and the same in one process and in several."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import toy_system

from neuroprune.core.errors import EngineError, RecordError, SpecificationError
from neuroprune.core.workers import Tell, work_in_processes
from neuroprune.development import Progress
from neuroprune.experiments import Job, Run, load_experiment, parallel, record_path, run, run_jobs, run_seeds


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return toy_system.install(tmp_path, monkeypatch)


def drive(finished: Run) -> float:
    return float(finished.record.measures()["drive"][0])


def mixed_jobs(toy: Path, out: Path) -> list[Job]:
    return [
        Job(toy, 4, out),
        Job(toy, 2, out, conditions=("half_drive",)),
        Job(toy, 4, out / "strong", overrides={"system.drive": "8 nS"}),
        Job(toy, 2, out, stop="P4"),
    ]


# --- in this process ---


def test_results_come_in_the_order_of_the_jobs(toy: Path, tmp_path: Path) -> None:
    jobs, seen = mixed_jobs(toy, tmp_path), list[tuple[Job, int]]()
    assert run_jobs(jobs, then=drive, progress=lambda job, p: seen.append((job, p.n_steps))) == [2e-9, 1e-9, 8e-9, 2e-9]
    assert seen == [(job, n) for job, n in zip(jobs, (8, 8, 8, 4), strict=True) for _ in range(n)]
    runs = run_jobs(jobs, resume=True)
    assert [r.seed for r in runs] == [4, 2, 4, 2] and [drive(r) for r in runs] == [2e-9, 1e-9, 8e-9, 2e-9]
    assert runs[1].path == tmp_path / "toy-half_drive-seed2.nc"
    assert run_jobs([]) == []


def test_what_is_said_names_the_job(toy: Path, tmp_path: Path) -> None:
    said: list[str] = []
    jobs = [Job(toy, 1, tmp_path, conditions=("half_drive",)), Job(toy, 2, tmp_path, name="the second")]
    run_jobs([*jobs, Job(toy, 3, tmp_path, name="")], say=said.append)
    assert said == ["toy, half_drive, seed 1: building the toy", "the second: building the toy", "building the toy"]


def test_an_error_names_the_job(toy: Path, tmp_path: Path) -> None:
    (tmp_path / "toy-half_drive-seed2.nc").mkdir()
    with pytest.raises(RecordError, match=r"^toy, half_drive, seed 2: cannot write the record .*toy-half_drive-seed2"):
        run_jobs(mixed_jobs(toy, tmp_path))


def test_what_is_malformed_is_said_before_anything_runs(toy: Path, tmp_path: Path) -> None:
    good, out = mixed_jobs(toy, tmp_path / "runs"), tmp_path / "runs"
    twice = [*good, Job(toy, 4, out / "strong" / ".." / "strong", name="the last")]
    for jobs, message in [
        ([*good, Job(toy, 5, out, conditions=("half_driv",))], "unknown condition 'half_driv' of toy"),
        ([*good, Job(toy, 5, out, overrides={"system.cells": -1}, origin="trial 7")], "trial 7: .*system.cells"),
        (twice, r"^'toy, seed 4' and 'the last' would both write .*toy-seed4\.nc: give one"),
    ]:
        with pytest.raises(SpecificationError, match=message):
            run_jobs(jobs)
    with pytest.raises(SpecificationError, match="processes = 0: it must be at least 1"):
        run_jobs(good, processes=0)
    with pytest.raises(SpecificationError, match=r"^then = <function .*lambda.* cannot be sent to a process"):
        run_jobs(good, then=lambda finished: finished.seed, processes=2)
    assert not out.exists()


def test_an_experiment_is_loaded_once(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []

    def load(*arguments: Any, **options: Any) -> Any:
        loaded.append(options["overrides"])
        return load_experiment(*arguments, **options)

    monkeypatch.setattr(parallel, "load_experiment", load)
    trials = [{"system.cells": 3}, {"system.cells": 4}]
    run_jobs([Job(toy, seed, tmp_path / str(k), overrides=o) for seed in (1, 2) for k, o in enumerate(trials)])
    assert loaded == trials


def test_a_single_job_needs_no_process(toy: Path, tmp_path: Path) -> None:
    assert run_jobs([Job(toy, 7, tmp_path)], then=lambda finished: finished.seed, processes=2) == [7]


def test_jobs_resume_and_replace(toy: Path, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stop(job: Job, p: Progress) -> None:
        if job.seed == 2 and p.step == 6:
            raise StoppedError

    jobs = [Job(toy, seed, tmp_path) for seed in (1, 2, 3)]
    with pytest.raises(StoppedError):
        run_jobs(jobs, progress=stop)
    said: list[str] = []
    runs = run_jobs(jobs, resume=True, say=said.append)
    assert [text.split(":")[0] + text.split(".nc")[-1] for text in said if ".nc" in text] == [
        "toy, seed 1 is complete already",
        "toy, seed 2",
        "toy, seed 3 to resume: starting from the beginning",
    ]
    assert [r.record.decisions() for r in runs] == [run(toy, seed=seed).decisions() for seed in (1, 2, 3)]

    toy.write_text(toy.read_text().replace("2 nS", "3 nS"))
    with pytest.raises(RecordError, match=r'^toy, seed 1: .*the record of another run: .*drive is "2 nS".* is "3 nS"'):
        run_jobs(jobs, resume=True)
    said.clear()
    assert run_jobs(jobs, then=drive, resume=True, stale="replace", say=said.append) == pytest.approx([3e-9] * 3)
    assert sum("the record of another run" in text for text in said) == 3
    assert run_jobs(jobs, then=drive, resume=True) == pytest.approx([3e-9] * 3)


def test_seeds_one_after_the_other(toy: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    runs = run_seeds(toy, seeds=[4, 2], out=tmp_path, progress=lambda seed, _: seen.append(seed))
    assert [r.seed for r in runs] == [4, 2] and set(seen) == {4, 2}
    assert runs[1].record.decisions() == run(toy, seed=2).decisions()


@pytest.mark.parametrize("seeds", [[], [1, 1]])
def test_seeds_must_differ(toy: Path, tmp_path: Path, seeds: list[int]) -> None:
    with pytest.raises(SpecificationError, match="seeds"):
        run_seeds(toy, seeds=seeds, out=tmp_path)


def test_a_model_edited_during_the_runs_is_not_run(toy: Path, tmp_path: Path) -> None:
    make = parallel._Make(drive, {})
    task = (Job(toy, 1, tmp_path), load_experiment(toy).config)
    assert make.from_task(task, print) == 2e-9
    toy.write_text(toy.read_text().replace("2 nS", "3 nS"))
    with pytest.raises(SpecificationError, match=r'model\.toml or neuroprune was edited .*drive is "3 nS", .* "2 nS"'):
        make.from_task(task, print)


# --- processes, without an experiment ---


def square(task: int, tell: Tell) -> tuple[int, int]:
    tell(f"about {task}")
    if task == 13:
        raise RecordError("thirteen")
    if task == 14:
        raise KeyError("fourteen")
    if task == 15:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2 if task == 0 else 0)
    return task**2, os.getpid()


def squares(tasks: list[int], heard: list[Any] | None = None) -> list[tuple[int, int]]:
    heard = [] if heard is None else heard
    names = [f"task {task}" for task in tasks]
    return work_in_processes(square, tasks, names=names, processes=2, hear=lambda i, told: heard.append((i, told)))


def test_few_processes_do_many_tasks() -> None:
    heard: list[Any] = []
    results = squares([0, 5, 1, 4, 2, 3], heard)
    assert [r for r, _ in results] == [0, 25, 1, 16, 4, 9]
    assert sorted(heard) == [(i, f"about {task}") for i, task in enumerate([0, 5, 1, 4, 2, 3])]
    pids = {pid for _, pid in results}
    assert len(pids) <= 2 and os.getpid() not in pids
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("task", "error", "message"),
    [
        (13, RecordError, "^task 13: thirteen$"),
        (14, RuntimeError, r"(?s)^task 14: Traceback.* in square.*KeyError: 'fourteen'"),
        (15, EngineError, r"^task 15: its process ended without a result \(killed by signal 9, perhaps for memory\)$"),
    ],
)
def test_a_task_that_fails_is_named(task: int, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        squares([1, task, 2, 3])
    assert not multiprocessing.active_children()


PARENT = """
import os, time
from neuroprune.core.workers import work_in_processes

def work(task, tell):
    tell(os.getpid())
    while True:
        time.sleep(0.05)
        tell(None)

if __name__ == "__main__":
    seen = set()
    def hear(index, pid):
        seen.add(pid)
        if len(seen - {None}) == 2:
            print(*seen - {None}, flush=True)
            os._exit(0)
    work_in_processes(work, [1, 2], names=["", ""], processes=2, hear=hear)
"""


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    done = subprocess.run([sys.executable, tmp_path / "parent.py"], stdout=subprocess.PIPE, text=True, check=True)
    pids = [int(pid) for pid in done.stdout.split()]
    deadline = time.monotonic() + 10
    while any(map(lives, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(pids) == 2 and not any(map(lives, pids))


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the blocked signals of a process from /proc")
def test_no_child_hears_control_c_not_even_the_first() -> None:
    program = (
        "import multiprocessing, time, re\n"
        "from neuroprune.core.workers import _start_deaf\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    for _ in range(2):\n"
        "        child = context.Process(target=time.sleep, args=(60,), daemon=True)\n"
        "        _start_deaf(child)\n"
        "        status = open(f'/proc/{child.pid}/status').read()\n"
        "        print(int(re.search(r'SigBlk:\\s*(\\w+)', status)[1], 16) >> 1 & 1)\n"
        "        child.kill()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "1"]


# --- runs in processes: they start afresh and know only the systems of the package, so a very small cerebellum ---

SMALL = {
    "system.purkinje_cells": 4,
    "development.activity": "20 ms",
    "development.step": "1 day",
    "development.record": [],
}


def small_jobs(out: Path) -> list[Job]:
    plain = Job("cerebellum", 1, out, overrides=SMALL, stop="P5")
    more = {**SMALL, "system.purkinje_cells": 6}
    return [
        plain,
        replace(plain, seed=2, conditions=("no_microglia",)),
        replace(plain, out=out / "six", overrides=more),
    ]


def outcome(finished: Run) -> tuple[bytes, dict[str, bytes]]:
    return finished.record.decisions(), {name: v.tobytes() for name, v in finished.record.measures().items()}


def test_processes_change_no_result(tmp_path: Path) -> None:
    alone = run_jobs(small_jobs(tmp_path / "alone"), then=outcome, engine="runtime")
    assert all(alone.count(result) == 1 for result in alone)

    jobs, seen, said = small_jobs(tmp_path), list[Job](), list[str]()
    runs = run_jobs(jobs, engine="runtime", processes=2, progress=lambda job, _: seen.append(job))
    assert [outcome(finished) for finished in runs] == alone
    assert [finished.path for finished in runs] == [record_path(job.load(), job.seed, job.out) for job in jobs]
    assert all(job in seen for job in jobs)

    assert run_jobs(jobs, then=outcome, resume=True, engine="runtime", processes=2, say=said.append) == alone
    assert f"cerebellum, no_microglia, seed 2: {runs[1].path} is complete already" in said and len(said) == 3


def kill_seed_2(finished: Run) -> None:
    if finished.seed == 2:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_reported_and_the_runs_can_be_resumed(tmp_path: Path) -> None:
    jobs = small_jobs(tmp_path)[:2]
    with pytest.raises(EngineError, match=r"^cerebellum, no_microglia, seed 2: its process ended .*killed by signal 9"):
        run_jobs(jobs, then=kill_seed_2, engine="runtime", processes=2)
    assert not multiprocessing.active_children()
    said: list[str] = []
    assert all(finished.record.complete for finished in run_jobs(jobs, resume=True, engine="runtime", say=said.append))
    assert any(text.startswith("cerebellum, no_microglia, seed 2: ") and "complete already" in text for text in said)


def test_an_error_in_a_process_names_its_seed(tmp_path: Path) -> None:
    (tmp_path / "cerebellum-seed2.nc").mkdir()
    options: dict[str, Any] = {"overrides": SMALL, "stop": "P5", "engine": "runtime", "processes": 2}
    with pytest.raises(RecordError, match=r"^seed 2: .*cerebellum-seed2\.nc"):
        run_seeds("cerebellum", seeds=[1, 2], out=tmp_path, **options)
