"""Replace dense layers by two thinner ones, where that saves weights."""

import copy as copying
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.utils import parametrize

from neuroprune.bridge.costs import layer_costs
from neuroprune.bridge.lowrank.ranks import choose_ranks, energy_rank, largest_saving_rank, share_of
from neuroprune.bridge.lowrank.spectrum import Spectrum, calibrated_spectra, plain_spectrum
from neuroprune.core.errors import SpecificationError

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass(frozen=True)
class FactoredLayer:
    """What became of a dense layer.

    Parameters
    ----------
    name : str
    shape : (m, d)
        Outputs and inputs.
    rank : int or None
        None if it was left whole.
    reason : str
        Why it was left whole; empty otherwise.
    error, plain_error : float
        Mean squared error of its outputs as a share of their mean square (see
        :attr:`~neuroprune.bridge.lowrank.Spectrum.errors`), and what the plain SVD of this rank would have left.
    regularisation : float
        Share of white noise in the covariance of the inputs; 1 for the plain SVD.
    weights : (before, after)
        Number of weights, biases apart.
    """

    name: str
    shape: tuple[int, int]
    rank: int | None
    reason: str
    error: float
    plain_error: float
    regularisation: float
    weights: tuple[int, int]


@dataclass(frozen=True)
class Factored:
    """A network with thinner layers.

    Parameters
    ----------
    model : nn.Module
    layers : tuple of FactoredLayer
        All that were looked at, in the order of the network.
    """

    model: nn.Module
    layers: tuple[FactoredLayer, ...]

    @property
    def ranks(self) -> dict[str, int]:
        """Ranks of the layers that were replaced."""
        return {layer.name: layer.rank for layer in self.layers if layer.rank is not None}


def factorize(
    model: nn.Module,
    ranks: Mapping[str, int | float] | float,
    *,
    calibration: tuple[torch.Tensor, ...] | None = None,
    regularisation: float | None = None,
    copy: bool = True,
) -> Factored:
    """Replace dense layers by two thinner ones.

    Parameters
    ----------
    model : nn.Module
    ranks : mapping of str to int or float, or float
        For each layer its rank (an int) or the share of its energy to keep (a float, above 0 and at most 1). A float
        alone is for all Linear layers that can be replaced.
    calibration : tuple of tensors, optional
        What the network is called with, samples along the first axis, in random order: then errors count as the data
        see them (see :func:`~neuroprune.bridge.lowrank.calibrated_spectra`). Without it the SVD is plain.
    regularisation : float, optional
        With calibration: the share of white noise, otherwise chosen by cross-validation.
    copy : bool
        Leave `model` as it is and change a copy.

    Returns
    -------
    Factored
        A layer of shape (m, d) is now ``nn.Sequential(Linear(d, r, bias=False), Linear(r, m))``, so its weights are
        ``name.0.weight`` and ``name.1.weight`` of the state dict. It is left whole where that would not save weights.

    Raises
    ------
    SpecificationError
        If a layer does not exist, is no plain ``nn.Linear`` or cannot be replaced (masked, shared, read by a module of
        torch around it, hooked), a rank or share makes no sense, or values are not finite.
    """
    if isinstance(ranks, float):
        wanted: Mapping[str, int | float] = dict.fromkeys(replaceable(model), ranks)
    elif isinstance(ranks, Mapping):
        wanted = ranks
    else:
        raise SpecificationError(f"ranks are {ranks!r}: give a rank or share for each layer, or one share for all")
    layers = _find(model, wanted)
    for name, value in wanted.items():
        _check_rank(name, value, layers[name])
    fixed = {name: value for name, value in wanted.items() if isinstance(value, int)}
    spectra = _spectra(model, layers, calibration, regularisation, fixed)
    chosen = {n: v if isinstance(v, int) else energy_rank(spectra[n], v) for n, v in wanted.items()}
    return _replace(copying.deepcopy(model) if copy else model, spectra, chosen)


