"""Files of networks whose layers have become smaller: a plain state dict, and the shapes to load it into."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neuroprune.bridge.masks import bake_all, copied
from neuroprune.bridge.zoo import MODELS, Shape, make_model
from neuroprune.core.errors import SpecificationError

FORMAT = "neuroprune-network/1"
_KEY = "neuroprune"


def save_network(
    model: nn.Module, original: nn.Module, path: str | Path, *, name: str, shape: Shape, n_classes: int
) -> None:
    """Write a network that was slimmed or factorised to a safetensors file.

    Parameters
    ----------
    model : nn.Module
    original : nn.Module
        The network that it was made from, or one of the same shapes.
    path : path
        Folders are made as needed.
    name, shape, n_classes
        What :func:`~neuroprune.bridge.zoo.make_model` makes the original from.

    Raises
    ------
    SpecificationError
        If modules differ otherwise than in sizes, or in a Linear that became two.

    Notes
    -----
    The tensors are the plain state dict of `model`, which any reader of safetensors reads. What a state dict cannot
    say (a file of one layer less wide has no channel counts, and no number of groups or heads) is JSON in the file's
    metadata under ``neuroprune``: ``format``, ``model``, ``shape``, ``n_classes``, ``ranks`` (layers that became two)
    and ``attributes`` (whole numbers of modules that differ from the original's).
    """
    from safetensors.torch import save_file

    description = {
        "format": FORMAT,
        "model": name,
        "shape": list(shape),
        "n_classes": n_classes,
        **_differences(_plain(original), _plain(model)),
    }
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Cloned, because safetensors refuses tensors that share memory, as tied weights do.
    state = {key: value.detach().cpu().contiguous().clone() for key, value in _plain(model).state_dict().items()}
    save_file(state, path, metadata={_KEY: json.dumps(description)})


def load_network(path: str | Path, model: nn.Module | None = None) -> nn.Module:
    """Return the network in a file of :func:`save_network`, on the CPU.

    Parameters
    ----------
    path : path
    model : nn.Module, optional
        The original, whose layers are replaced by those of the file. It is needed if it is no network of the zoo: a
        file is not trusted to say what code to import.

    Raises
    ------
    SpecificationError
        If it is no such file, or it does not fit the original.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise SpecificationError(f"no network {str(path)!r}")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
        description = json.loads(metadata[_KEY])
        if description["format"] != FORMAT:
            raise SpecificationError(f"{str(path)!r} has format {description['format']!r}, not {FORMAT!r}")
        name, ranks, attributes = description["model"], description["ranks"], description["attributes"]
        if model is None and name not in MODELS:
            raise SpecificationError(f"{str(path)!r} is of the network {name!r}: make it, and give it as model")
        if model is None:
            shape, n_classes = tuple(description["shape"]), description["n_classes"]
            if len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in (*shape, n_classes)):
                raise TypeError(f"images of shape {shape} in {n_classes!r} classes")
            model = make_model(name, shape, n_classes)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise SpecificationError(f"{str(path)!r} is no network that neuroprune saved ({error})") from None
    try:
        _reshape(model, ranks, attributes, state)
        dtypes = {value.dtype for value in state.values() if value.is_floating_point()}
        if len(dtypes) > 1:
            raise TypeError(f"its tensors are of several types: {', '.join(sorted(map(str, dtypes)))}")
        model.to(*dtypes)
        model.load_state_dict(state)
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise SpecificationError(
            f"{str(path)!r} does not fit {type(model).__name__}: {str(error).splitlines()[0]}"
        ) from None
    return model


def _plain(model: nn.Module) -> nn.Module:
    """Return a copy without parametrizations, whose classes are those of torch."""
    plain = copied(model)
    bake_all(plain)
    return plain


def _check_outside(original: nn.Module, model: nn.Module) -> None:
    """Raise if a buffer that a state dict leaves out is not that of the original."""
    kept, before = model.state_dict(), dict(original.named_buffers())
    for name, buffer in model.named_buffers():
        old = before.get(name)
        if name not in kept and (old is None or old.shape != buffer.shape or not torch.equal(old.to(buffer), buffer)):
            raise SpecificationError(
                f"buffer {name!r} is no part of the state dict (persistent=False) and was cut: it cannot be saved"
            )


def _differences(original: nn.Module, model: nn.Module) -> dict[str, Any]:
    _check_outside(original, model)
    before, after = dict(original.named_modules()), dict(model.named_modules())
    ranks = {
        name: after[name][0].out_features  # type: ignore[index]
        for name, module in before.items()
        if type(module) is nn.Linear and _is_pair(after.get(name))
    }
    attributes = {}
    for name in after:
        if name.rpartition(".")[0] in ranks:
            continue
        if name not in before or (name not in ranks and type(before[name]) is not type(after[name])):
            raise SpecificationError(
                f"module {name!r} ({type(after[name]).__name__}) is not in the original: it cannot be saved by shapes"
            )
        old, new = _whole_numbers(before[name]), _whole_numbers(after[name])
        changed = {key: value for key, value in new.items() if key in old and old[key] != value}
        if changed and name not in ranks:
            attributes[name] = changed
    if gone := [name for name in before if name not in after]:
        raise SpecificationError(f"module {gone[0]!r} of the original is gone: it cannot be saved by shapes")
    return {"ranks": ranks, "attributes": attributes}


def _is_pair(module: nn.Module | None) -> bool:
    return isinstance(module, nn.Sequential) and [type(m) for m in module] == [nn.Linear, nn.Linear]


def _whole_numbers(module: nn.Module) -> dict[str, Any]:
    """Return the attributes of a module that are whole numbers, or tuples of them."""
    return {key: value for key, value in vars(module).items() if not key.startswith("_") and _is_whole(value)}


def _is_whole(value: Any) -> bool:
    if isinstance(value, tuple | list):
        return bool(value) and all(map(_is_whole, value))
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _reshape(
    model: nn.Module,
    ranks: Mapping[str, int],
    attributes: Mapping[str, Mapping[str, Any]],
    state: Mapping[str, torch.Tensor],
) -> None:
    """Give the modules of a network the shapes of a state dict."""
    for name in ranks:
        layer = model.get_submodule(name)
        if type(layer) is not nn.Linear:
            raise SpecificationError(f"layer {name!r} is {type(layer).__name__}, where the file has two Linear layers")
        (rank, n_in), n_out = state[f"{name}.0.weight"].shape, len(state[f"{name}.1.weight"])
        pair = nn.Sequential(nn.Linear(n_in, rank, bias=False), nn.Linear(rank, n_out, bias=layer.bias is not None))
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, pair.to(layer.weight).train(layer.training))
    for name, values in attributes.items():
        module = model.get_submodule(name)
        known = _whole_numbers(module)
        for key, value in values.items():
            if key not in known or not _is_whole(value):
                raise SpecificationError(f"module {name!r} has no whole number {key!r} to set to {value!r}")
            setattr(module, key, tuple(value) if isinstance(value, list) else value)
    resized: dict[int, Any] = {}
    for name, module in model.named_modules():
        for kind in (module._parameters, module._buffers):
            for key, old in kind.items():
                new = state.get(f"{name}.{key}" if name else key)
                if old is None or new is None or old.shape == new.shape:
                    continue
                if id(old) not in resized:
                    empty = torch.empty(new.shape, dtype=old.dtype, device=old.device)
                    is_parameter = isinstance(old, nn.Parameter)
                    resized[id(old)] = (old, nn.Parameter(empty, old.requires_grad) if is_parameter else empty)
                kind[key] = resized[id(old)][1]
