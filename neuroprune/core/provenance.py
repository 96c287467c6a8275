"""What a result depends on besides its configuration: the code that made it."""

import hashlib
from functools import cache
from pathlib import Path

from neuroprune._version import __version__

_PACKAGE = Path(__file__).resolve().parents[1]
_DECIDING = ("core", "environment", "rules", "spiking", "datasets")
"""Parts of the package that a simulated result depends on, besides the development loop."""


@cache
def code_version(*parts: str) -> str:
    """Return the version of neuroprune and a fingerprint of the sources that decide what a run does.

    Parameters
    ----------
    *parts : str
        Folders of the package that matter; those that a simulation depends on without any.

    Examples
    --------
    >>> code_version().startswith(__version__)
    True
    """
    files = [_PACKAGE / "development.py", *(f for part in parts or _DECIDING for f in (_PACKAGE / part).rglob("*.py"))]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.relative_to(_PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
