"""Rules of artificial networks that need gradients: what the loss, or a flow, says a connection is worth.

``gradient`` is the derivative of the mean loss with respect to a connection's strength, so that its product with
``weight`` is that of the derivative with respect to a signed weight and that weight.
"""

from typing import ClassVar

from neuroprune.core.randomness import Array, Draws
from neuroprune.core.tables import Table, namespace
from neuroprune.rules.ranking import Ranking


class Snip(Ranking):
    """Eliminate the connections whose removal changes the loss least, to first order.

    Notes
    -----
    Importance :math:`|w\\,\\partial L/\\partial w|` (Lee, Ajanthan & Torr 2019, arXiv:1810.02340), there before
    training and at once.
    """

    key: ClassVar[str] = "snip"
    requires: ClassVar[tuple[str, ...]] = ("gradient",)

    def importance(self, table: Table, draws: Draws) -> Array:
        return namespace(table.ids).abs(table.weight * table.full("gradient"))


class Grasp(Ranking):
    """Eliminate the connections whose removal hurts the flow of gradients least.

    Notes
    -----
    Importance :math:`w\\,(H g)` with the gradient :math:`g` and the Hessian :math:`H` of the loss (Wang, Zhang & Grosse
    2020, arXiv:2002.07376), there before training and at once.
    """

    key: ClassVar[str] = "grasp"
    requires: ClassVar[tuple[str, ...]] = ("hessian_gradient",)

    def importance(self, table: Table, draws: Draws) -> Array:
        return table.weight * table.full("hessian_gradient")


class SynFlow(Ranking):
    """Eliminate the connections through which least flows from inputs to outputs.

    Notes
    -----
    Importance :math:`|w|\\,\\partial R/\\partial|w|`, where :math:`R` is the sum of the outputs of the network with all
    parameters replaced by their magnitudes, for an input of ones (Tanaka et al. 2020, arXiv:2006.05467), there before
    training and in 100 rounds of a geometric course.
    """

    key: ClassVar[str] = "synflow"
    requires: ClassVar[tuple[str, ...]] = ("flow",)

    def importance(self, table: Table, draws: Draws) -> Array:
        return table.weight * table.full("flow")


class Fisher(Ranking):
    """Eliminate the connections whose removal costs least to second order: optimal brain damage.

    Notes
    -----
    Importance :math:`w^2 F / 2` with :math:`F` the mean over samples of the squared gradient, the empirical Fisher
    information, in place of the Hessian's diagonal (LeCun, Denker & Solla 1990; Theis et al. 2018, arXiv:1801.05787).
    """

    key: ClassVar[str] = "fisher"
    requires: ClassVar[tuple[str, ...]] = ("fisher",)

    def importance(self, table: Table, draws: Draws) -> Array:
        return 0.5 * table.weight**2 * table.full("fisher")


class Movement(Ranking):
    """Eliminate the connections that training moves towards 0.

    Notes
    -----
    Importance :math:`-\\sum_t w_t\\,\\partial L_t/\\partial w` over the training steps in which traces were collected
    so far (Sanh, Wolf & Rush 2020, arXiv:2005.07683, sum over all of them).
    """

    key: ClassVar[str] = "movement"
    requires: ClassVar[tuple[str, ...]] = ("movement",)

    def importance(self, table: Table, draws: Draws) -> Array:
        return table.full("movement")
