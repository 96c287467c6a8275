"""Regressions for the tests of L0 solvers, and the best of all supports by trying them all."""

import itertools

import numpy as np


def brute_force(features, target, *, k=None, penalty=0.0, ridge=0.0):
    """Return the least objective of all supports, from eigenvalues of their Grams."""
    X, y = np.asarray(features, float), np.asarray(target, float)
    p = X.shape[1]
    G, c, best = X.T @ X + ridge * np.eye(p), X.T @ y, 0.5 * float(y @ y)
    for size in range(1, (p if k is None else k) + 1):
        S = np.array(list(itertools.combinations(range(p), size)))
        values, vectors = np.linalg.eigh(G[S[:, :, None], S[:, None, :]])
        along = np.einsum("sij,si->sj", vectors, c[S])
        keep = values > 1e-10 * values[:, -1:]
        explained = np.where(keep, along**2 / np.where(keep, values, 1.0), 0.0).sum(axis=1)
        best = min(best, float(0.5 * (y @ y - min(explained.max(), y @ y)) + penalty * size))
    return best


def sparse_data(n, p, k, *, rho=0.3, equicorrelated=False, snr=10.0, seed=0):
    """Return features whose correlation is ``rho^|i-j|``, or rho, and a target that k of them make up with noise."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, p))
    if equicorrelated:
        X = np.sqrt(rho) * rng.standard_normal((n, 1)) + np.sqrt(1 - rho) * Z
    else:
        X = np.empty((n, p))
        X[:, 0] = Z[:, 0]
        for j in range(1, p):
            X[:, j] = rho * X[:, j - 1] + np.sqrt(1 - rho**2) * Z[:, j]
    X *= np.sqrt(n / (X**2).sum(axis=0))
    support = np.sort(rng.choice(p, k, replace=False))
    signal = X[:, support] @ rng.choice([-1.0, 1.0], k)
    return X, signal + rng.standard_normal(n) * np.sqrt(signal.var() / snr), support


def relu_features(n, p, seed=0):
    """Return features of a random two-layer ReLU network, and one class of ten that its inputs belong to."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((10, 30))
    label = rng.integers(0, 10, n)
    x = centres[label] + rng.standard_normal((n, 30))
    hidden = np.maximum(x @ rng.standard_normal((30, 60)) / np.sqrt(30) + 0.3, 0.0)
    return np.maximum(hidden @ rng.standard_normal((60, p)) / np.sqrt(60) + 0.3, 0.0), (label == 3).astype(float)
