"""How attention is spread and how heads differ: entropy and Jensen-Shannon divergence, in nats."""

import torch

from neuroprune.core.errors import SpecificationError

_BLOCK = 1 << 22
"""Numbers in a temporary array."""


def entropy(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the entropy of distributions along the last axis, in nats.

    Parameters
    ----------
    probabilities : tensor, shape (..., n)

    Returns
    -------
    tensor, shape (...)
        :math:`H = -\\sum_j p_j \\ln p_j`, from 0 (one key) to :math:`\\ln n` (all alike).
    """
    return torch.special.entr(probabilities).sum(-1)


def jensen_shannon(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence of distributions along the last axis, in nats.

    Parameters
    ----------
    p, q : tensor, shapes that broadcast to (..., n)

    Returns
    -------
    tensor, shape (...)
        :math:`JS = H((p + q) / 2) - (H(p) + H(q)) / 2`, from 0 (the same) to :math:`\\ln 2` (no key in common).

    Notes
    -----
    Its square root is a metric [1]_, and so is the square root of its mean over queries: the Euclidean combination
    of metrics.

    References
    ----------
    .. [1] Endres & Schindelin 2003, IEEE Trans. Inf. Theory 49:1858
    """
    # Nearly the same distributions can come out below 0 by rounding.
    return (entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2).clamp(min=0)


def pairwise_jensen_shannon(probabilities: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence between heads, summed over rows.

    Parameters
    ----------
    probabilities : tensor, shape (heads, rows, keys)

    Returns
    -------
    float64 tensor, shape (heads, heads)
        Symmetric, with zeros on the diagonal. Its memory does not grow with the number of rows.

    Raises
    ------
    SpecificationError
        If the tensor has other axes.
    """
    if probabilities.ndim != 3:
        raise SpecificationError(f"heads need the shape (heads, rows, keys), not {tuple(probabilities.shape)}")
    n, n_rows, n_keys = probabilities.shape
    total = torch.zeros(n, n, dtype=torch.float64, device=probabilities.device)
    for p in probabilities.split(max(1, _BLOCK // max(1, n * n_keys)), 1) if n_rows else ():
        h = entropy(p)
        for a in range(n - 1):
            middle = entropy((p[a + 1 :] + p[a]) / 2)
            divergence = (middle - (h[a + 1 :] + h[a]) / 2).clamp(min=0)
            total[a, a + 1 :] += divergence.sum(-1, dtype=torch.float64)
    return total + total.T
