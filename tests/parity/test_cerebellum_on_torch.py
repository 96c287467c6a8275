"""What a simulated cerebellum did, replayed on a torch layer: the same decisions from the same rules."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_one_rule_set_two_substrates import assert_same, environment, rules

from neuroprune.core.clock import Clock, Now
from neuroprune.core.tables import Tables
from neuroprune.development import Activity, develop
from neuroprune.spiking.cerebellum import Cerebellum, Parameters

pytest.importorskip("torch")
from neuroprune.bridge import TorchSubstrate

MODEL = Path(__file__).parents[2] / "models" / "cerebellum" / "model.toml"


class Listening:
    """A substrate that passes everything on and keeps the sampled traces."""

    def __init__(self, cerebellum: Cerebellum) -> None:
        self._cerebellum = cerebellum
        self.name, self.provides = cerebellum.name, cerebellum.provides
        self.heard: list[Mapping[str, np.ndarray]] = []

    def tables(self) -> Tables:
        return self._cerebellum.tables()

    def sample(self, now: Now) -> Activity:
        activity = self._cerebellum.sample(now)
        self.heard.append({name: np.array(trace) for name, trace in activity.traces[0].items()})
        return activity

    def apply(self, tables: Tables) -> None:
        self._cerebellum.apply(tables)

    def measures(self, tables: Tables) -> Mapping[str, float]:
        return self._cerebellum.measures(tables)

    def state(self) -> dict[str, np.ndarray]:
        return self._cerebellum.state()

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        self._cerebellum.restore(state)

    def provenance(self) -> dict[str, Any]:
        return self._cerebellum.provenance()


@pytest.mark.slow
def test_the_spiking_run_and_its_replay_decide_the_same() -> None:
    with MODEL.open("rb") as file:
        system = tomllib.load(file)["system"]
    values = {name: entry["value"] for name, entry in system.items() if name != "name"}
    parameters = Parameters(**{**values, "purkinje_cells": 10})
    clock = Clock(3.0, 21.0, 0.5)
    cerebellum = Listening(Cerebellum(lambda age: parameters, clock=clock, activity=2.0, seed=5))
    (start,) = cerebellum.tables()
    spiking = develop(cerebellum, rules(), clock=clock, seed=5, environment=environment(), ages=[9.0])
    replayed = develop(
        TorchSubstrate.from_table(start, cerebellum.heard),
        rules(),
        clock=clock,
        seed=5,
        environment=environment(),
        ages=[9.0],
    )
    assert sum(trace["eligibility"].any() for trace in cerebellum.heard) > 30
    assert len(np.unique(spiking.connections["death_step"].values)) > 5
    assert_same(spiking, replayed)
