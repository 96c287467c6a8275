"""L0-sparse regression against orthogonal matching pursuit, abess, l0bnb and el0ps, in the same run, one thread.

First, local searches under a budget: value of half the sum of squares that each reaches (lower is better), refitted on
its support, and CPU seconds; ours starts from the Gram, whose time is shown beside it and which pursuit shares. Then
proofs under a penalty, with the ridge that l0bnb and el0ps need, and without it where only ours can. What is not
installed is skipped with a line. Every solution is scored on the data by the same function.

Run it with ``python tests/benchmarks/bench_l0.py [FOLDER]``; it takes about ten minutes. With a folder of MNIST's IDX
files the real features are those of 54,000 images, otherwise of scikit-learn's digits; they need torch.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from sklearn.linear_model import orthogonal_mp_gram

from neuroprune.solvers.l0 import Gram, solve_l0

sys.path.insert(0, str(Path(__file__).parents[1] / "solvers"))
from l0_cases import sparse_data  # type: ignore[import-not-found]

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds that a proof may take."""
SAME = 1e-7
"""Relative difference below which values are the same."""


def have(module: str) -> bool:
    """Return whether a module can be imported, and say so if it cannot."""
    try:
        importlib.import_module(module)
    except (ImportError, RuntimeError) as error:  # el0ps raises the latter where there is no MPI library
        print(f"{module} is skipped: {str(error).splitlines()[0]}")
        return False
    return True


def loss(X: np.ndarray, y: np.ndarray, support: np.ndarray, ridge: float = 0.0) -> float:
    """Return the value of the best fit on a support."""
    A = X[:, support]
    w = np.linalg.solve(A.T @ A + ridge * np.eye(support.size), A.T @ y)
    return float(0.5 * (np.sum((y - A @ w) ** 2) + ridge * w @ w))


def clocked(run: Callable[[], T]) -> tuple[T, float]:
    """Return what a function returns, and its CPU seconds."""
    began = time.process_time()
    return run(), time.process_time() - began


