"""Exact and approximate solvers of the optimisation problems behind pruning: numpy, scipy and numba only."""
