"""The same rules on torch networks."""

try:
    import torch  # noqa: F401
except ModuleNotFoundError:
    raise ModuleNotFoundError("neuroprune.bridge needs torch: pip install 'neuroprune[bridge]'") from None

from neuroprune.bridge.pruner import Pruner, prune, shown
from neuroprune.bridge.substrate import TorchSubstrate
from neuroprune.core.budget import Budget

__all__ = ["Budget", "Pruner", "TorchSubstrate", "prune", "shown"]
