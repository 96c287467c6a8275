"""What does pruning do to a network, in a growing brain and in an artificial one?

The public names are loaded on first use, so that ``import neuroprune`` stays cheap: it loads neither Brian2,
torch, xarray nor matplotlib.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from neuroprune._version import __version__

if TYPE_CHECKING:
    from neuroprune.core.errors import NeuropruneError
    from neuroprune.development import develop
    from neuroprune.experiments import run
    from neuroprune.record import Record, open_record

_HOME = {
    "NeuropruneError": "neuroprune.core.errors",
    "Record": "neuroprune.record",
    "develop": "neuroprune.development",
    "open_record": "neuroprune.record",
    "run": "neuroprune.experiments",
}

__all__ = ["NeuropruneError", "Record", "__version__", "develop", "open_record", "run"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'neuroprune' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
