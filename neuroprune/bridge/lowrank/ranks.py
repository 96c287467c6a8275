"""At which rank to cut off: by the energy that is kept, or by a budget over several layers."""

import math
from collections.abc import Mapping

import numpy as np

from neuroprune.bridge.lowrank.spectrum import Spectrum
from neuroprune.core.errors import BudgetError, SpecificationError


def largest_saving_rank(m: int, d: int) -> int:
    """Return the largest rank at which two factors have fewer entries than a matrix of shape (m, d).

    Factors of rank r have ``r (m + d)`` entries. It is 0 where no rank saves any.

    Examples
    --------
    >>> largest_saving_rank(100, 300), largest_saving_rank(2, 2), largest_saving_rank(1, 50)
    (74, 0, 0)
    """
    return (m * d - 1) // (m + d)


def energy_rank(spectrum: Spectrum, share: float) -> int:
    """Return the smallest rank, of 1 or more, that keeps a share of the energy.

    Raises
    ------
    SpecificationError
        If the share is not above 0 and at most 1.
    """
    if not 0 < share <= 1:
        raise SpecificationError(f"energy is {share}, and must be a share above 0 and at most 1")
    kept = spectrum.energies.cumsum(0)
    # The last sum may be a rounding below itself times 1.
    return 1 + int((kept[:-1] < share * kept[-1]).sum())


def choose_ranks(
    spectra: Mapping[str, Spectrum], shapes: Mapping[str, tuple[int, int]], rows: Mapping[str, int], budget: int
) -> dict[str, int | None]:
    """Return the ranks that lose least within a budget, None for a layer that is left whole.

    Parameters
    ----------
    spectra : mapping of str to Spectrum
    shapes : mapping of str to (m, d)
    rows : mapping of str to int
        How often a layer is paid for: 1 to count weights, the inputs it sees in a pass to count operations.
    budget : int
        Of all these layers; rank r costs ``rows * r * (m + d)`` and a whole layer ``rows * m * d``.

    Raises
    ------
    BudgetError
        If rank 1 everywhere costs more.

    Notes
    -----
    What is lost is the sum over layers of :attr:`Spectrum.errors`, each a share of that layer's output. One option is
    taken for each layer: a multiple-choice knapsack, solved exactly. Errors fall ever more slowly with the rank while
    each rank of a layer costs the same, so that among ranks alone taking the best gain per cost first would be the
    optimum up to its last step (Kellerer, Pferschy & Pisinger 2004, Knapsack Problems, 11.2); a layer left whole is a
    jump at the end of that curve, and breaks this.
    """
    from neuroprune.solvers.knapsack import choose_widths  # it compiles

    options: dict[str, list[int | None]] = {}
    values, costs = [], []
    for name, spectrum in spectra.items():
        m, d = shapes[name]
        ranks = range(1, min(largest_saving_rank(m, d), len(spectrum.energies)) + 1)
        options[name] = [*ranks, None]
        # Errors on data may rise by roundings where there is nothing left to explain.
        kept = 1 - np.minimum.accumulate(spectrum.errors.numpy())
        values.append(np.array([*(kept[r] for r in ranks), 1.0]))
        costs.append(np.array([*(rows[name] * r * (m + d) for r in ranks), rows[name] * m * d]))
    least = sum(int(c[0]) for c in costs)
    if least > budget:
        raise BudgetError(
            f"a budget of {budget:,} for layers {', '.join(map(repr, spectra))} cannot be met: "
            f"with rank 1 everywhere they cost {least:,}"
        )
    best = choose_widths(values, costs, budget)
    return {name: options[name][int(k)] for name, k in zip(spectra, best.option, strict=True)}


def share_of(cost: int, share: float) -> int:
    """Return the budget that is a share of a cost.

    Raises
    ------
    SpecificationError
        If it is no share above 0 and at most 1.
    """
    if not (math.isfinite(share) and 0 < share <= 1):
        raise SpecificationError(f"a budget is a share above 0 and at most 1 of what there is, not {share}")
    return math.floor(share * cost)
