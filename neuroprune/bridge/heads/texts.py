"""Texts to run a sentence encoder with: those of a file, and some that every installation has."""

import hashlib
import importlib
import inspect
import re
from pathlib import Path

from neuroprune.core.errors import SpecificationError

MODULES = (
    "numpy", "numpy.fft", "numpy.linalg", "numpy.random", "scipy.integrate", "scipy.interpolate", "scipy.linalg",
    "scipy.ndimage", "scipy.optimize", "scipy.signal", "scipy.sparse", "scipy.spatial", "scipy.special", "scipy.stats",
)  # fmt: skip
_SECTION = re.compile(r"\n\s*(?:Parameters|Returns|Attributes|Methods|Notes|See Also|Examples|\.\. )")
_SIGNATURE = re.compile(r"^[\w.]+\(")
_WORDS = 6
"""A paragraph of fewer says too little."""


def read_texts(path: Path) -> list[str]:
    """Return the lines of a file that are not empty.

    Raises
    ------
    SpecificationError
        If there is no such file, it is no UTF-8 text, or has no text.
    """
    if not path.is_file():
        raise SpecificationError(f"no file {str(path)!r} of texts, one on each line")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise SpecificationError(f"{str(path)!r} is no text in UTF-8: {error}") from None
    texts = [line.strip() for line in lines if line.strip()]
    if not texts:
        raise SpecificationError(f"{str(path)!r} has no texts, one on each line")
    return texts


def docstrings() -> list[str]:
    """Return what the functions and classes of numpy and scipy say of themselves before their parameters.

    Returns
    -------
    list of str
        Some 1,500, each once, in an order that is random (by their SHA-256) but the same every time. With other
        versions of numpy and scipy some differ.
    """
    found = set()
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute in dir(module):
            member = getattr(module, attribute)
            text = None if attribute.startswith("_") or inspect.ismodule(member) else inspect.getdoc(member)
            paragraphs = [" ".join(p.split()) for p in _SECTION.split(text or "")[0].split("\n\n")]
            said = [p for p in paragraphs if len(p.split()) >= _WORDS and not _SIGNATURE.match(p)]
            if said:
                found.add(" ".join(said))
    return sorted(found, key=lambda t: hashlib.sha256(t.encode()).hexdigest())
