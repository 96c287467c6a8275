"""Exceptions that neuroprune raises on purpose.

Every message names the thing, the value it had, and what would have been valid. The command line prints the
message alone and exits with 1 (or 2 when the request itself was malformed); anything else is a bug and keeps
its traceback.
"""


class NeuropruneError(Exception):
    """Base of every error that neuroprune raises on purpose."""


class SpecificationError(NeuropruneError, ValueError):
    """An experiment, parameter, rule, condition or quantity that does not make sense as written."""


class BudgetError(NeuropruneError):
    """A budget that cannot be met by the inputs that are left."""


class RecordError(NeuropruneError):
    """A record that cannot be written, read or resumed."""


class EngineError(NeuropruneError):
    """A simulator that could not be built or did not finish its work."""


class GraphError(NeuropruneError, ValueError):
    """A graph, or a question about one, that does not make sense."""
