"""Where models are: a path, the copies inside the package, or the repository of an editable install."""

from pathlib import Path

from neuroprune.core.errors import SpecificationError

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "_models", _PACKAGE.parent / "models")


def list_models() -> dict[str, Path]:
    """Return the models that come with neuroprune: name, and path of ``model.toml``."""
    found: dict[str, Path] = {}
    for folder in _FOLDERS:
        for path in sorted(folder.glob("*/model.toml")):
            found.setdefault(path.parent.name, path)
    return found


def find_model(name_or_path: str | Path) -> Path:
    """Return the TOML file that a name or a path means.

    Parameters
    ----------
    name_or_path : str or Path
        Name of a model that comes with neuroprune, or the path of a ``.toml`` file.

    Raises
    ------
    SpecificationError
        If there is no such file or model.
    """
    text, models = str(name_or_path), list_models()
    if text in models:
        return models[text]
    path = Path(name_or_path)
    if path.is_file():
        return path
    if path.suffix == ".toml":
        raise SpecificationError(f"no file {path}")
    known = ", ".join(models) or "none"
    raise SpecificationError(f"unknown model {text!r}: it must be one of {known}, or the path of a .toml file")


def experiment_name(path: Path) -> str:
    """Return what an experiment is called: its file, or its folder when the file is ``model.toml``."""
    return path.resolve().parent.name if path.name == "model.toml" else path.stem
