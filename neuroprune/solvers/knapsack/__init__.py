"""What to keep within a budget: the 0/1 knapsack, the multiple-choice knapsack, and what is greedily lost.

Values are real and costs are whole numbers. Every answer comes with a bound on what could have been had. The first
question takes a moment: kernels are compiled once for a machine, and kept on disk.
"""

from neuroprune.solvers.knapsack.items import Comparison, Items
from neuroprune.solvers.knapsack.multiple import Widths, choose_widths
from neuroprune.solvers.knapsack.single import METHODS, Selection, knapsack

__all__ = ["METHODS", "Comparison", "Items", "Selection", "Widths", "choose_widths", "knapsack"]
