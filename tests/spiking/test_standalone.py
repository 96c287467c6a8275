"""The standalone launcher: results repeat, and no failure of the binary passes for a result."""

import dataclasses
import functools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from neuroprune.core.errors import EngineError, SpecificationError
from neuroprune.spiking.standalone import Binary, Model, Outputs, build, compiler_available, spike_input
from neuroprune.spiking.standalone import binary as launcher

SOURCES, CELLS, CAPACITY = 6, 4, 60
DURATION, DT = 0.1, 1e-4
# Brian2 2.9 still uses the old names of its parser's arguments.
pytestmark = pytest.mark.filterwarnings("ignore:.parseAll. argument is deprecated:DeprecationWarning")
PRE, POST = np.repeat(np.arange(SOURCES), CELLS), np.tile(np.arange(CELLS), SOURCES)


def network() -> Model:
    """LIF cells under replayed spikes and noise; `pause` is waited for ten times in a run (s)."""
    from brian2 import Network, NeuronGroup, SpikeMonitor, Synapses, check_units, implementation, ms, second

    code = "static double idle(double seconds) { usleep((useconds_t) (seconds * 1e6)); return 0; }"

    @implementation("cpp", code, headers=["<unistd.h>"])
    @check_units(seconds=1, result=1)
    def idle(seconds: float) -> float:
        return 0 * seconds

    sources = spike_input(SOURCES, CAPACITY, duration=DURATION, dt=DT, name="sources")
    cells = NeuronGroup(
        CELLS,
        """dv/dt = -v / (10*ms) + sigma * sqrt(2 / (10*ms)) * xi : 1 (unless refractory)
        sigma : 1 (constant)
        pause : 1 (shared)
        idled : 1 (shared)""",
        threshold="v > 1",
        reset="v = 0",
        refractory=2 * ms,  # pyright: ignore[reportArgumentType]
        method="euler",
        name="cells",
        namespace={"idle": idle, "ms": ms},
    )
    cells.run_regularly("idled = idle(pause)", dt=10 * ms, name="pauses")
    synapses = Synapses(
        sources,
        cells,
        "w : 1\nusage : integer\nalive : boolean",
        on_pre="v_post += w * int(alive)\nusage += int(alive)",
        name="synapses",
    )
    synapses.connect(i=PRE, j=POST)
    synapses.delay = np.zeros(PRE.size) * second
    monitor = SpikeMonitor(cells, name="monitor")
    return Model(
        Network(sources, cells, synapses, monitor),
        DURATION,
        inputs={
            "weight": (synapses, "w"),
            "alive": (synapses, "alive"),
            "delay": (synapses.pre, "delay"),
            "sigma": (cells, "sigma"),
            "pause": (cells, "pause"),
        },
        outputs={"v": (cells, "v"), "usage": (synapses, "usage")},
        spikes={"cells": monitor},
        generator=sources,
    )


def inputs(**changes: object) -> dict[str, np.ndarray]:
    given: dict[str, object] = {
        "weight": np.linspace(0.1, 0.9, PRE.size),
        "alive": np.ones(PRE.size, dtype=bool),
        "delay": np.linspace(0, 5e-3, PRE.size),
        "sigma": np.full(CELLS, 0.3),
        "pause": np.zeros(1),
    }
    return {name: np.asarray(value) for name, value in (given | changes).items()}


def spikes(n: int = CAPACITY) -> tuple[np.ndarray, np.ndarray]:
    """Random spikes on the time grid, several of them in one step, never two of one source."""
    slots = np.random.default_rng(5).choice(SOURCES * 300, n, replace=False)
    slots.sort()
    return slots % SOURCES, slots // SOURCES * 3 * DT


def run(binary: Binary, seed: int = 1, train: tuple | None = None, **changes: object) -> Outputs:
    return binary.run(inputs(**changes), seed=seed, spikes=spikes() if train is None else train)


def as_bytes(outputs: Outputs) -> bytes:
    trains = [array for train in outputs.spikes.values() for array in train]
    return b"".join(array.tobytes() for array in [*outputs.arrays.values(), *trains])


