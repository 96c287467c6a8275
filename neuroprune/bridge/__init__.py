"""The same rules on torch networks."""

try:
    import torch  # noqa: F401
except ModuleNotFoundError:
    raise ModuleNotFoundError("neuroprune.bridge needs torch: pip install 'neuroprune[bridge]'") from None

from neuroprune.bridge.substrate import TorchSubstrate

__all__ = ["TorchSubstrate"]
