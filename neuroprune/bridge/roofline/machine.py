"""A machine: its ceilings, and what calls of each kind cost on it; measured once and kept."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from neuroprune.bridge.roofline.calibration import MODULE, Cost, find_kind, fit_costs, fit_in_network
from neuroprune.bridge.roofline.cases import Case, layer_cases, network_cases
from neuroprune.bridge.roofline.ceilings import SIDES, WORKING_SETS, Ceilings, measure_ceilings
from neuroprune.bridge.roofline.work import PARAMETRIZATION, Call, LayerWork, intensity
from neuroprune.bridge.timing import Stopwatch, Timing, stopwatch
from neuroprune.core.errors import SpecificationError

SEED = 0
"""Of the shapes that are calibrated with. Others are for tests."""
_FORMAT = 1
_CHAIN = 64
"""Modules that do nothing, called one after the other to see what that costs."""
_DRIFT, _BUSY, _SPREAD, _LOAD = 0.1, 0.9, 0.1, 0.6
"""Beyond these a machine counts as disturbed."""


@dataclass(frozen=True)
class Quality:
    """How far measurements can be trusted.

    Parameters
    ----------
    spread : float
        How far the median sample is above the lowest tenth, relative to it; the median over all timings.
    busy : float
        Share of the time for which the thread had a core, the median; 1 where it cannot be known.
    drift : float
        Relative change of one product's time from the beginning of the measurements to their end.
    load : float
        Load average for each core before, where the share of a core cannot be known; otherwise 0.
    """

    spread: float
    busy: float
    drift: float
    load: float = 0.0

    @property
    def disturbances(self) -> tuple[str, ...]:
        """What disturbed the measurements, in words."""
        found = []
        if self.busy < _BUSY:
            found.append(f"other work took {1 - self.busy:.0%} of the core")
        if self.load > _LOAD:
            found.append(f"there was a load of {self.load:.1f} for each core")
        if self.spread > _SPREAD:
            found.append(f"samples of one call spread by {self.spread:.0%}")
        if abs(self.drift) > _DRIFT:
            change = "more" if self.drift > 0 else "less"
            found.append(f"the same product took {abs(self.drift):.0%} {change} at the end")
        return tuple(found)


@dataclass(frozen=True)
class Machine:
    """A device with a number of threads, and how fast it is.

    Parameters
    ----------
    name : str
        Of the processor.
    device : str
        ``cpu`` or ``cuda``.
    threads : int
    torch_version : str
    ceilings : mapping of str to Ceilings
        By the type of numbers, such as ``float32``.
    costs : mapping of str to mapping of str to Cost
        By the type of numbers, and by kind of call.
    quality : Quality
    """

    name: str
    device: str
    threads: int
    torch_version: str
    ceilings: Mapping[str, Ceilings]
    costs: Mapping[str, Mapping[str, Cost]] = field(repr=False)
    quality: Quality

    @classmethod
    def measure(
        cls,
        threads: int = 1,
        dtypes: Sequence[torch.dtype] = (torch.float32,),
        device: str | torch.device = "cpu",
        *,
        each: int = 24,
        networks: int = 12,
        working_sets: Sequence[int] = WORKING_SETS,
        sides: Sequence[int] = SIDES,
        time_call: Stopwatch | None = None,
        say: Callable[[str], object] = lambda _: None,
    ) -> "Machine":
        """Measure a machine; a type of numbers takes about a minute.

        Parameters
        ----------
        threads : int
            Of torch.
        dtypes : sequence of torch.dtype
            Types of numbers.
        device : str or torch.device
            ``cpu`` or ``cuda``.
        each, networks : int
            Layers of each sort, and networks of each sort, to calibrate with.
        working_sets, sides : sequence of int
            Bytes, and sides of square matrices, to measure the ceilings with.
        time_call : Stopwatch, optional
            What times a call.
        say : function, optional
            Told what is measured.

        Raises
        ------
        SpecificationError
            If there is no such device, or it cannot compute with such numbers.
        """
        place = torch.device(device)
        load = os.getloadavg()[0] / (os.cpu_count() or 1) if place.type == "cpu" and threads > 1 else 0.0
        time_call = time_call or stopwatch(place, threads=threads, seconds=0.03)
        timings: list[Timing] = []

        def timed(call: Callable[[], object]) -> Timing:
            timings.append(time_call(call))
            return timings[-1]

        reference = partial(torch.mm, *(torch.ones(256, 256, device=place) for _ in range(2)))
        first = timed(reference).seconds
        ceilings, costs = {}, {}
        for dtype in dtypes:
            name = name_of(dtype)
            say(f"ceilings in {name}")
            try:
                ceilings[name] = measure_ceilings(dtype, place, timed, working_sets=working_sets, sides=sides)
            except RuntimeError as error:
                raise SpecificationError(f"{place} cannot compute in {name}: {str(error).splitlines()[0]}") from error
            say(f"layers and networks in {name}")
            costs[name] = _calibrate(dtype, place, timed, ceilings[name], each, networks)
        quality = Quality(
            statistics.median(t.spread for t in timings),
            statistics.median(t.busy for t in timings),
            timed(reference).seconds / first - 1,
            load,
        )
        return cls(processor_of(place), place.type, threads, torch.__version__, ceilings, costs, quality)

    def cost(self, kind: str, dtype: str) -> tuple[Cost, bool]:
        """Return what calls of a kind cost, and whether that was calibrated; if not, it is what the ceilings allow."""
        costs = self.costs[dtype]
        known = find_kind(kind, costs)
        return (costs[known], known == kind) if known else (Cost(self.ceilings[dtype].call), False)

    def save(self, path: Path | None = None) -> Path:
        """Write the machine to a file, :func:`default_path` if none is named, and return its path."""
        path = default_path(self.device, self.threads) if path is None else path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        return path

    @classmethod
    def load(cls, path: Path) -> "Machine":
        """Read a machine from a file.

        Raises
        ------
        SpecificationError
            If there is no such file, or it cannot be read.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content.pop("format") != _FORMAT:
                raise SpecificationError(f"machine {str(path)!r} was written by another version")
            ceilings = {dtype: Ceilings.from_dict(c) for dtype, c in content.pop("ceilings").items()}
            costs = {
                dtype: {kind: Cost(**cost) for kind, cost in kinds.items()}
                for dtype, kinds in content.pop("costs").items()
            }
            return cls(ceilings=ceilings, costs=costs, quality=Quality(**content.pop("quality")), **content)
        except FileNotFoundError:
            raise SpecificationError(f"no machine {str(path)!r}: measure it first") from None
        except OSError as error:
            raise SpecificationError(f"machine {str(path)!r} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, SpecificationError):
                raise
            raise SpecificationError(f"{str(path)!r} is no machine: {error}") from None

    def is_here(self) -> bool:
        """Return whether this is the machine, and the torch, that it was measured with."""
        try:
            return (self.name, self.torch_version) == (processor_of(torch.device(self.device)), torch.__version__)
        except (RuntimeError, AssertionError):  # no such device here
            return False

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return {
            "format": _FORMAT,
            "name": self.name,
            "device": self.device,
            "threads": self.threads,
            "torch_version": self.torch_version,
            "quality": vars(self.quality),
            "ceilings": {dtype: c.as_dict() for dtype, c in self.ceilings.items()},
            "costs": {d: {kind: c.as_dict() for kind, c in kinds.items()} for d, kinds in self.costs.items()},
        }


def default_path(device: str = "cpu", threads: int = 1) -> Path:
    """Return where a machine is kept: in the folder that NEUROPRUNE_CACHE_DIR names, or else in the user's cache."""
    from platformdirs import user_cache_dir

    folder = Path(os.environ.get("NEUROPRUNE_CACHE_DIR") or user_cache_dir("neuroprune")) / "machines"
    return folder / f"{device}-{threads}-thread{'s' * (threads != 1)}.json"


def name_of(dtype: torch.dtype) -> str:
    """Return the name of a type of numbers, such as ``float32``."""
    return str(dtype).removeprefix("torch.")


def processor_of(device: torch.device) -> str:
    """Return the name of a processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _calibrate(
    dtype: torch.dtype,
    device: torch.device,
    timed: Callable[[Callable[[], object]], Timing],
    ceilings: Ceilings,
    each: int,
    networks: int,
) -> dict[str, Cost]:
    chain = nn.Sequential(*(nn.Identity() for _ in range(_CHAIN)))
    module = timed(partial(chain, torch.zeros(1, dtype=dtype, device=device))).seconds / (_CHAIN + 1)
    masked = nn.Linear(1, 1, dtype=dtype, device=device)
    parametrize.register_parametrization(masked, "weight", nn.Identity())
    access = timed(partial(getattr, masked, "weight")).seconds - 2 * module
    calls: list[tuple[Call, float]] = []
    for layers, seconds in _run(layer_cases(SEED, each), dtype, device, timed):
        found = [call for layer in layers for call in layer.calls]
        main = max(found, key=lambda call: (call.kind != "view", call.bytes))
        alone = seconds - module * sum(layer.modules for layer in layers)
        calls.append((main, max(alone, 0.1 * seconds)))
    costs = fit_costs(calls, ceilings)
    costs[MODULE] = Cost(module, 0.0, 0.0, 0.0)
    costs[PARAMETRIZATION] = Cost(max(access, 0.0), 0.0, 0.0, 0.0)
    whole = list(_run(network_cases(SEED, networks), dtype, device, timed))
    return fit_in_network([layers for layers, _ in whole], [seconds for _, seconds in whole], costs, ceilings)


def _run(
    cases: Iterator[Case], dtype: torch.dtype, device: torch.device, timed: Callable[[Callable[[], object]], Timing]
) -> Iterator[tuple[tuple[LayerWork, ...], float]]:
    """Yield what cases do and how long they take; those are left out that do not run with such numbers or there."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        for drawn in cases:
            case = drawn.to(dtype, device)
            try:
                layers = tuple(intensity(case.module, case.inputs).values())
            except SpecificationError:
                continue
            yield layers, timed(partial(case.module, *case.inputs)).seconds
