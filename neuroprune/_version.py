"""The one place that states the version; the build reads it, and so does ``neuroprune.__version__``."""

__version__ = "0.1.0"
