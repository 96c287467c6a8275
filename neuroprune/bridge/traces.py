"""What the inputs of a layer did: traces that hooks collect while a network runs, forwards and backwards."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from neuroprune.bridge.layers import WeightView
from neuroprune.bridge.masks import original
from neuroprune.core.errors import SpecificationError

FORWARD = ("usage", "eligibility", "calcium", "drive")
BACKWARD = ("retrograde", "gradient", "fisher", "movement")
TRACES = (*FORWARD, *BACKWARD)
"""Traces of a layer that hooks can collect; the latter need a backward pass."""


class LayerTraces:
    """Running means of the activity of one layer, and of the errors that come back to it.

    Parameters
    ----------
    name : str
        Name of the layer, for messages.
    view : WeightView
    device : torch.device
        Where the sums are kept, in float64.
    wanted : collection of str
        Traces to collect, of those in :data:`TRACES`.

    Notes
    -----
    With :math:`x` the layer's input, :math:`y` its output, and :math:`d = \\partial L/\\partial y` of each sample,
    where the loss is a mean over samples along the first axis:

    - ``usage`` :math:`= E|x_i|`;
    - ``eligibility`` :math:`= E|x_i||y_j|`, the coincidence of pre- and postsynaptic activity and so the rate
      analogue of spike-timing credit;
    - ``calcium`` :math:`= E|y_j| / \\max_k E|y_k|`, in [0, 1];
    - ``drive`` :math:`= E x_i^2`;
    - ``retrograde`` :math:`= E \\sum d_j^2`, the error that comes back to the cell, summed over places;
    - ``gradient`` of the strength of each connection, dead ones too;
    - ``fisher``, the mean over samples of the square of that;
    - ``movement`` :math:`= -\\sum_t w\\,\\partial L_t/\\partial w` over all batches that were seen since the start.

    In a convolution :math:`y_j` is filter j at one place, :math:`x_i` what its weight i sees from there, and each
    place counts as a sample in means of activity. A loss that is scaled (mixed precision) scales what comes back. Of a
    layer that is called several times in a pass, each call counts as a pass: its gradient is the mean over calls.
    """

    def __init__(self, name: str, view: WeightView, device: torch.device, wanted: Collection[str]) -> None:
        self.name, self.view, self.device, self.wanted = name, view, device, frozenset(wanted)
        self.movement = self._zeros() if "movement" in self.wanted else None
        self._latest: Mapping[str, torch.Tensor] | None = None
        self._reset()

    def _reset(self) -> None:
        self.places, self.samples = 0, 0
        self.sums: dict[str, torch.Tensor] = {}

    def _zeros(self) -> torch.Tensor:
        return torch.zeros(self.view.n_post, self.view.n_slots, dtype=torch.float64, device=self.device)

    def _add(self, name: str, values: torch.Tensor) -> None:
        values = values.to(self.device).to(torch.float64)
        self.sums[name] = self.sums[name] + values if name in self.sums else values

    def __call__(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        """Add the samples of one forward pass, and those of its backward pass when it comes."""
        # Sums of half-precision activity overflow or lose digits: at least single precision from here on.
        y = _wide(output.detach())
        x = _wide(inputs[0].detach()).to(y.dtype)
        by_unit = self.view.by_unit(y)
        self.places += len(by_unit)
        if "usage" in self.wanted:
            self._add("usage", self.view.usage(x.abs(), y))
        if "drive" in self.wanted:
            self._add("drive", self.view.usage(x.square(), y))
        if "eligibility" in self.wanted:
            self._add("eligibility", self.view.coincidence(x.abs(), y.abs()))
        if "calcium" in self.wanted:
            self._add("calcium", by_unit.abs().sum(0)[:, None])
        if self.wanted & set(BACKWARD) and output.requires_grad:
            output.register_hook(lambda error: self._back(x, error))

    def _back(self, x: torch.Tensor, error: torch.Tensor) -> None:
        n = self.view.n_samples(error)
        self.samples += n
        d = _wide(error.detach()).to(x.dtype) * n
        if "retrograde" in self.wanted:
            self._add("retrograde", self.view.by_unit(d.square()).sum(0)[:, None])
        if "gradient" in self.wanted or self.movement is not None:
            gradient = self.view.coincidence(x, d)
            weight = self.view.matrix(original(self.view.layer).detach()).to(gradient)
            if "gradient" in self.wanted:
                self._add("gradient", torch.where(weight < 0, -gradient, gradient))
            if self.movement is not None:
                self.movement -= (weight * gradient / n).to(self.device).to(torch.float64)
        if "fisher" in self.wanted:
            self._add("fisher", self.view.squared_coincidence(x, d))

    def take(self) -> Mapping[str, torch.Tensor]:
        """Return the means since the last call, or those of the last call if nothing ran since.

        Raises
        ------
        SpecificationError
            If the layer saw no sample, or no error came back to it.
        """
        if self.places == 0:
            if self._latest is None:
                raise SpecificationError(f"layer {self.name!r} saw no input while the activity ran: it must be called")
            return self._latest
        if self.wanted & set(BACKWARD) and self.samples == 0:
            raise SpecificationError(
                f"no error came back to layer {self.name!r}: {', '.join(sorted(self.wanted & set(BACKWARD)))} need a "
                "backward pass"
            )
        of_samples = ("retrograde", "gradient", "fisher")
        found = {k: v / (self.samples if k in of_samples else self.places) for k, v in self.sums.items()}
        if "calcium" in found:
            largest = found["calcium"].max()
            found["calcium"] = found["calcium"] / torch.where(largest > 0, largest, torch.ones_like(largest))
        if self.movement is not None:
            found["movement"] = self.movement.clone()
        self._latest = found
        self._reset()
        return found


def _wide(values: torch.Tensor) -> torch.Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


@contextmanager
def watch(traces: Mapping[nn.Module, LayerTraces]) -> Iterator[None]:
    """Let the traces see every pass of their layers that starts within."""
    handles = [layer.register_forward_hook(trace) for layer, trace in traces.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