@pytest.fixture(scope="session")
def built() -> Binary:
    if compiler_available() is None:
        pytest.skip("no C++ compiler")
    return build(network, key={"model": "test"})


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put the private folders of all runs where it shows that none is left behind."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = psutil.Process().children()  # other tests of this process may have left a helper of a process pool
    yield folder
    assert list(folder.glob("neuroprune-*")) == []
    assert psutil.Process().children() == before


@pytest.fixture
def wrapped(built: Binary, tmp_path: Path) -> Callable[[str], Binary]:
    """Make a binary whose main is a shell script; ``$REAL`` in it is the compiled program."""

    def wrap(script: str) -> Binary:
        entry = tmp_path / "entry"
        shutil.copytree(built.directory, entry)
        (entry / "main").write_text(f"#!/bin/sh\nREAL='{built.directory}/main'\n{script}\n")
        files = built.manifest.files | {"main": (entry / "main").stat().st_size}
        return Binary(entry, dataclasses.replace(built.manifest, files=files))

    return wrap


def when_running(binary: Binary, action: Callable[[psutil.Process], None]) -> threading.Thread:
    """Do something to the child as soon as it sleeps in its first pause, inside the time loop."""

    def watch() -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for child in psutil.Process().children():
                with_program = child.cmdline()[:1] == [str(binary.directory / "main")]
                if with_program and child.status() == psutil.STATUS_SLEEPING:
                    action(child)
                    return
            time.sleep(0.005)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


# Results


def test_equal_seeds_give_equal_bytes_and_others_do_not(built: Binary) -> None:
    first = run(built, seed=7)
    assert first.spikes["cells"].index.size > 20
    assert as_bytes(run(built, seed=7)) == as_bytes(first)
    assert as_bytes(run(built, seed=8)) != as_bytes(first)
    assert as_bytes(run(built, seed=2**32 - 1)) != as_bytes(run(built, seed=2**31 - 1))
    with ThreadPoolExecutor(2) as pool:
        assert [as_bytes(o) for o in pool.map(lambda s: run(built, seed=s), [7, 7])] == [as_bytes(first)] * 2


def test_every_input_has_an_effect(built: Binary) -> None:
    base = run(built)
    changes = {
        "weight": np.zeros(PRE.size),
        "alive": np.arange(PRE.size) % 2 == 0,
        "delay": np.zeros(PRE.size),
        "sigma": np.zeros(CELLS),
    }
    for name, value in changes.items():
        assert as_bytes(run(built, **{name: value})) != as_bytes(base), name
    usage = run(built, alive=changes["alive"], delay=changes["delay"]).arrays["usage"]
    assert usage.dtype == np.int32
    np.testing.assert_array_equal(usage, np.bincount(spikes()[0], minlength=SOURCES)[PRE] * changes["alive"])


def test_spikes_are_those_of_a_runtime_simulation(built: Binary) -> None:
    from brian2 import prefs, second

    target = prefs.codegen.target
    prefs.codegen.target = "numpy"
    try:
        for n in (CAPACITY, 7, 0):
            model = network()
            assert model.generator is not None
            model.generator.set_spikes(spikes(n)[0], spikes(n)[1] * second)
            for name, (group, variable) in model.inputs.items():
                group.variables[variable].set_value(inputs(sigma=np.zeros(CELLS))[name])
            model.network.run(DURATION * second, namespace={})
            train = run(built, train=spikes(n), sigma=np.zeros(CELLS)).spikes["cells"]
            np.testing.assert_array_equal(train.index, model.spikes["cells"].i[:])
            np.testing.assert_array_equal(train.time, model.spikes["cells"].t_[:])
            assert (train.index.size > 5) == (n == CAPACITY)
    finally:
        prefs.codegen.target = target


def test_spikes_fall_into_the_nearest_step_in_any_order_within_it(built: Binary) -> None:
    index, t = np.array([0, 1, 2, 3]), np.array([1, 1, 1, 2]) * 10 * DT
    expected = as_bytes(run(built, train=(index, t)))
    nearby = t + np.array([-0.4, 0, 0.1, 0.4]) * DT
    assert as_bytes(run(built, train=(index[[2, 0, 1, 3]], nearby))) == expected
    assert as_bytes(run(built, train=(index, t + DT))) != expected