def real_features(folder: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the last hidden layer of a trained LeNet-300-100, and one of the classes, centred."""
    import torch

    from neuroprune.bridge.images import load_images
    from neuroprune.bridge.training import default_training, evaluating, train
    from neuroprune.bridge.zoo import make_model

    images = load_images(folder or "digits")
    torch.manual_seed(0)
    model = make_model("lenet300", images.shape, images.n_classes)
    train(model, images.train, default_training("lenet300", 2 if folder else 20), seed=0)
    *_, last = (module for module in model.modules() if isinstance(module, torch.nn.Linear))
    kept: list[torch.Tensor] = []
    last.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))
    with evaluating(model), torch.no_grad():
        for x in images.train.x.split(4096):
            model(x)
    X, y = torch.cat(kept).double().numpy(), (images.train.y == 3).double().numpy()
    X = X[:, X.std(axis=0) > 0.0]
    return X - X.mean(axis=0), y - y.mean()


# ---------------------------------------------------------------- local search
def search(name: str, X: np.ndarray, y: np.ndarray, k: int, with_abess: bool) -> None:
    """Compare what is found under a budget."""
    gram, seconds = clocked(lambda: Gram.from_data(X, y))
    w, t = clocked(lambda: orthogonal_mp_gram(gram.gram, gram.correlation[:, 0], n_nonzero_coefs=k))
    rows = [("OMP", loss(X, y, np.flatnonzero(np.asarray(w))), t)]
    if with_abess:
        from abess import LinearRegression  # type: ignore[import-not-found]

        model = LinearRegression(support_size=k, fit_intercept=False)
        _, t = clocked(lambda: model.fit(X, y))
        rows.append(("abess", loss(X, y, np.flatnonzero(np.asarray(model.coef_))), t))
    found, t = clocked(lambda: solve_l0(gram, k=k))
    ours = loss(X, y, np.flatnonzero(found.coefficients[:, 0]))
    best = min(value for _, value, _ in rows)
    verdict = "better" if ours < best * (1 - SAME) else "same" if ours <= best * (1 + SAME) else "WORSE"
    others = "  ".join(f"{peer} {value:11.4f} {s:6.3f} s" for peer, value, s in rows)
    print(f"{name:28s} k {k:2d}  {others}  ours {ours:11.4f} {t:6.3f} s (Gram {seconds:.2f})  {verdict}, ", end="")
    print("proven" if found.proven else f"gap {100 * found.gap:.3g} %", flush=True)


# ---------------------------------------------------------------------- proofs
def prove(name: str, X: np.ndarray, y: np.ndarray, penalty: float, ridge: float, peers: dict[str, bool]) -> None:
    """Compare how long a proof takes; each solution's value is computed on the data."""
    print(name)
    gram = Gram.from_data(X, y)
    found = solve_l0(gram, penalty=penalty, ridge=ridge, exact=True, time_limit=PATIENCE)
    support = np.flatnonzero(found.coefficients[:, 0])
    report("ours", loss(X, y, support, ridge) + penalty * support.size, found.gap, found.seconds, support.size)
    if ridge == 0.0:
        return
    if peers["el0ps.solver"]:
        from el0ps.datafit import Leastsquares  # type: ignore[import-not-found]
        from el0ps.penalty import L2norm  # type: ignore[import-not-found]
        from el0ps.solver import BnbSolver  # type: ignore[import-not-found]

        data, l2, columns = Leastsquares(np.ascontiguousarray(y)), L2norm(0.5 * ridge), np.asfortranarray(X)
        result = BnbSolver(time_limit=PATIENCE, relative_gap=1e-6).solve(data, l2, columns, penalty)
        support = np.flatnonzero(result.x)
        gap = 0.0 if result.status.value == "optimal" else np.nan
        value = loss(X, y, support, ridge) + penalty * support.size
        report("el0ps", value, gap, result.solve_time, support.size)
    if peers["l0bnb"]:
        from l0bnb import BNBTree  # type: ignore[import-not-found]

        largest = 2.0 * float(np.abs(found.coefficients).max())
        began = time.monotonic()
        tree = BNBTree(X, y)
        result = tree.solve(penalty, 0.5 * ridge, largest, gap_tol=1e-6, time_limit=int(PATIENCE))
        support = np.flatnonzero(result.beta)
        value = loss(X, y, support, ridge) + penalty * support.size
        report("l0bnb", value, result.gap, time.monotonic() - began, support.size)


def report(solver: str, value: float, gap: float, seconds: float, size: int) -> None:
    """Print a line."""
    state = "proven" if gap <= 1e-6 else "not proven" if np.isnan(gap) else f"gap {100 * gap:.2g} %"
    print(f"  {solver:6s} {value:12.4f}  {size:3d} features  {seconds:7.2f} s  {state}", flush=True)


def main() -> None:
    """Run all comparisons."""
    warnings.simplefilter("ignore")  # of the peers
    if not hasattr(np, "Inf"):
        np.Inf = np.inf  # type: ignore[attr-defined]  # l0bnb 1.0.0 needs the name that numpy 2 took away
    with_abess = have("abess")
    peers = {name: have(name) for name in ("l0bnb", "el0ps.solver")}
    print(f"{platform.machine()}, Python {platform.python_version()}, numpy {np.__version__}; one thread")
    real = real_features(sys.argv[1] if len(sys.argv) > 1 else None) if have("torch") else None

    print("\nonce, so that nothing is compiled while the clock runs")
    X, y, _ = sparse_data(100, 20, 3)
    solve_l0(Gram.from_data(X, y), k=3, exact=True)
    prove("small", X, y, 1.0, 5.0, peers)
    print("\nlocal search under a budget: half the sum of squares, CPU seconds")
    for n, p, k in ((1000, 100, 10), (1000, 500, 10), (500, 1000, 10), (500, 2000, 10), (500, 5000, 10)):
        X, y, _ = sparse_data(n, p, k, seed=1)
        for size in (k, 2 * k):
            search(f"AR(0.3) n {n} p {p}", X, y, size, with_abess)
    for p, k in ((100, 15), (300, 20), (2000, 20), (5000, 20)):
        X, y, _ = sparse_data(500, p, k, rho=0.9, equicorrelated=True, seed=1)
        for size in (k, 2 * k):
            search(f"equicorrelated 0.9 n 500 p {p}", X, y, size, with_abess)
    if real is not None:
        for size in (5, 15, 30):
            search(f"ReLU features n {len(real[0])} p {real[0].shape[1]}", *real, size, with_abess)

    print("\nproofs, ridge 0.05 and penalty in units of a feature's square and of the target's: wall seconds")
    for n, p, k in ((1000, 300, 10), (1000, 500, 10), (500, 1000, 10), (500, 5000, 10)):
        X, y, _ = sparse_data(n, p, k, seed=1)
        for share in (0.01, 0.005):
            prove(f"AR(0.3) n {n} p {p}, penalty {share}", X, y, share * float(y @ y), 0.05 * n, peers)
    X, y, _ = sparse_data(1000, 500, 10, seed=1)
    prove("AR(0.3) n 1000 p 500, penalty 0.001, no ridge", X, y, 0.001 * float(y @ y), 0.0, peers)
    if real is not None:
        for p in (40, 60):
            X, y = real[0][:, :p], real[1]
            ridge = 0.05 * float(np.mean((X**2).sum(axis=0)))
            prove(f"ReLU features p {p}, penalty 0.002", X, y, 0.002 * float(y @ y), ridge, peers)
            prove(f"ReLU features p {p}, penalty 0.002, no ridge", X, y, 0.002 * float(y @ y), 0.0, peers)


if __name__ == "__main__":
    main()
