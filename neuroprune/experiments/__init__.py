"""Experiments are data: TOML in, validated parameters, records out."""

from neuroprune.experiments.experiment import Experiment, list_conditions, load_experiment
from neuroprune.experiments.finder import find_model, list_models
from neuroprune.experiments.parallel import run_seeds
from neuroprune.experiments.running import Run, record_path, run, run_experiment
from neuroprune.experiments.systems import SYSTEMS
from neuroprune.experiments.writing import write_toml

__all__ = [
    "SYSTEMS",
    "Experiment",
    "Run",
    "find_model",
    "list_conditions",
    "list_models",
    "load_experiment",
    "record_path",
    "run",
    "run_experiment",
    "run_seeds",
    "write_toml",
]
