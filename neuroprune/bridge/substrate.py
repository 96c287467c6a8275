"""A torch network as a substrate: the rules that prune a brain prune its layers."""

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from neuroprune.bridge.layers import WeightView, find_layers, view_of
from neuroprune.bridge.masks import Mask, bake, mask_weight, original
from neuroprune.bridge.traces import TRACES, LayerTraces, watch
from neuroprune.core.clock import Now
from neuroprune.core.errors import RecordError, SpecificationError
from neuroprune.core.randomness import Array
from neuroprune.core.tables import Table, Tables
from neuroprune.development import Activity
from neuroprune.environment.base import to_numpy

Run = Callable[[Now], Mapping[str, float] | None]
Given = Mapping[str, Array] | Sequence[Mapping[str, Array]]

_OPTIMIZER, _RNG, _CUDA_RNG = "optimizer", "torch_rng", "cuda_rng"


class Provider(Protocol):
    """Something that computes traces which no hook can collect."""

    produces: tuple[str, ...]

    def __call__(self, module: nn.Module, layers: Sequence[str]) -> Sequence[Mapping[str, torch.Tensor]]:
        """Return the traces of some layers of a module, which is left as it was."""
        ...


@dataclass
class _Layer:
    """A layer and what its table needs beyond the weight."""

    name: str
    path: str
    view: WeightView
    mask: Mask
    traces: LayerTraces
    ids: torch.Tensor
    source: torch.Tensor
    fixed: dict[str, torch.Tensor]
    dendritic: torch.Tensor

    @property
    def device(self) -> torch.device:
        return self.ids.device

    @property
    def parameter(self) -> nn.Parameter:
        return original(self.view.layer)

    def weight(self) -> torch.Tensor:
        return self.view.matrix(self.parameter.detach()).to(self.device).to(torch.float64)

    def alive(self) -> torch.Tensor:
        # A copy: tables are immutable, the buffer is not.
        return self.view.matrix(self.mask.alive).to(self.device, copy=True)


