"""Checks that every pruning rule must pass: those of this package, and yours.

>>> from neuroprune.rules import Tag
>>> from neuroprune.testing import check_rule
>>> "keeps budgets" in check_rule(Tag(threshold=0.4)).skipped  # tagging eliminates nothing by itself
True
"""

from neuroprune.testing.checks import CheckReport, check_rule
from neuroprune.testing.examples import example_rule, example_tables, to_library
from neuroprune.testing.substrate import TableSubstrate

__all__ = ["CheckReport", "TableSubstrate", "check_rule", "example_rule", "example_tables", "to_library"]
