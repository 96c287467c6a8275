"""What a Pruner adds to the training of a ResNet-20: processor time of the same steps, with and without it.

Steps with and without take turns, so that what else runs on the machine slows both.
"""

import platform
import time

import torch
from torch.nn import functional

from neuroprune.bridge import Budget, Pruner
from neuroprune.bridge.zoo import make_model
from neuroprune.core.clock import Clock
from neuroprune.rules import Rule, Trophic, WeakestFirst

STEPS, BATCH, EVERY = 100, 32, 50
"""Training steps, images in each, and training steps for each step of development, of which there are two here."""


class Trained:
    """A network in training, and what its steps have cost."""

    def __init__(self, rule: Rule | None) -> None:
        torch.manual_seed(0)
        self.model = make_model("resnet20", (3, 32, 32), 10)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1, 0.9, weight_decay=5e-4)
        clock = Clock(0.0, STEPS / EVERY, 1.0)
        self.pruner = rule and Pruner(
            self.model, [rule], steps=STEPS, budget=Budget(0.9), clock=clock, optimizer=self.optimizer
        )
        self.seconds = 0.0

    def step(self, x: torch.Tensor, y: torch.Tensor) -> None:
        """Train on a batch."""
        began = time.process_time()
        loss = functional.cross_entropy(self.model(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if self.pruner is not None:
            self.pruner.step()
        self.seconds += time.process_time() - began


def main() -> None:
    """Print the overhead of two rules, of which one needs traces of activity and of errors."""
    torch.set_num_threads(1)
    print(f"{platform.machine()}, torch {torch.__version__}, one thread; resnet20, {BATCH} images of 3 x 32 x 32")
    print(f"{STEPS} training steps, rules act after every {EVERY}, traces are collected in one of 10\n")
    networks = {"dense": Trained(None), "weakest_first": Trained(WeakestFirst()), "trophic": Trained(Trophic())}
    for _ in range(STEPS):
        x, y = torch.randn(BATCH, 3, 32, 32), torch.randint(10, (BATCH,))
        for network in networks.values():
            network.step(x, y)
    dense = networks["dense"].seconds
    for name, network in networks.items():
        print(f"{name:14}{1e3 * network.seconds / STEPS:8.1f} ms a step  {network.seconds / dense - 1:+.1%}")


if __name__ == "__main__":
    main()
