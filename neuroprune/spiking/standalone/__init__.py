"""Run Brian2 C++ standalone simulations so that no failure passes for a result.

A standalone binary reports success after a truncated input file, a missing static array, a full disk or an
interrupt. This package is the only way from neuroprune to such a binary: `build` compiles a model once and
keeps it in a cache, `Binary.run` feeds one run and accepts its output only if all of it is there. Neither a
cached build nor a run imports Brian2. Where `compiler_available` returns None, use Brian2's runtime mode.
"""

from neuroprune.spiking.standalone.binary import Binary, Outputs, SpikeTrain
from neuroprune.spiking.standalone.cache import build
from neuroprune.spiking.standalone.compiler import compiler_available
from neuroprune.spiking.standalone.model import Model, spike_input

__all__ = ["Binary", "Model", "Outputs", "SpikeTrain", "build", "compiler_available", "spike_input"]
