"""Cutting units out of a network, checked against the network in which nothing reads them."""

import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from neuroprune.bridge.masks import bake_all, copied
from neuroprune.bridge.slim.attention import PrunedAttention, is_plain_attention, locate, separate
from neuroprune.bridge.slim.structure import Removal, Structure
from neuroprune.bridge.slim.tracing import trace
from neuroprune.bridge.training import evaluating
from neuroprune.core.errors import SpecificationError

MOST_NUMBERS = 4
"""How many numbers in the code of modules are changed at most to make a cut network run."""


def mask_units(
    model: nn.Module, remove: Removal | None, example_inputs: tuple[Any, ...], *, structure: Structure | None = None
) -> nn.Module:
    """Return a copy of a network in which nothing reads some units; it is what :func:`slim` is measured against.

    Parameters
    ----------
    model : nn.Module
    remove : mapping of str to iterable of int, optional
        Units by group; see :func:`slim`.
    example_inputs : tuple
        What the network is called with.
    structure : Structure, optional
        That of the network, if it has been traced already.

    Notes
    -----
    The weights with which other layers read the units are set to 0, which is the same as setting the units' activity
    to 0 where it leaves the group. (Setting a filter's own weights to 0 would not do: a normalisation or a bias
    behind it still passes on a constant.)

    Raises
    ------
    SpecificationError
        As in :func:`slim`.
    """
    structure = trace(model, example_inputs) if structure is None else structure
    removal = structure.dead() if remove is None else remove
    masked = copied(model)
    bake_all(masked)
    with torch.no_grad():
        for name, axis, index in structure.reads(removal):
            weight = _tensor(masked, name)
            weight.index_fill_(axis, index.to(weight.device), 0.0)
    return masked


def slim(
    model: nn.Module,
    remove: Removal | None,
    example_inputs: tuple[Any, ...],
    *,
    copy: bool = True,
    structure: Structure | None = None,
) -> nn.Module:
    """Return a network without some of its units: smaller layers, no masks, the same outputs as the masked one.

    Parameters
    ----------
    model : nn.Module
    remove : mapping of str to iterable of int, optional
        Units to remove, by the name of their group in :func:`groups`. Without it all that change nothing, because
        their own weights are 0 or those that read them are.
    example_inputs : tuple
        What the network is called with; the cut network is run with it, so it should be like real data. (Tensors
        of one value throughout are replaced by normal noise for that.)
    copy : bool
        Cut a copy. Otherwise the network itself is cut, and left as it was if that fails (but for parametrizations,
        which are baked).
    structure : Structure, optional
        That of the network, if it has been traced already.

    Returns
    -------
    nn.Module
        Of the same class, in the mode it was in. Parametrizations (masks) are baked. ``nn.MultiheadAttention`` that
        lost heads is :class:`PrunedAttention`. Numbers that the code of a module keeps in its attributes (heads, an
        inner width) are set to what is left. Parameters that are shared stay shared.

    Raises
    ------
    SpecificationError
        If the network cannot be exported; if units cannot be removed, with the operation that stands in the way;
        or if the code of a module insists on a size.
    """
    structure = trace(model, example_inputs) if structure is None else structure
    removal = structure.normalise(structure.dead() if remove is None else remove)
    # What it must give is computed before anything is cut. Units that change nothing are held against the network
    # itself: that they do is what was read of it.
    reference = None if remove is None else removal
    expected, inputs = _expected(
        mask_units(model, reference or {}, example_inputs, structure=structure), example_inputs
    )
    target = copied(model) if copy else model
    bake_all(target)
    edits = _Edits()
    try:
        target = _cut(target, structure, removal, edits)
        _fit(target, structure, removal, edits, inputs, expected)
    except BaseException:
        edits.undo()
        raise
    return target


class _Edits:
    """Changes to the dictionaries of modules, which can be undone."""

    def __init__(self) -> None:
        self.done: list[tuple[dict[str, Any], str, Any]] = []

    def put(self, entries: dict[str, Any], key: str, value: Any) -> None:
        self.done.append((entries, key, entries[key]))
        entries[key] = value

    def undo(self, n: int = 0) -> None:
        """Undo all but the first n."""
        while len(self.done) > n:
            entries, key, value = self.done.pop()
            entries[key] = value