def factorize_to_budget(
    model: nn.Module,
    share: float,
    example_inputs: tuple[Any, ...],
    *,
    per: Literal["parameters", "macs"] = "parameters",
    layers: Iterable[str] | None = None,
    calibration: tuple[torch.Tensor, ...] | None = None,
    regularisation: float | None = None,
    copy: bool = True,
) -> Factored:
    """Replace dense layers by thinner ones, with the ranks that lose least within a budget.

    Parameters
    ----------
    model : nn.Module
    share : float
        Of the weights of these layers, or of their operations, that may be left.
    example_inputs : tuple
        What the network is called with, to count operations.
    per : "parameters" or "macs"
        They differ where layers see different numbers of tokens.
    layers : names, optional
        Without it all Linear layers that can be replaced.
    calibration, regularisation, copy
        As in :func:`factorize`.

    Raises
    ------
    BudgetError
        If rank 1 everywhere costs more.
    SpecificationError
        As in :func:`factorize`.
    """
    found = _find(model, tuple(replaceable(model) if layers is None else layers))
    shapes = {name: (layer.out_features, layer.in_features) for name, layer in found.items()}
    rows = dict.fromkeys(found, 1)
    if per == "macs":
        costs = layer_costs(model, example_inputs)
        if idle := [name for name in found if name not in costs]:
            raise SpecificationError(f"layer {idle[0]!r} does not run on the example inputs: it costs no operations")
        rows = {name: costs[name].macs // (m * d) for name, (m, d) in shapes.items()}
    elif per != "parameters":
        raise SpecificationError(f"per is {per!r}, and must be parameters or macs")
    budget = share_of(sum(rows[name] * m * d for name, (m, d) in shapes.items()), share)
    spectra = _spectra(model, found, calibration, regularisation, {})
    chosen = choose_ranks(spectra, shapes, rows, budget)
    return _replace(copying.deepcopy(model) if copy else model, spectra, chosen)


def replaceable(model: nn.Module) -> list[str]:
    """Return the names of the Linear layers that can be replaced."""
    return [n for n, m in model.named_modules() if type(m) is nn.Linear and _obstacle(model, n) is None]


def _find(model: nn.Module, names: Iterable[str]) -> dict[str, nn.Linear]:
    modules = dict(model.named_modules())
    found = {}
    for name in names:
        if name not in modules:
            have = ", ".join(map(repr, replaceable(model))) or "none"
            raise SpecificationError(f"{type(model).__name__} has no layer {name!r}; those to replace are: {have}")
        if (obstacle := _obstacle(model, name)) is not None:
            raise SpecificationError(f"layer {name!r} of {type(model).__name__} cannot be replaced: {obstacle}")
        found[name] = modules[name]
    if not found:
        raise SpecificationError(f"{type(model).__name__} has no Linear layer that can be replaced")
    return found


def _obstacle(model: nn.Module, name: str) -> str | None:
    """Return why a layer cannot be replaced, or None."""
    layer = model.get_submodule(name)
    if parametrize.is_parametrized(layer):
        return "it is parametrized (masked, for example); remove that first"
    if type(layer) is not nn.Linear:
        return f"it is {type(layer).__name__}, not torch.nn.Linear"
    if not name:
        return "it is the network itself; put it into an nn.Sequential"
    parent = model.get_submodule(name.rpartition(".")[0])
    if type(parent).__module__.startswith("torch.nn.modules") and not isinstance(parent, _CONTAINERS):
        return f"nn.{type(parent).__name__} reads its weight itself"
    for other, module in model.named_modules(remove_duplicate=False):
        if other != name and any(p is layer.weight for p in module.parameters(recurse=False)):
            return f"{other!r} has the same weight"
    if any((layer._forward_hooks, layer._forward_pre_hooks, layer._backward_hooks, layer._backward_pre_hooks)):
        return "it has hooks, which would be lost"
    return None


def _check_rank(name: str, value: object, layer: nn.Linear) -> None:
    most = min(layer.out_features, layer.in_features)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpecificationError(f"layer {name!r}: {value!r} is neither a rank (int) nor a share of energy (float)")
    if isinstance(value, int) and not 1 <= value <= most:
        raise SpecificationError(
            f"layer {name!r}: rank {value} must be from 1 to {most}, the smaller side of its weight"
        )


def _spectra(
    model: nn.Module,
    layers: Mapping[str, nn.Linear],
    calibration: tuple[torch.Tensor, ...] | None,
    regularisation: float | None,
    ranks: Mapping[str, int],
) -> dict[str, Spectrum]:
    if calibration is not None:
        return calibrated_spectra(model, layers, calibration, ranks=ranks, regularisation=regularisation)
    if regularisation is not None:
        raise SpecificationError("regularisation is of the data's covariance: give calibration data with it")
    return {name: plain_spectrum(layer.weight) for name, layer in layers.items()}


def _replace(model: nn.Module, spectra: Mapping[str, Spectrum], ranks: Mapping[str, int | None]) -> Factored:
    report = []
    order = [name for name, _ in model.named_modules() if name in ranks]
    for name in order:
        layer, spectrum, rank = model.get_submodule(name), spectra[name], ranks[name]
        assert isinstance(layer, nn.Linear)
        shape = m, d = layer.out_features, layer.in_features
        most, reason = largest_saving_rank(m, d), ""
        if rank is None:
            reason = "the budget has room for it"
        elif rank > most:
            reason = f"rank {rank} saves no weights" + (f" (up to {most} does)" if most else "; no rank does")
        if reason:
            report.append(FactoredLayer(name, shape, None, reason, 0.0, 0.0, spectrum.regularisation, (m * d, m * d)))
            continue
        assert rank is not None
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, _thinner(layer, spectrum, rank))
        errors = float(spectrum.errors[rank]), float(spectrum.plain_errors[rank])
        weights = (m * d, rank * (m + d))
        report.append(FactoredLayer(name, shape, rank, "", *errors, spectrum.regularisation, weights))
    return Factored(model, tuple(report))


def _thinner(layer: nn.Linear, spectrum: Spectrum, rank: int) -> nn.Sequential:
    """Return two layers for one; each direction's size is divided evenly among them, so that both train alike."""
    weight = layer.weight.detach()
    up = spectrum.directions[:, :rank]
    down = up.T @ weight.cpu().double()
    size = down.norm(dim=1).sqrt()
    size = torch.where(size > 0, size, torch.ones_like(size))
    has_bias = layer.bias is not None
    like: dict[str, Any] = {"device": weight.device, "dtype": weight.dtype}
    m, d = weight.shape
    first = nn.Linear(d, rank, bias=False, **like)
    second = nn.Linear(rank, m, bias=has_bias, **like)
    with torch.no_grad():
        first.weight.copy_(down / size[:, None])
        second.weight.copy_(up * size)
        if has_bias:
            lost = spectrum.offset - up @ (up.T @ spectrum.offset)
            second.bias.copy_(layer.bias.cpu().double() + lost)
    for new in (first.weight, second.weight):
        new.requires_grad_(layer.weight.requires_grad)
    if has_bias:
        second.bias.requires_grad_(layer.bias.requires_grad)
    return nn.Sequential(first, second).train(layer.training)
