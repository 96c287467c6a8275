"""A system without a simulator, so that experiments and the command line can be tested in milliseconds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict, Field

from neuroprune.core.clock import Clock, Now
from neuroprune.core.tables import Table, Tables
from neuroprune.core.units import Siemens, Volts, by_age
from neuroprune.development import Activity
from neuroprune.experiments import SYSTEMS
from neuroprune.testing import TableSubstrate

MODEL = """
description = "a toy"
[system]
name = "toy"
cells = 6
drive = { value = "2 nS", source = "Toy et al. 2001", confidence = "read", note = "peak" }
gain = [["P0", "1 mV"], ["P10", "3 mV"]]

[development]
from = "P0"
to = "P8"
step = "1 day"
activity = "1 s"
record = ["P2", "P4"]

[environment.microglia]
presence = 0.5

[[rules]]
name = "tagging"
rule = "tag"
threshold = 0.4

[[rules]]
name = "loss"
rule = "random"
rate = "0.2 / day"
"""

CONDITIONS = """
[half_drive]
description = "half of the drive"
"system.drive" = { scale = 0.5 }

[no_loss_p4]
description = "nothing is lost from P4 on"
"rules.loss.rate" = { scale = 0, from = "P4", source = "Toy et al. 2002" }

[unquoted]
rules.tagging.threshold = 0.1
"""


class Parameters(BaseModel):
    """Parameters of the toy."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    cells: int = Field(gt=0, le=1000)
    drive: Siemens = Field(gt=0)
    gain: by_age("V")  # type: ignore[valid-type]
    rest: Volts = -0.07
    shape: Literal["round", "flat"] = "round"
    lit: bool = False


class Toy(TableSubstrate):
    """Tables whose only activity is that they report the parameters that hold."""

    name = "toy"
    compile_seconds = 0.0

    def __init__(self, parameters_at: Callable[[float], Parameters], start: float) -> None:
        cells = parameters_at(start).cells
        ids = np.arange(4 * cells).reshape(cells, 4)
        place = np.linspace(0, 1e-4, cells)[:, None]
        traces = dict.fromkeys("xyz", place)
        table = Table("cells", ids, ids >= 0, 1.0 + ids % 5, ids % 7, traces)
        super().__init__(Tables([table]), [{}])
        self.parameters_at = parameters_at

    def sample(self, now: Now) -> Activity:
        p = self.parameters_at(now.age)
        return Activity([{}], {"drive": p.drive, "gain_rate": p.gain.at(now.age)})

    def provenance(self) -> dict[str, Any]:
        return {"engine": "none"}


def build(parameters_at: Callable[[float], Parameters], *, clock: Clock, say: Callable[[str], None], **_: Any) -> Toy:
    """Return the toy."""
    say("building the toy")
    return Toy(parameters_at, clock.start)


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Register the system, write its model and conditions, and return the path of the model."""
    monkeypatch.setitem(SYSTEMS, "toy", __name__)
    model = folder / "toy" / "model.toml"
    model.parent.mkdir()
    model.write_text(MODEL)
    (model.parent / "conditions.toml").write_text(CONDITIONS)
    return model
