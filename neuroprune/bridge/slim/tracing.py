"""Reading a network: its operations from torch.export, and the rule of each."""

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.fx import Node
from torch.utils import _pytree as pytree

from neuroprune.bridge.masks import bake_all, copied
from neuroprune.bridge.slim.attention import is_plain_attention, refuse_shared, separate
from neuroprune.bridge.slim.labels import Value
from neuroprune.bridge.slim.layers import NotFollowedError
from neuroprune.bridge.slim.reading import Reading, Weight, module_of, operation_of
from neuroprune.bridge.slim.rules import rule_of
from neuroprune.bridge.slim.structure import Group, Structure
from neuroprune.core.errors import SpecificationError


def groups(model: nn.Module, example_inputs: tuple[Any, ...]) -> list[Group]:
    """Return the units of a network that can be removed, in groups; parameters and errors as in :func:`trace`."""
    return list(trace(model, example_inputs).groups.values())


def trace(model: nn.Module, example_inputs: tuple[Any, ...]) -> Structure:
    """Read which units of a network can only be removed together.

    Parameters
    ----------
    model : nn.Module
        It is not changed.
    example_inputs : tuple
        What it is called with; shapes and control flow are those of this call. A batch of two or more avoids that
        axes of length 1 are taken for ones to broadcast.

    Returns
    -------
    Structure

    Notes
    -----
    ``torch.export`` gives the operations. Each position of each tensor has a label; an operation joins the labels
    of positions that must stay or go together, those of inputs and outputs of the network are fixed, and so is
    what goes through an operation that is not known here. The classes that are left are the units.

    Raises
    ------
    SpecificationError
        If the network cannot be copied or exported with these inputs, or attention shares weights.
    """
    if any(x.numel() == 0 for x in pytree.tree_leaves(example_inputs) if isinstance(x, torch.Tensor)):
        raise SpecificationError("the example inputs are empty: give a batch of two samples or more")
    model = prepare(copied(model)).eval()
    return Structure(model, example_inputs, _read(model, example_inputs))


def prepare(model: nn.Module) -> nn.Module:
    """Bake parametrizations (masks) into weights and take ``nn.MultiheadAttention`` apart, in place."""
    bake_all(model)
    refuse_shared(model)
    for name, module in list(model.named_modules()):
        if is_plain_attention(module):
            if not name:
                return separate(module, name)
            model.set_submodule(name, separate(module, name))
    return model


def export(model: nn.Module, example_inputs: tuple[Any, ...]) -> torch.export.ExportedProgram:
    """Return the operations of a network.

    Raises
    ------
    SpecificationError
        If ``torch.export`` cannot follow it.
    """
    fused = torch.backends.mha.get_fastpath_enabled()
    # The fused kernel of transformer layers is one operation that hides attention.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # recurrent layers are told that their weights should be buffers
            return torch.export.export(model, example_inputs, strict=False)
    except Exception as error:  # torch.export raises whatever the network or its own passes raise
        first = str(error).strip().splitlines()
        raise SpecificationError(
            f"{type(model).__name__} cannot be read by torch.export: {first[0] if first else type(error).__name__}"
        ) from error
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _read(model: nn.Module, example_inputs: tuple[Any, ...]) -> Reading:
    program = export(model, example_inputs)
    signature = program.graph_signature
    tensors = dict((*model.named_parameters(), *model.named_buffers()))
    # A shared parameter has several names, of which the first stands for all.
    first = {id(t): name for name, t in tensors.items()}
    every = dict((*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)))
    inputs = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names = {placeholder: first[id(every[name])] for placeholder, name in inputs.items()}
    graph = program.graph
    graph.eliminate_dead_code()
    reading = Reading()
    values: dict[Node, Any] = {}
    for node in graph.nodes:
        path, kind = module_of(node)
        place = f"module {path!r} ({kind})" if path else f"the network itself ({type(model).__name__})"
        reading.partition.where = f"{operation_of(node)} in {place}"
        if node.op == "placeholder":
            if node.name in names:
                tensor = tensors[names[node.name]].detach().cpu()
                values[node] = Weight(names[node.name], tensor, tuple(range(tensor.ndim)))
            else:
                values[node] = _constants(reading, node)
        elif node.op == "get_attr":
            values[node] = _constants(reading, node)
        elif node.op == "output":
            reading.partition.where = "the output of the network"
            for leaf in _leaves(node.args, values):
                reading.partition.fix(reading.value(leaf).labels)
        else:
            values[node] = _apply(reading, node, values)
    reading.make_rectangular()
    return reading


def _apply(reading: Reading, node: Node, values: dict[Node, Any]) -> Any:
    arguments, keywords = _bind(node)
    arguments, keywords = pytree.tree_map_only(Node, values.__getitem__, (arguments, keywords))
    leaves = [x for x in pytree.tree_leaves((arguments, keywords)) if isinstance(x, Value | Weight)]
    if "val" not in node.meta:
        return None
    if all(isinstance(x, Value) and not x.free and not reading.partition.roots(x.labels).any() for x in leaves):
        return _constants(reading, node)
    try:
        result = rule_of(node)(reading, node, *arguments, **keywords)
    except NotFollowedError:
        for x in leaves:
            reading.partition.fix(reading.value(x).labels)
        return _constants(reading, node)
    if operation_of(node).endswith("_") and not operation_of(node).endswith("__") and isinstance(node.args[0], Node):
        values[node.args[0]] = result
    return result


def _bind(node: Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the arguments of an operation, by position where its schema has them so."""
    arguments, keywords = list(node.args), dict(node.kwargs)
    schema = getattr(node.target, "_schema", None)
    for argument in schema.arguments[len(arguments) :] if schema is not None else ():
        if argument.kwarg_only or argument.name not in keywords:
            break
        arguments.append(keywords.pop(argument.name))
    return tuple(arguments), keywords


def _constants(reading: Reading, node: Node) -> Any:
    """Return what an operation gives as tensors that cannot be cut."""
    return pytree.tree_map(
        lambda v: reading.constant(tuple(v.shape)) if isinstance(v, torch.Tensor) else v, node.meta.get("val")
    )


def _leaves(arguments: Any, values: Mapping[Node, Any]) -> list[Value | Weight]:
    nodes = [n for n in pytree.tree_leaves(arguments) if isinstance(n, Node)]
    return [x for n in nodes for x in pytree.tree_leaves(values[n]) if isinstance(x, Value | Weight)]
