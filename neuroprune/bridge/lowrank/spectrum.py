"""Which directions of a dense layer's output carry most: its singular vectors, or those of the outputs on data."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from neuroprune.bridge.lowrank.moments import Moments, collect_moments
from neuroprune.core.errors import SpecificationError

REGULARISATIONS = (0.0, 1e-3, 1e-2, 0.03, 0.1, 0.3, 1.0)
"""Shares of white noise that are tried; with 1 it is the plain SVD."""


@dataclass(frozen=True)
class Spectrum:
    """Orthonormal directions of a layer's output, those that carry most first.

    Parameters
    ----------
    directions : float64 tensor, shape (m, k)
        U, with k the smaller side of the weight W, of shape (m, d). At rank r the weight becomes ``U_r U_r^T W``.
    energies : float64 tensor, shape (k,)
        What each direction carries: squared singular values, of W or of W L where ``L L^T`` is the (regularised)
        covariance of the inputs.
    errors : float64 tensor, shape (k + 1,)
        Mean squared error of the outputs at ranks 0 to k, as a share of their mean square (about their mean if the
        bias takes that up): on the calibration data, or for white inputs if there are none.
    plain_errors : float64 tensor, shape (k + 1,)
        The same for the plain SVD.
    offset : float64 tensor, shape (m,)
        Mean of W x, which the bias keeps whole; 0 without data or without a bias.
    regularisation : float
        Share of white noise in the covariance; 1 without data.
    """

    directions: torch.Tensor
    energies: torch.Tensor
    errors: torch.Tensor
    plain_errors: torch.Tensor
    offset: torch.Tensor
    regularisation: float


def plain_spectrum(weight: torch.Tensor) -> Spectrum:
    """Return the spectrum of a weight by its SVD.

    Parameters
    ----------
    weight : tensor, shape (m, d)

    Notes
    -----
    Cut off at rank r, it is the nearest matrix of that rank, at a distance of the root of the remaining energies
    (Eckart & Young 1936, Psychometrika 1:211).
    """
    w = _checked(weight)
    u, s, _ = torch.linalg.svd(w, full_matrices=False)
    errors = _errors(s.square(), s.square().sum())
    return Spectrum(u, s.square(), errors, errors, w.new_zeros(len(w)), 1.0)


def calibrated_spectra(
    model: nn.Module,
    layers: Mapping[str, nn.Linear],
    calibration: tuple[torch.Tensor, ...],
    *,
    ranks: Mapping[str, int] | None = None,
    regularisation: float | None = None,
    batch_size: int = 256,
) -> dict[str, Spectrum]:
    """Return the spectrum of each layer for the data that reach it.

    Parameters
    ----------
    model : nn.Module
        It runs in evaluation mode, without gradients.
    layers : mapping of str to nn.Linear
        Layers of it.
    calibration : tuple of tensors
        What the network is called with, with samples along the first axis. They should come in random order.
    ranks : mapping of str to int, optional
        Ranks that the regularisation is chosen for; without it all ranks count alike.
    regularisation : float, optional
        Share of white noise, 0 to 1. Without it, for each layer the one of :data:`REGULARISATIONS` whose
        directions, found on three quarters of the data, leave the smallest error on the other quarter.
    batch_size : int

    Raises
    ------
    SpecificationError
        If data or regularisation make no sense (see :func:`~neuroprune.bridge.lowrank.moments.collect_moments`).

    Notes
    -----
    For inputs x of covariance ``C = L L^T`` the mean squared error of the outputs is ``|(W - W') L|_F**2``, so that
    the best W' of rank r is the SVD of ``W L`` cut off, times ``L^-1``: SVD-LLM's whitening (Wang et al. 2025,
    arXiv:2403.07378). With U_r its left singular vectors that is ``U_r U_r^T W``: the projection on the principal
    components of the outputs. So it needs neither L nor its inverse, and a singular C does no harm. A bias takes up
    the mean, so C is the covariance; it is the second moment in a layer without a bias.

    With few data C is uncertain, so it is shrunk to white noise of the same trace: ``(1 - q) C + q tr(C)/d I``. On
    the calibration data the error A(W') rises with q, as a minimiser of ``(1 - q) A + q B`` always does, and q = 1 is
    the plain SVD: whatever q is, the error is never above that of the plain SVD.
    """
    if regularisation is not None and not 0 <= regularisation <= 1:
        raise SpecificationError(f"regularisation is {regularisation}, and must be from 0 to 1")
    factors = {name: _thin(_checked(layer.weight, name)) for name, layer in layers.items()}
    folds = collect_moments(model, layers, {name: t for name, (_, t) in factors.items()}, calibration, batch_size)
    found = {}
    for name, layer in layers.items():
        q, centred = factors[name][0], layer.bias is not None
        share = regularisation
        if share is None:
            rank = None if ranks is None else ranks.get(name)
            share = min(REGULARISATIONS, key=lambda r, n=name, c=centred, k=rank: _held_out(folds[n], r, c, k))
        whole = folds[name][0]
        for fold in folds[name][1:]:
            whole = whole.combine(fold)
        found[name] = _spectrum(whole, q, share, centred)
    return found


def _checked(weight: torch.Tensor, name: str | None = None) -> torch.Tensor:
    if not torch.isfinite(weight).all():
        raise SpecificationError(f"the weight{'' if name is None else f' of layer {name!r}'} is not finite")
    # float64 exists on every CPU, and not on every device.
    return weight.detach().cpu().double()


def _thin(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return Q and T of ``weight = Q T``, Q orthonormal, T with as few rows as that allows without a look at it."""
    m, d = weight.shape
    if m <= d:
        return torch.eye(m, dtype=weight.dtype), weight
    q, t = torch.linalg.qr(weight)
    return q, t


def _principal(moments: Moments, share: float, centred: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Return energies and directions, in the space of T x."""
    t = moments.through
    if share == 1:
        u, s, _ = torch.linalg.svd(t, full_matrices=False)
        return s.square() * moments.spread(centred), u
    covariance = moments.second(moments.mean if centred else None)
    white = moments.spread(centred) * t @ t.T
    energies, directions = torch.linalg.eigh((1 - share) * covariance + share * white)
    return energies.flip(0).clamp(min=0), directions.flip(1)


def _spectrum(moments: Moments, q: torch.Tensor, share: float, centred: bool) -> Spectrum:
    energies, directions = _principal(moments, share, centred)
    seen = moments.second(moments.mean if centred else None)
    total = seen.trace()
    carried = (directions * (seen @ directions)).sum(0)
    plain = torch.linalg.svd(moments.through, full_matrices=False).U
    second = moments.second()
    plain_errors = _errors((plain * (second @ plain)).sum(0), total)
    offset = q @ moments.mean if centred else q.new_zeros(len(q))
    return Spectrum(q @ directions, energies, _errors(carried, total), plain_errors, offset, share)


def _held_out(folds: list[Moments], share: float, centred: bool, rank: int | None) -> float:
    """Return the error on each fold of directions from the others, summed; at a rank, or over all of them."""
    whole = folds[0]
    for fold in folds[1:]:
        whole = whole.combine(fold)
    error = 0.0
    for fold in folds:
        others = whole.combine(fold, -1)
        _, directions = _principal(others, share, centred)
        seen = fold.second(others.mean if centred else None)
        errors = _errors((directions * (seen @ directions)).sum(0), seen.trace())
        error += float(errors[1:].sum() if rank is None else errors[min(rank, len(errors) - 1)])
    return error


def _errors(carried: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
    """Return what is left at ranks 0 to k, as a share of the total; 0 of nothing."""
    left = torch.cat([carried.flip(0).cumsum(0).flip(0), carried.new_zeros(1)])
    return left.clamp(min=0) / total if total > 0 else torch.zeros_like(left)