class TorchSubstrate:
    """The layers of a torch module as a network that develops.

    Parameters
    ----------
    module : nn.Module
        Its dense and convolutional layers get masks (:class:`neuroprune.bridge.masks.Mask`) and are changed in place;
        masks that are there already are taken over, with what is dead.
    activity : function of the moment, optional
        Runs the module, for example trains it for an epoch or shows it calibration data; it may return
        measures such as a loss. Traces are collected while it runs. Without it the module runs elsewhere, within
        :meth:`watch`.
    traces : collection of str
        Traces to collect, of those in :data:`neuroprune.bridge.traces.TRACES`.
    providers : sequence of Provider
        What computes further traces, anew in every step.
    layers : sequence of str, optional
        Names of the layers to prune. Without it all layers are, and they must all be of the kinds that can
        be pruned (:data:`neuroprune.bridge.layers.PRUNABLE`).
    optimizer : torch.optim.Optimizer, optional
        Moments of connections that die or form are set to 0, and its state is part of checkpoints.
    formation : bool
        Whether dead connections are offered for formation.
    spacing : float
        Distance between neighbouring units, and between layers, in metres.
    name : str

    Raises
    ------
    SpecificationError
        If a layer cannot be pruned.

    Notes
    -----
    Each layer is a table: a dense unit or a filter is a row, and its weights are the slots. ``weight`` is ``abs(w)``
    in float64, ``source`` numbers the inputs of all layers (of convolutions: the channels that come in), and the
    ids of the initial connections count row by row through the layers. A dead connection that is offered for
    formation has a new id in every step. Tables lie where the weights do, or on the CPU where the device has no
    float64 (MPS). A layer's units sit on a strip along x, and layers are stacked along z, so that microglia can
    survey them. Besides the traces of activity (:class:`neuroprune.bridge.traces.LayerTraces`), ``inhibition`` is
    1 unless an environment says otherwise, ``dendritic`` starts at 0 and is what rules make of it, and
    ``erdos_renyi`` is the density of a random graph of the layer's extents.

    A checkpoint holds the module, the optimizer and the state of torch's random numbers; learning-rate
    schedulers and data loaders are the activity's own and should follow from the step.
    """

    def __init__(
        self,
        module: nn.Module,
        activity: Run | None = None,
        *,
        traces: Collection[str] = ("usage", "eligibility", "calcium"),
        providers: Sequence[Provider] = (),
        layers: Sequence[str] | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        formation: bool = True,
        spacing: float = 20e-6,
        name: str = "torch",
    ) -> None:
        self.module, self.name, self.spacing = module, name, spacing
        if unknown := sorted(set(traces) - set(TRACES)):
            raise SpecificationError(f"no trace {unknown[0]!r} of a layer: they are {', '.join(TRACES)}")
        self._activity, self._optimizer, self._formation = activity, optimizer, formation
        self._wanted, self._providers = tuple(traces), tuple(providers)
        self._given: Given | None = None
        self._layers: list[_Layer] = []
        self._next_id, first_source = 0, 0
        found = find_layers(module, None if layers is None else tuple(layers))
        for depth, (layer_name, found_layer) in enumerate(found.items()):
            layer = self._layer(layer_name, view_of(found_layer), first_source, depth)
            self._layers.append(layer)
            self._next_id += layer.ids.numel()
            first_source += layer.view.n_sources
        self.at_start = sum(int(layer.mask.alive.sum()) for layer in self._layers)

    def _layer(self, path: str, view: WeightView, first_source: int, depth: int) -> _Layer:
        name = path or "weight"
        device = view.layer.weight.device
        device = torch.device("cpu") if device.type == "mps" else device
        n_post, n_slots = view.n_post, view.n_slots
        along = self.spacing * torch.arange(n_post, dtype=torch.float64, device=device)[:, None]
        return _Layer(
            name=name,
            path=path,
            view=view,
            mask=mask_weight(view.layer),
            traces=LayerTraces(name, view, device, self._wanted),
            ids=self._next_id + torch.arange(n_post * n_slots, device=device).reshape(n_post, n_slots),
            source=first_source + view.source().to(device),
            fixed={
                "x": along,
                "y": torch.zeros_like(along),
                "z": torch.full_like(along, self.spacing * depth),
                "inhibition": torch.ones_like(along),
                "erdos_renyi": torch.full((1, 1), view.erdos_renyi, dtype=torch.float64, device=device),
            },
            dendritic=torch.zeros(n_post, n_slots, dtype=torch.float64, device=device),
        )

    @classmethod
    def from_table(cls, table: Table, traces: Given, *, device: Any = None) -> "TorchSubstrate":
        """Return a Linear layer whose weights are those of a table, with given activity.

        Parameters
        ----------
        table : Table
            Of any library. Its traces, ids and sources are kept exactly.
        traces : mapping of str to array, or a sequence of them
            The activity: one mapping for all steps, or one for each step and for the end of the run.
        device : optional
            Where the layer lives.
        """

        def convert(array: Array, dtype: torch.dtype) -> torch.Tensor:
            return torch.as_tensor(np.array(to_numpy(array)), dtype=dtype, device=device)

        n_post, n_slots = table.shape
        linear = nn.Linear(n_slots, n_post, bias=False, dtype=torch.float64, device=device)
        substrate = cls(linear, lambda now: None, formation=table.candidates is not None, name=table.name)
        (layer,) = substrate._layers
        layer.name = table.name
        layer.ids, layer.source = convert(table.ids, torch.int64), convert(table.source, torch.int64)
        layer.fixed |= {name: convert(trace, torch.float64) for name, trace in table.traces.items()}
        if "dendritic" in layer.fixed:
            layer.dendritic = layer.fixed.pop("dendritic").expand(n_post, n_slots)
        layer.mask.alive.copy_(convert(table.alive, torch.bool))
        with torch.no_grad():
            layer.parameter.copy_(convert(table.weight, torch.float64))
        substrate._given = traces
        substrate._next_id = int(layer.ids.max()) + 1 if layer.ids.numel() else 0
        substrate.at_start = table.n_alive()
        return substrate

    @property
    def provides(self) -> frozenset[str]:
        """Traces that the tables carry once activity was sampled."""
        given = self._given if isinstance(self._given, Mapping | None) else self._given[0]
        active = set(self._wanted if given is None else given).union(*(p.produces for p in self._providers))
        fixed = {name for layer in self._layers for name in layer.fixed}
        return frozenset(active | fixed | {"dendritic"} | ({"candidates"} if self._formation else set()))

    def tables(self) -> Tables:
        """Return one table for each layer, as they are now."""
        tables = []
        for layer in self._layers:
            alive = layer.alive()
            weight = layer.weight().abs()
            tables.append(
                Table(
                    name=layer.name,
                    ids=layer.ids,
                    alive=alive,
                    weight=torch.where(alive, weight, torch.zeros_like(weight)),
                    source=layer.source,
                    traces={**layer.fixed, "dendritic": layer.dendritic},
                    candidates=(~alive & (layer.ids >= 0)) if self._formation else None,
                )
            )
        return Tables(tables)

    def sample(self, now: Now) -> Activity:
        """Run the activity and return the traces that it left, and its measures."""
        if self._formation:
            self._offer()
        if self._given is not None:
            given = self._given if isinstance(self._given, Mapping) else self._given[now.step]
            device = self._layers[0].device
            return Activity([{k: torch.as_tensor(np.array(to_numpy(v)), device=device) for k, v in given.items()}], {})
        measures: Mapping[str, float] | None = None
        if self._activity is not None:
            with self.watch():
                measures = self._activity(now)
        found = [dict(layer.traces.take()) if self._wanted else {} for layer in self._layers]
        for provider in self._providers:
            given = provider(self.module, [layer.path for layer in self._layers])
            for layer, mine, more in zip(self._layers, found, given, strict=True):
                mine |= {name: layer.view.matrix(trace).to(layer.device, torch.float64) for name, trace in more.items()}
        return Activity(found, measures or {})

    def watch(self) -> AbstractContextManager[None]:
        """Collect traces of the passes through the module that start within the context."""
        return watch({layer.view.layer: layer.traces for layer in self._layers})

    def _offer(self) -> None:
        """Give every dead connection an id that was never used."""
        for layer in self._layers:
            dead = ~layer.alive() & (layer.ids >= 0)
            n = int(dead.sum())
            layer.ids = layer.ids.clone()
            layer.ids[dead] = self._next_id + torch.arange(n, device=layer.device)
            self._next_id += n

    @torch.no_grad()
    def apply(self, tables: Tables) -> None:
        """Carry out what was decided: masks, strengths (signs are kept, new connections are positive)."""
        for layer, table in zip(self._layers, tables, strict=True):
            parameter, tensor, alive = layer.parameter, layer.view.tensor, layer.alive()
            born, changed = table.alive & ~alive, table.alive ^ alive
            sign = torch.where(born, torch.ones_like(table.weight), layer.weight())
            new = torch.where(table.alive, torch.copysign(table.weight, sign), torch.zeros_like(sign))
            parameter.copy_(tensor(new).to(parameter.device, parameter.dtype))
            layer.mask.alive.copy_(tensor(table.alive))
            layer.dendritic = torch.where(table.alive, table.full("dendritic"), torch.zeros_like(sign))
            if self._optimizer is not None:
                changed = tensor(changed).to(parameter.device)
                for moment in self._optimizer.state.get(parameter, {}).values():
                    if isinstance(moment, torch.Tensor) and moment.shape == parameter.shape:
                        moment[changed] = 0

    def measures(self, tables: Tables) -> Mapping[str, float]:
        """Return ``living``, ``sparsity`` (of the connections alive at the start) and ``inputs_per_unit``."""
        living, units = tables.n_alive(), sum(t.shape[0] for t in tables)
        return {
            "living_connections": float(living),
            "sparsity": 1.0 - living / self.at_start if self.at_start else 0.0,
            "inputs_per_unit": living / units if units else 0.0,
        }

    def state(self) -> dict[str, np.ndarray]:
        """Return the module, the ids, the optimizer and the state of torch's random numbers."""
        state = {f"module.{k}": _to_array(v) for k, v in self.module.state_dict().items()}
        for k, layer in enumerate(self._layers):
            state[f"ids.{k}"] = _to_array(layer.ids)
            state[f"dendritic.{k}"] = _to_array(layer.dendritic)
            if layer.traces.movement is not None:
                state[f"movement.{k}"] = _to_array(layer.traces.movement)
        state["counters"] = np.asarray([self._next_id, self.at_start])
        state[_RNG] = _to_array(torch.get_rng_state())
        if any(layer.device.type == "cuda" for layer in self._layers):
            state[_CUDA_RNG] = _to_array(torch.cuda.get_rng_state())
        if self._optimizer is not None:
            buffer = io.BytesIO()
            torch.save(self._optimizer.state_dict(), buffer)
            state[_OPTIMIZER] = np.frombuffer(buffer.getvalue(), np.uint8).copy()
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state that :meth:`state` returned.

        Raises
        ------
        RecordError
            If it is the state of another module, or of a run with another choice of optimizer or device.
        """
        ours = self.state()
        for key in sorted({*ours, *state}):
            if key not in ours or key not in state:
                whose = "this run" if key in ours else "the checkpoint"
                raise RecordError(f"the checkpoint is of another network: only {whose} has {key!r}")
            if key != _OPTIMIZER and ours[key].shape != state[key].shape:
                raise RecordError(
                    f"the checkpoint is of another network: {key!r} has shape {state[key].shape} there and "
                    f"{ours[key].shape} here"
                )
        current = self.module.state_dict()
        self.module.load_state_dict({k: _to_tensor(state[f"module.{k}"], v) for k, v in current.items()})
        for k, layer in enumerate(self._layers):
            layer.ids = _to_tensor(state[f"ids.{k}"], layer.ids)
            layer.dendritic = _to_tensor(state[f"dendritic.{k}"], layer.dendritic)
            if layer.traces.movement is not None:
                layer.traces.movement = _to_tensor(state[f"movement.{k}"], layer.traces.movement)
        self._next_id, self.at_start = (int(n) for n in state["counters"])
        torch.set_rng_state(_to_tensor(state[_RNG], torch.get_rng_state()))
        if _CUDA_RNG in state:
            torch.cuda.set_rng_state(_to_tensor(state[_CUDA_RNG], torch.cuda.get_rng_state()))
        if self._optimizer is not None:
            saved = io.BytesIO(np.asarray(state[_OPTIMIZER], np.uint8).tobytes())
            self._optimizer.load_state_dict(torch.load(saved, weights_only=True))

    def provenance(self) -> dict[str, Any]:
        """Return the version of torch, the device, and the module's class and layers."""
        return {
            "engine": "torch",
            "torch": torch.__version__,
            "device": str(self._layers[0].device),
            "module": type(self.module).__name__,
            "layers": [layer.name for layer in self._layers],
        }

    def finalize(self) -> nn.Module:
        """Take the masks off, with zeros where connections are dead, and return the module."""
        if not self._layers:
            raise SpecificationError("the network was finalized already")
        for layer in self._layers:
            bake(layer.view.layer)
        self._layers = []
        return self.module


def _to_array(tensor: torch.Tensor) -> np.ndarray:
    # numpy has no bfloat16: keep its bits
    tensor = tensor.detach().cpu()
    return np.array((tensor.view(torch.int16) if tensor.dtype is torch.bfloat16 else tensor).numpy())


def _to_tensor(array: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(array))
    bits = like.dtype is torch.bfloat16
    return (tensor.view(torch.bfloat16) if bits else tensor.to(like.dtype)).to(like.device)
