"""The version is stated once; what has to repeat it says the same."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import neuroprune

REPOSITORY = Path(__file__).resolve().parents[2]


def test_installed_version() -> None:
    assert version("neuroprune") == neuroprune.__version__


def test_citation_and_changelog_name_the_version() -> None:
    citation = (REPOSITORY / "CITATION.cff").read_text()
    assert re.findall(r"^version: (.*)$", citation, re.MULTILINE) == [neuroprune.__version__]
    releases = re.findall(r"^## (\d\S*)", (REPOSITORY / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert releases[0] == neuroprune.__version__
