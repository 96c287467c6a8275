"""The command line: each command is a few lines over the Python API."""

from neuroprune.cli.app import app, main

__all__ = ["app", "main"]