def _cut(model: nn.Module, structure: Structure, removal: Removal, edits: _Edits) -> nn.Module:
    """Replace parameters, buffers and the sizes that torch's own layers keep."""
    cuts = structure.cuts(removal)
    for name, module in list(model.named_modules()):
        if is_plain_attention(module) and any(_within(parameter, name) for parameter in cuts):
            if not name:
                model = separate(module, name)
            else:
                parent, _, child = name.rpartition(".")
                edits.put(model.get_submodule(parent)._modules, child, separate(module, name))
    owners: dict[int, list[tuple[dict[str, Any], str]]] = {}
    for module in model.modules():
        for entries in (module._parameters, module._buffers):
            for key, tensor in entries.items():
                owners.setdefault(id(tensor), []).append((entries, key))
    for name, axes in cuts.items():
        old = _tensor(model, name)
        new = old.detach()
        for axis, index in axes.items():
            new = new.index_select(axis, index.to(new.device))
        new = nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new
        for entries, key in owners[id(old)]:
            edits.put(entries, key, new)
    kept_groups = structure.resized(removal)[1]
    for name, module in model.named_modules():
        for key, value in _sizes(module, kept_groups.get(name)).items():
            edits.put(vars(module), key, value)
    return model


def _sizes(module: nn.Module, groups: int | None) -> dict[str, int]:
    """Return the sizes that one of torch's own layers should keep, given its parameters."""
    if isinstance(module, nn.Linear):
        return {"out_features": module.weight.shape[0], "in_features": module.weight.shape[1]}
    if isinstance(module, nn.modules.conv._ConvNd):
        groups = module.groups if groups is None else groups
        sizes = {"groups": groups}
        first, second = module.weight.shape[:2]
        names = ("in_channels", "out_channels") if module.transposed else ("out_channels", "in_channels")
        return {**sizes, names[0]: first, names[1]: second * groups}
    if isinstance(module, nn.modules.batchnorm._NormBase):
        tensor = module.weight if module.running_mean is None else module.running_mean
        return {} if tensor is None else {"num_features": len(tensor)}
    if isinstance(module, nn.GroupNorm):
        groups = module.num_groups if groups is None else groups
        return {"num_groups": groups, "num_channels": module.num_channels // module.num_groups * groups}
    if isinstance(module, nn.Embedding):
        return {"embedding_dim": module.weight.shape[1]}
    if isinstance(module, nn.PReLU):
        return {"num_parameters": len(module.weight)}
    if isinstance(module, PrunedAttention):
        return {"num_heads": len(module.q_proj.weight) // module.head_dim}
    return {}


def _fit(
    model: nn.Module,
    structure: Structure,
    removal: Removal,
    edits: _Edits,
    inputs: tuple[Any, ...],
    expected: list[torch.Tensor],
) -> None:
    """Set numbers that modules keep until the network gives what the masked one does."""
    sizes = structure.resized(removal)[0]
    choices = _choices(model, sizes)
    begun = len(edits.done)
    trouble = ""
    for n in range(min(len(choices), MOST_NUMBERS) + 1):
        for chosen in itertools.combinations(choices, n):
            if len({key[:2] for key in chosen}) < n:
                continue
            for key in chosen:
                for module, value in choices[key]:
                    edits.put(vars(module), key[1], value)
            problem = _differs(model, inputs, expected)
            if not problem and choices:
                problem = _miscounts(model, structure, removal)
            if not problem:
                return
            trouble = trouble or problem
            edits.undo(begun)
    changed = ", ".join(f"{old} to {new} in {name or type(model).__name__!r}" for name, old, new in sizes[:4])
    raise SpecificationError(
        f"{type(model).__name__} does not run without these units: its code insists on a size that goes from "
        f"{changed or 'what it was'}; let it take the size from the tensor or from an int attribute ({trouble})"
    )


def _choices(
    model: nn.Module, sizes: list[tuple[str, int, int]]
) -> dict[tuple[type, str, int], list[tuple[nn.Module, Any]]]:
    """Return the attributes that may hold a size that changes, by class, name and number of the alternative."""
    found: dict[tuple[type, str, int], list[tuple[nn.Module, Any]]] = {}
    modules = dict(model.named_modules())
    for name in dict.fromkeys(name for name, *_ in sizes):
        module = modules[name]
        if isinstance(module, PrunedAttention) or _sizes(module, None):
            continue  # set already
        for attribute, value in vars(module).items():
            options = dict.fromkeys(
                new for path, old, now in sizes if path == name for new in _substitutes(value, old, now)
            )
            for k, new in enumerate(options):
                found.setdefault((type(module), attribute, k), []).append((module, new))
    return found


def _substitutes(value: Any, old: int, new: int) -> Iterator[Any]:
    """Return what a number may become where a size that it is, or that is a multiple of it, changes."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value and old % value == 0 and value * new % old == 0:
            yield value * new // old
    elif isinstance(value, tuple | list) and all(isinstance(v, int) for v in value):
        for i, v in enumerate(value):
            for less in _substitutes(v, old, new):
                yield type(value)((*value[:i], less, *value[i + 1 :]))


def _expected(masked: nn.Module, example_inputs: tuple[Any, ...]) -> tuple[list[torch.Tensor], tuple[Any, ...]]:
    generator = torch.Generator().manual_seed(0)

    def lively(x: torch.Tensor) -> torch.Tensor:
        if x.is_floating_point() and x.numel() > 1 and bool((x == x.flatten()[0]).all()):
            return torch.randn(x.shape, generator=generator).to(x)
        return x

    inputs = pytree.tree_map_only(torch.Tensor, lively, example_inputs)
    return _outputs(masked, inputs), inputs


def _outputs(model: nn.Module, inputs: tuple[Any, ...]) -> list[torch.Tensor]:
    """Return what a network gives, computed in single precision at least: halves differ by more than mistakes do."""
    halves = (torch.float16, torch.bfloat16)
    if any(p.dtype in halves for p in model.parameters()):
        model = copied(model).float()
        inputs = pytree.tree_map_only(torch.Tensor, lambda x: x.float() if x.dtype in halves else x, inputs)
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with evaluating(model), torch.no_grad():
            return [x for x in pytree.tree_leaves(model(*inputs)) if isinstance(x, torch.Tensor)]
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _differs(model: nn.Module, inputs: tuple[Any, ...], expected: list[torch.Tensor]) -> str:
    """Return how the outputs of a cut network differ from those expected, or nothing."""
    try:
        outputs = _outputs(model, inputs)
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError) as error:
        return str(error).splitlines()[0]
    for out, want in zip(outputs, expected, strict=True):
        if out.shape != want.shape:
            return f"an output has shape {tuple(out.shape)}, not {tuple(want.shape)}"
        if out.is_floating_point():
            finite = want[torch.isfinite(want)].abs()
            # Sums are taken in another order: some thousand roundings of the largest value.
            tolerance = 1000 * torch.finfo(want.dtype).eps * (float(finite.max()) if len(finite) else 0.0)
            if not torch.allclose(out, want, rtol=0, atol=tolerance, equal_nan=True):
                return f"outputs differ by {float((out - want).abs().nan_to_num().max()):.2g}"
    return ""


def _miscounts(model: nn.Module, structure: Structure, removal: Removal) -> str:
    """Return which group of a cut network is not of the size that it should be, whatever the outputs are.

    Numbers in the code (of heads, say) may be wrong where it shows in no output of the example: with one token all
    heads attend alike.
    """
    try:
        found = trace(model, structure.example_inputs).groups
    except SpecificationError as error:
        return str(error)
    for name, group in structure.groups.items():
        left = group.size - len(tuple(removal.get(name, ())))
        if left > 1 and name in found and found[name].size != left:
            return f"it has {found[name].size} {group.kind} in group {name!r}, not {left}"
    return ""


def _within(parameter: str, module: str) -> bool:
    return not module or parameter.startswith(f"{module}.")


def _tensor(model: nn.Module, name: str) -> torch.Tensor:
    """Return a parameter or buffer, also one that a joint parameter of ``nn.MultiheadAttention`` holds."""
    path = name.split(".")
    for i in range(len(path)):
        module = model.get_submodule(".".join(path[:i]))
        if is_plain_attention(module):
            return locate(module, ".".join(path[i:]))
    return getattr(model.get_submodule(".".join(path[:-1])), path[-1])
