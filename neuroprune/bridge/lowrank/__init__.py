"""Dense layers as products of two thinner ones: by truncated SVD, and by what matters for the data they see."""

from neuroprune.bridge.lowrank.factorize import Factored, FactoredLayer, factorize, factorize_to_budget
from neuroprune.bridge.lowrank.ranks import choose_ranks, energy_rank, largest_saving_rank
from neuroprune.bridge.lowrank.spectrum import Spectrum, calibrated_spectra, plain_spectrum

__all__ = [
    "Factored",
    "FactoredLayer",
    "Spectrum",
    "calibrated_spectra",
    "choose_ranks",
    "energy_rank",
    "factorize",
    "factorize_to_budget",
    "largest_saving_rank",
    "plain_spectrum",
]
