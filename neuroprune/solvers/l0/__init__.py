"""Regression with few coefficients: a local search, and branch and bound that says how far from the best it is."""

from neuroprune.solvers.l0.gram import Gram, Moments
from neuroprune.solvers.l0.path import Path, l0_path, penalties_down_to
from neuroprune.solvers.l0.solution import Solution
from neuroprune.solvers.l0.solve import fit_l0, solve_l0

__all__ = ["Gram", "Moments", "Path", "Solution", "fit_l0", "l0_path", "penalties_down_to", "solve_l0"]