def in_a_fresh_process(seed: int) -> None:
    """Run the cached binary where nothing has been imported yet, and print what came of it."""
    binary = build(network, key={"model": "test"})
    outputs = pickle.loads(pickle.dumps(binary)).run(inputs(), seed=seed, spikes=spikes())
    seen = {"brian2": "brian2" in sys.modules, "seconds": binary.compile_seconds}
    print(json.dumps(seen | {"bytes": as_bytes(outputs).hex()}))


def test_a_cached_binary_needs_no_brian2(built: Binary) -> None:
    script = (
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location({__name__!r}, {__file__!r})\n"
        "sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "module.in_a_fresh_process(7)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = {"brian2": False, "seconds": 0, "bytes": as_bytes(run(built, seed=7)).hex()}
    assert json.loads(done.stdout) == expected


# Requests that are refused


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": np.zeros(PRE.size - 1)}, r"'weight' has shape \(23,\): it must be \(24,\)"),
        ({"weight": np.zeros((1, PRE.size))}, "'weight' has shape"),
        ({"weight": np.full(PRE.size, np.nan)}, "'weight' must hold finite"),
        ({"weight": np.full(PRE.size, 1j)}, "'weight' must hold finite real numbers"),
        ({"alive": np.full(PRE.size, 2)}, "'alive' holds values that cannot be stored as bool"),
        ({"pause": 0.0}, "'pause' has shape"),
        ({"wieght": np.zeros(PRE.size)}, r"unknown: \['wieght'\]; valid: \['alive',"),
    ],
)
def test_inputs_that_do_not_fit(built: Binary, changes: dict, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        run(built, **changes)


def test_every_input_is_required(built: Binary) -> None:
    given = inputs()
    del given["sigma"]
    with pytest.raises(SpecificationError, match=r"missing inputs: \['sigma'\]"):
        built.run(given, seed=1, spikes=spikes())
    with pytest.raises(SpecificationError, match="spikes of the model's generator are missing"):
        built.run(inputs(), seed=1)
    without = Binary(built.directory, dataclasses.replace(built.manifest, generator=None))
    with pytest.raises(SpecificationError, match="no spike generator"):
        run(without)


@pytest.mark.parametrize("seed", [-1, 2**32, 0.5])
def test_seeds_that_brian2_would_alter(built: Binary, seed: int) -> None:
    with pytest.raises(SpecificationError, match="seed"):
        run(built, seed=seed)


@pytest.mark.parametrize(
    ("index", "t", "message"),
    [
        ([0, 1], [2e-3, 1e-3], "sorted"),
        ([0, 1], [1e-3, np.nan], "finite"),
        ([0, SOURCES], [1e-3, 2e-3], r"must lie in 0\.\.5"),
        ([-1], [1e-3], r"must lie in 0\.\.5"),
        ([0], [-DT], "must lie in the 1000 steps"),
        ([0], [DURATION], "must lie in the 1000 steps"),
        ([0, 1, 0], [1e-3, 1e-3, 1e-3 + DT / 4], "neuron 0 spikes twice in the step at 0.001 s"),
        ([0, 1], [1e-3], "equally long"),
        ([0.0], [1e-3], "integers"),
        (np.zeros(61, dtype=int), np.arange(61) * DT, "61 spikes exceed the capacity of 60"),
    ],
)
def test_spikes_that_do_not_fit(built: Binary, index: list, t: list, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        run(built, train=(index, t))


# Failures of a run


def test_truncated_input_file(built: Binary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "_write", lambda path, array: path.write_bytes(array.tobytes()[:-8]))
    with pytest.raises(EngineError, match="does not match expected size"):
        run(built)


def test_short_write(built: Binary, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes
    monkeypatch.setattr(Path, "write_bytes", lambda path, data: write(path, data[:-1]))
    with pytest.raises(EngineError, match=r"has \d+ bytes instead of \d+: is the disk full\?"):
        run(built)


@pytest.mark.parametrize("lost", ["info", "output", "count", "times"])
def test_full_disk_in_the_binary(wrapped: Callable[[str], Binary], built: Binary, lost: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    monitor = built.manifest.monitors["cells"]
    outputs = {"output": built.manifest.outputs["usage"].name, "count": monitor.count, "times": monitor.time}
    file = f"results/{outputs.get(lost, 'last_run_info.txt')}"
    # The link goes before it is read: a reader of /dev/full gets zeros without end.
    binary = wrapped(f'ln -s /dev/full {file}\n$REAL "$@"\nrm {file}\ntouch {file}')
    with pytest.raises(EngineError, match="stopped early" if lost == "info" else r"is the disk full\?"):
        run(binary)


@pytest.mark.parametrize("pages", [4, 24])
def test_full_disk(built: Binary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pages: int) -> None:
    """Four pages are too few for the inputs, 24 for the results."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={pages * os.sysconf('SC_PAGE_SIZE')}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("no right to mount a small disk")
    try:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        with pytest.raises(EngineError, match="No space left" if pages == 4 else r"disk full|stopped early"):
            run(built)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_folders_that_cannot_be_written(
    built: Binary, wrapped: Callable[[str], Binary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineError, match="Error writing output file"):
        run(wrapped('rm -r results\ntouch results\nexec $REAL "$@"'))
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(EngineError, match=f"the cache {file}/cache cannot be written"):
        build(network, key={}, cache_dir=file / "cache")
    monkeypatch.setattr(tempfile, "tempdir", str(file / "folder"))
    with pytest.raises(EngineError, match=r"could not be run: .*Not a directory"):
        run(built)


def test_results_that_are_not_whole(wrapped: Callable[[str], Binary], built: Binary) -> None:
    name = built.manifest.monitors["cells"].index
    with pytest.raises(EngineError, match=f"{name} has 4 bytes instead of"):
        run(wrapped(f'$REAL "$@"\nprintf 1234 > results/{name}'))


def test_missing_result(wrapped: Callable[[str], Binary], built: Binary) -> None:
    name = built.manifest.outputs["v"].name
    with pytest.raises(EngineError, match=f"{name} is missing"):
        run(wrapped(f'$REAL "$@"\nrm results/{name}'))


@pytest.mark.parametrize("where", ["cache", "run"])
def test_missing_static_array(wrapped: Callable[[str], Binary], where: str) -> None:
    folder = "." if where == "run" else "kept"
    binary = wrapped(f'rm {folder}/static_arrays/*sources*\nexec $REAL "$@"')
    if where == "cache":
        gone = next((binary.directory / "static_arrays").glob("*sources*"))
        gone.unlink()
    message = {"run": "Error opening static array", "cache": "is missing: delete"}[where]
    with pytest.raises(EngineError, match=message):
        run(binary)


def test_program_that_fails(wrapped: Callable[[str], Binary]) -> None:
    with pytest.raises(EngineError, match="failed with status 3: out of luck"):
        run(wrapped("echo out of luck; exit 3"))


def test_missing_seed(built: Binary) -> None:
    manifest = dataclasses.replace(built.manifest, seed_env="ANOTHER_SEED")
    with pytest.raises(EngineError, match=r"status 1: Error: NEUROPRUNE_SEED is not set\."):
        run(Binary(built.directory, manifest))


def test_killed_child(built: Binary) -> None:
    thread = when_running(built, psutil.Process.kill)
    with pytest.raises(EngineError, match="was killed by SIGKILL"):
        run(built, pause=[0.5])
    thread.join()


def test_interrupted_child(built: Binary) -> None:
    thread = when_running(built, lambda child: child.send_signal(signal.SIGINT))
    with pytest.raises(EngineError, match=r"stopped early, after 0\.\d+ of its time"):
        run(built, pause=[0.5])
    thread.join()


def test_keyboard_interrupt(built: Binary) -> None:
    thread = when_running(built, lambda child: os.kill(os.getpid(), signal.SIGINT))
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(built, pause=[10.0])
    assert time.monotonic() - started < 5
    thread.join()


# The cache


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing", "emptied"])
def test_unusable_manifest(built: Binary, tmp_path: Path, damage: str) -> None:
    entry = shutil.copytree(built.directory, tmp_path / built.directory.name)
    file = entry / "manifest.json"
    text = file.read_text()
    file.unlink()
    damaged = {"truncated": text[:-20], "altered": text.replace("0.0001", "0.001"), "emptied": "{}"}
    if damage in damaged:
        file.write_text(damaged[damage])
    with pytest.raises(EngineError, match=r"manifest\.json cannot be used"):
        build(network, key={"model": "test"}, cache_dir=tmp_path)


def test_key_names_the_entry(built: Binary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another constant, builder, compiler or variable for the seed is not in the cache."""
    assert build(network, key={"model": "test"}).directory == built.directory
    monkeypatch.setattr("neuroprune.spiking.standalone.cache._compile", refuse)
    for build_other in (
        lambda: build(network, key={"model": "test", "n": 2}),
        lambda: build(functools.partial(unseeded), key={"model": "test"}),
        lambda: build(network, key={"model": "test"}, seed_env="ANOTHER_SEED"),
    ):
        with pytest.raises(RuntimeError, match="not in the cache"):
            build_other()
    monkeypatch.setenv("CXX", "true")
    with pytest.raises(RuntimeError, match="not in the cache"):
        build(network, key={"model": "test"})


def refuse(*_: object) -> None:
    raise RuntimeError("not in the cache")


@pytest.mark.parametrize("key", [{"a": np.int64(1)}, {"a": float("nan")}, {"a": {1, 2}}])
def test_keys_must_be_json(key: dict) -> None:
    with pytest.raises(SpecificationError, match="must consist of JSON values"):
        build(network, key=key)


def cells_only(code: str = "v = 0", **kwargs: object) -> Model:
    """Make the smallest model, for builds that are meant to fail."""
    from brian2 import Network, NeuronGroup

    cells = NeuronGroup(2, "v : 1", name="cells")
    cells.run_regularly(code)
    return Model(Network(cells), 1e-3, outputs={"v": (cells, "v")}, **kwargs)  # pyright: ignore[reportArgumentType]


def unseeded() -> Model:
    from brian2 import seed

    seed(1)
    return cells_only()


def random_synapses() -> Model:
    from brian2 import Network, Synapses

    model = cells_only()
    cells = model.outputs["v"][0]
    synapses = Synapses(cells, cells, "w : 1", name="synapses")
    synapses.connect(p=0.5)
    return Model(Network(cells, synapses), 1e-3, outputs={"w": (synapses, "w")})


def twins() -> Model:
    cells = cells_only().outputs["v"][0]
    return cells_only(inputs={"v": (cells, "v")})


def forgotten() -> Model:
    cells_only()
    return cells_only()


def with_input(variable: str) -> Model:
    model = cells_only()
    return dataclasses.replace(model, inputs={"a": (model.outputs["v"][0], variable)})


def monitored(left_out: list[str], record: bool) -> Model:
    from brian2 import Network, NeuronGroup, SpikeMonitor

    cells = NeuronGroup(2, "v : 1", threshold="v > 1", reset="", name="cells")
    monitor = SpikeMonitor(cells, record=record, name="monitor")
    included = [thing for thing in (cells, monitor) if thing.name not in left_out]
    return Model(Network(included), 1e-3, outputs={"v": (cells, "v")}, spikes={"m": monitor})


def lone_generator() -> Model:
    return cells_only(generator=spike_input(2, 2, duration=1e-3, dt=DT))


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (unseeded, "must neither seed nor run"),
        (random_synapses, r"the length of synapses\.w must not depend on the run"),
        (forgotten, "a Brian2 object that neither it nor the model kept"),
        (twins, r"several Brian2 variables are called cells\.v"),
        (functools.partial(with_input, "i"), r"does not allow cells\.i to be set"),
        (functools.partial(with_input, "u"), "cells stores no state variable 'u'"),
        (functools.partial(monitored, ["monitor"], True), "'m': the network lacks monitor"),
        (functools.partial(monitored, [], False), "'m': monitor counts spikes without recording"),
        (functools.partial(monitored, ["monitor", "cells"], True), "'v': the network lacks cells"),
        (lone_generator, "the network lacks the spike generator spike_input"),
    ],
)
def test_models_that_cannot_be_run_safely(builder: Callable[[], Model], message: str, tmp_path: Path) -> None:
    with pytest.raises(SpecificationError, match=message):
        build(builder, key={}, cache_dir=tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def broken_code() -> Model:
    from brian2 import check_units, implementation

    @implementation("cpp", "double broken(double x) { return no_such_name; }")
    @check_units(x=1, result=1)
    def broken(x: float) -> float:
        return x

    return cells_only("v = broken(v)", namespace={"broken": broken})


def test_failed_compilation_leaves_nothing(built: Binary, tmp_path: Path) -> None:
    from brian2 import Network, NeuronGroup, defaultclock, get_device, ms, prefs, second

    before = dict(prefs.prefs)
    defaultclock.dt = 0.25 * ms
    try:
        with pytest.raises(EngineError, match=r"does not compile(.|\n)*no_such_name"):
            build(broken_code, key={}, cache_dir=tmp_path / "cache")
        assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]
        assert type(get_device()).__name__ == "RuntimeDevice"
        assert dict(prefs.prefs) == before
        assert float(defaultclock.dt) == 0.25e-3
        prefs.codegen.target = "numpy"
        cells = NeuronGroup(1, "dv/dt = 1/second : 1", method="euler", namespace={"second": second})
        Network(cells).run(1 * ms, namespace={})
        assert cells.v_[0] == pytest.approx(1e-3)
    finally:
        prefs.prefs.update(before)
        defaultclock.dt = 0.1 * ms


@pytest.fixture
def fake_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Replace the compiler by one that makes a silent program at once and logs what it linked."""
    script, log = tmp_path / "c++", tmp_path / "log"
    script.write_text(
        "#!/bin/sh\n"
        'while [ $# -gt 1 ]; do [ "$1" = -o ] && out="$2"; shift; done\n'
        f'[ -z "$out" ] || {{ printf "#!/bin/sh\\n" > "$out"; chmod +x "$out"; echo "$out" >> {log}; }}\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    compiler_available.cache_clear()
    yield log
    compiler_available.cache_clear()


def test_processes_share_one_compilation(fake_compiler: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"from pathlib import Path; from {Path(__file__).stem} import build, cells_only\n"
        f"print(build(cells_only, key={{}}, cache_dir=Path({str(cache)!r})).compile_seconds > 0)"
    )
    command = [sys.executable, "-c", script]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(process.communicate()[0].strip() for process in both) == ["False", "True"]
    assert fake_compiler.read_text().split().count("main") == 1
    (entry,) = (path for path in cache.iterdir() if path.name != ".lock")
    assert {path.name for path in entry.iterdir()} == {"main", "manifest.json", "static_arrays"}


def test_silent_program_that_does_nothing(fake_compiler: Path, tmp_path: Path) -> None:
    binary = build(cells_only, key={}, cache_dir=tmp_path / "cache")
    with pytest.raises(EngineError, match=r"could not be run: .*last_run_info\.txt"):
        binary.run({}, seed=1)


def test_compilers_that_do_not_work(fake_compiler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compiler_available() == str(fake_compiler.with_name("c++"))
    compiler_available.cache_clear()
    monkeypatch.setenv("CXX", "false")
    assert compiler_available() is None
    with pytest.raises(EngineError, match="does not work"):
        build(cells_only, key={}, cache_dir=tmp_path / "cache")
    compiler_available.cache_clear()
    monkeypatch.setenv("CXX", str(tmp_path / "nothing"))
    assert compiler_available() is None
    with pytest.raises(EngineError, match=r"no C\+\+ compiler"):
        build(cells_only, key={})
