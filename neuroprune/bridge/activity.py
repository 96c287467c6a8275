"""What the inputs of a layer did: traces that forward hooks collect while a network runs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

from neuroprune.core.errors import SpecificationError


class ActivityTraces:
    """Running means of the activity of one Linear layer.

    Parameters
    ----------
    name : str
        Name of the layer, for messages.
    layer : nn.Linear
    device : torch.device
        Where the sums are kept, in float64.

    Notes
    -----
    With :math:`x` the layer's input and :math:`y` its output, over all samples:

    - ``usage`` :math:`= E|x_i|`;
    - ``eligibility`` :math:`= E|x_i||y_j|`, the coincidence of pre- and postsynaptic activity and so the rate
      analogue of spike-timing credit;
    - ``calcium`` :math:`= E|y_j| / \\max_k E|y_k|`, in [0, 1].
    """

    names = ("usage", "eligibility", "calcium")

    def __init__(self, name: str, layer: nn.Linear, device: torch.device) -> None:
        self.name = name
        self.samples = 0
        self.pre = torch.zeros(1, layer.in_features, dtype=torch.float64, device=device)
        self.post = torch.zeros(layer.out_features, 1, dtype=torch.float64, device=device)
        self.both = torch.zeros(layer.out_features, layer.in_features, dtype=torch.float64, device=device)

    def __call__(self, layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        """Add the samples of one forward pass."""
        # Sums of half-precision activity overflow or lose digits: at least single precision from here on.
        x = _wide(inputs[0].detach()).abs().reshape(-1, self.pre.shape[1])
        y = _wide(output.detach()).abs().reshape(-1, self.post.shape[0])
        self.samples += len(x)
        self.pre += x.sum(0, keepdim=True).to(self.pre.device).to(torch.float64)
        self.post += y.sum(0)[:, None].to(self.post.device).to(torch.float64)
        self.both += (y.T @ x.to(y.dtype)).to(self.both.device).to(torch.float64)

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
def watch(traces: Mapping[nn.Linear, ActivityTraces]) -> Iterator[None]:
    """Let the traces see every forward pass of their layers."""
    handles = [layer.register_forward_hook(trace) for layer, trace in traces.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
