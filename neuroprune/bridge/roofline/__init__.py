"""Where time goes in a network: ceilings of the machine, what layers do, predicted and measured latency, and why."""

from neuroprune.bridge.roofline.calibration import Cost, Parts, fit_cost
from neuroprune.bridge.roofline.ceilings import Bandwidth, Ceilings, measure_ceilings
from neuroprune.bridge.roofline.explanation import Explanation, LayerExplanation, explain, measure_network
from neuroprune.bridge.roofline.layer_times import time_layers
from neuroprune.bridge.roofline.machine import Machine, Quality, default_path
from neuroprune.bridge.roofline.prediction import LayerPrediction, Prediction, predict
from neuroprune.bridge.roofline.variants import Variants, make_variants, mask_by_magnitude
from neuroprune.bridge.roofline.work import Call, LayerWork, intensity

__all__ = [
    "Bandwidth",
    "Call",
    "Ceilings",
    "Cost",
    "Explanation",
    "LayerExplanation",
    "LayerPrediction",
    "LayerWork",
    "Machine",
    "Parts",
    "Prediction",
    "Quality",
    "Variants",
    "default_path",
    "explain",
    "fit_cost",
    "intensity",
    "make_variants",
    "mask_by_magnitude",
    "measure_ceilings",
    "measure_network",
    "predict",
    "time_layers",
]
