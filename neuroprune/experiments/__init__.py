"""Experiments are data: TOML in, validated parameters, records out."""

from neuroprune.experiments.em import PairSizeComparison, compare_pair_sizes, read_connectivity
from neuroprune.experiments.experiment import Experiment, list_conditions, load_experiment
from neuroprune.experiments.finder import find_model, list_models
from neuroprune.experiments.observations import Observation, Observations
from neuroprune.experiments.parallel import Job, run_jobs, run_seeds
from neuroprune.experiments.running import Run, record_path, run, run_experiment
from neuroprune.experiments.scorecard import Judgement, Scorecard
from neuroprune.experiments.systems import SYSTEMS
from neuroprune.experiments.validating import validate
from neuroprune.experiments.validation_file import read_observations
from neuroprune.experiments.writing import write_toml

__all__ = [
    "SYSTEMS",
    "Experiment",
    "Job",
    "Judgement",
    "Observation",
    "Observations",
    "PairSizeComparison",
    "Run",
    "Scorecard",
    "compare_pair_sizes",
    "find_model",
    "list_conditions",
    "list_models",
    "load_experiment",
    "read_connectivity",
    "read_observations",
    "record_path",
    "run",
    "run_experiment",
    "run_jobs",
    "run_seeds",
    "validate",
    "write_toml",
]
