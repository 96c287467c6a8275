"""What the inputs of a layer did: traces that forward hooks collect while a network runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from neuroprune.bridge.layers import WeightView
from neuroprune.core.errors import SpecificationError


class ActivityTraces:
    """Running means of the activity of one layer.

    Parameters
    ----------
    name : str
        Name of the layer, for messages.
    view : WeightView
    device : torch.device
        Where the sums are kept, in float64.

    Notes
    -----
    With :math:`x` the layer's input and :math:`y` its output, over all samples:

    - ``usage`` :math:`= E|x_i|`;
    - ``eligibility`` :math:`= E|x_i||y_j|`, the coincidence of pre- and postsynaptic activity and so the rate
      analogue of spike-timing credit;
    - ``calcium`` :math:`= E|y_j| / \\max_k E|y_k|`, in [0, 1].

    In a convolution :math:`y_j` is filter j at one place, :math:`x_i` what its weight i sees from there, and each
    place is a sample.
    """

    names = ("usage", "eligibility", "calcium")

    def __init__(self, name: str, view: WeightView, device: torch.device) -> None:
        self.name, self.view = name, view
        self.samples = 0
        self.pre = torch.zeros((), dtype=torch.float64, device=device)
        self.post = torch.zeros(view.n_post, 1, dtype=torch.float64, device=device)
        self.both = torch.zeros(view.n_post, view.n_slots, dtype=torch.float64, device=device)

    def __call__(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        """Add the samples of one forward pass."""
        # Sums of half-precision activity overflow or lose digits: at least single precision from here on.
        y = _wide(output.detach()).abs()
        x = _wide(inputs[0].detach()).abs().to(y.dtype)
        by_unit, device = self.view.by_unit(y), self.both.device
        self.samples += len(by_unit)
        self.pre = self.pre + self.view.usage(x, y).to(device).to(torch.float64)
        self.post += by_unit.sum(0)[:, None].to(device).to(torch.float64)
        self.both += self.view.coincidence(x, y).to(device).to(torch.float64)

    def traces(self) -> Mapping[str, torch.Tensor]:
        """Return the means.

        Raises
        ------
        SpecificationError
            If the layer saw no sample.
        """
        if self.samples == 0:
            raise SpecificationError(f"layer {self.name!r} saw no input while the activity ran: it must be called")
        largest = self.post.max()
        return {
            "usage": self.pre / self.samples,
            "eligibility": self.both / self.samples,
            "calcium": self.post / torch.where(largest > 0, largest, torch.ones_like(largest)),
        }


def _wide(values: torch.Tensor) -> torch.Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


@contextmanager
def watch(traces: Mapping[nn.Module, ActivityTraces]) -> Iterator[None]:
    """Let the traces see every forward pass of their layers."""
    handles = [layer.register_forward_hook(trace) for layer, trace in traces.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
