"""Images to train on: an embedded set, published ones with a checksum, and folders of IDX files."""

import gzip
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from neuroprune.core.errors import SpecificationError


@dataclass(frozen=True)
class Split:
    """Images and their classes.

    Parameters
    ----------
    x : float32 tensor, shape (n, channels, height, width)
    y : int64 tensor, shape (n,)
    """

    x: torch.Tensor
    y: torch.Tensor

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: str | torch.device) -> "Split":
        """Return it on a device."""
        return Split(self.x.to(device), self.y.to(device))

    def take(self, index: torch.Tensor) -> "Split":
        """Return some of its images."""
        return Split(self.x[index], self.y[index])


@dataclass(frozen=True)
class Images:
    """Images to train on, to choose on, and to report on.

    Parameters
    ----------
    name : str
    train, validation, test : Split
        Whatever is chosen (a learning rate, a schedule) is chosen on `validation`; `test` is for the report.
    n_classes : int
    """

    name: str
    train: Split
    validation: Split
    test: Split
    n_classes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        channels, height, width = self.train.x.shape[1:]
        return channels, height, width

    def to(self, device: str | torch.device) -> "Images":
        """Return them on a device."""
        return Images(
            self.name, self.train.to(device), self.validation.to(device), self.test.to(device), self.n_classes
        )


@dataclass(frozen=True)
class _Published:
    """Where a published set lies, and the MD5 of its files."""

    urls: tuple[str, ...]
    md5: Mapping[str, str]
    reference: str


_IDX = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))

PUBLISHED: Mapping[str, _Published] = {
    "mnist": _Published(
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        {
            "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
            "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
            "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
            "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
        },
        "LeCun, Bottou, Bengio & Haffner 1998, Proc. IEEE 86:2278",
    ),
    "fashion-mnist": _Published(
        (
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        ),
        {
            "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
        "Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747",
    ),
    "cifar10": _Published(
        ("https://www.cs.toronto.edu/~kriz/",),
        {"cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
        "Krizhevsky 2009, Learning multiple layers of features from tiny images",
    ),
}
"""Sets that are downloaded on first use, into the user's cache or the folder ``NEUROPRUNE_IMAGES``."""

NAMES = ("digits", *PUBLISHED)
"""Sets that have a name."""


def load_images(
    name: str | Path, *, folder: str | Path | None = None, validation: float = 0.1, seed: int = 0
) -> Images:
    """Return a set of images, its training part shuffled and divided.

    Parameters
    ----------
    name : str or Path
        ``digits`` (8 x 8, comes with scikit-learn), ``mnist``, ``fashion-mnist``, ``cifar10``, or a folder
        with the four files of MNIST's format (``train-images-idx3-ubyte`` and so on, gzipped or not).
    folder : path, optional
        Where the files of a published set lie, so that nothing is downloaded. The environment variable
        ``NEUROPRUNE_IMAGES`` names a folder with one such folder for each set.
    validation : float
        Share of the training part that is set aside.
    seed : int
        Of the division; files may come sorted by class, so the training part is shuffled first.

    Returns
    -------
    Images
        Pixels have mean 0 and SD 1 in each channel over the training part, whose figures the other parts are
        given too.

    Raises
    ------
    SpecificationError
        If there is no such set or folder, a file is missing, is not of its format or has another checksum, or
        nothing would be left to train or to choose on.
    """
    if not 0 < validation < 1:
        raise SpecificationError(f"validation is {validation}: it must be a share between 0 and 1")
    known = str(name)
    if known == "digits":
        if folder is not None:
            raise SpecificationError("the digits come with scikit-learn: they have no folder")
        x, y, test_x, test_y = _digits()
    elif known in PUBLISHED:
        x, y, test_x, test_y = _published(known, None if folder is None else Path(folder))
    elif Path(name).is_dir():
        x, y, test_x, test_y = _idx_folder(Path(name))
    else:
        raise SpecificationError(f"no images {known!r}: they are {', '.join(NAMES)}, or a folder of IDX files")
    return _divide(known, x, y, test_x, test_y, validation, seed)


Pixels = np.ndarray
"""uint8 or float, (n, channels, height, width)."""


def _divide(
    name: str, x: Pixels, y: np.ndarray, test_x: Pixels, test_y: np.ndarray, validation: float, seed: int
) -> Images:
    order = np.random.default_rng(seed).permutation(len(y))
    n_validation = round(validation * len(y))
    if not 0 < n_validation < len(y):
        raise SpecificationError(
            f"of {len(y)} images a share of {validation} leaves none to train or to choose on: use more images"
        )
    chosen, trained = order[:n_validation], order[n_validation:]
    x, test_x = x.astype(np.float32), test_x.astype(np.float32)
    mean = x[trained].mean((0, 2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    sd = x[trained].std((0, 2, 3), keepdims=True, dtype=np.float64).astype(np.float32)
    if not (sd > 0).all():
        raise SpecificationError(f"images {name!r} have a channel in which all pixels are the same")

    def split(pixels: Pixels, classes: np.ndarray) -> Split:
        return Split(torch.from_numpy((pixels - mean) / sd), torch.from_numpy(classes.astype(np.int64)))

    n_classes = int(max(y.max(), test_y.max())) + 1
    return Images(name, split(x[trained], y[trained]), split(x[chosen], y[chosen]), split(test_x, test_y), n_classes)


def _digits() -> tuple[Pixels, np.ndarray, Pixels, np.ndarray]:
    """Return the digits of scikit-learn; of every five images of a class one is for tests."""
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError:
        raise SpecificationError("the digits come with scikit-learn: pip install 'neuroprune[bridge]'") from None
    pixels, y = load_digits(return_X_y=True)
    x, y = np.asarray(pixels).reshape(-1, 1, 8, 8), np.asarray(y)
    # By class, so that the test part has all of them evenly.
    rank = np.zeros(len(y), int)
    for digit in np.unique(y):
        rank[y == digit] = np.arange((y == digit).sum())
    tested = rank % 5 == 4
    return x[~tested], y[~tested], x[tested], y[tested]


def _published(name: str, folder: Path | None) -> tuple[Pixels, np.ndarray, Pixels, np.ndarray]:
    given = folder is not None or "NEUROPRUNE_IMAGES" in os.environ
    place = folder or images_folder() / name
    published = PUBLISHED[name]
    if not given:
        for file, md5 in published.md5.items():
            _fetch(published.urls, file, md5, place / file)
    elif not place.is_dir():
        raise SpecificationError(f"no folder {str(place)!r} with the files of {name}")
    return _cifar(place) if name == "cifar10" else _idx_folder(place)


def images_folder() -> Path:
    """Return the folder that holds downloaded sets, one folder each."""
    given = os.environ.get("NEUROPRUNE_IMAGES")
    if given:
        return Path(given)
    from platformdirs import user_cache_path

    return user_cache_path("neuroprune") / "images"


def _fetch(urls: tuple[str, ...], file: str, md5: str, target: Path) -> None:
    """Download a file unless it is there, from the first place that has it with the right checksum."""
    import pooch  # its own dependencies take a while to import

    failures = []
    for url in urls:
        try:
            pooch.retrieve(url + file, f"md5:{md5}", fname=target.name, path=target.parent)
            return
        except (OSError, ValueError) as error:  # no connection; another checksum
            failures.append(f"{url}: {str(error).splitlines()[0]}")
    raise SpecificationError(
        f"cannot download {file} ({'; '.join(failures)}): put it into {str(target.parent)!r}, or name its folder"
    )


def _idx_folder(folder: Path) -> tuple[Pixels, np.ndarray, Pixels, np.ndarray]:
    found = []
    for name in _IDX:
        path = next((p for p in (folder / name, folder / f"{name}.gz") if p.is_file()), None)
        if path is None:
            raise SpecificationError(
                f"{str(folder)!r} has no {name} (nor {name}.gz): a set in IDX format has four files"
            )
        found.append(read_idx(path))
    x, y, test_x, test_y = found
    for images, labels, part in ((x, y, "train"), (test_x, test_y, "t10k")):
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise SpecificationError(
                f"{part} of {str(folder)!r} has images of shape {images.shape} and labels of shape {labels.shape}: "
                "they must be (n, height, width) and (n,)"
            )
    if x.shape[1:] != test_x.shape[1:]:
        raise SpecificationError(f"{str(folder)!r} trains on {x.shape[1:]} pixels and tests on {test_x.shape[1:]}")
    return x[:, None], y, test_x[:, None], test_y


def read_idx(path: str | Path) -> np.ndarray:
    """Return the array of a file in IDX format of unsigned bytes, gzipped or not whatever its name says.

    Raises
    ------
    SpecificationError
        If it is none, or is cut off.
    """
    content = Path(path).read_bytes()
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise SpecificationError(f"{str(path)!r} is not a whole gzip file: {error}") from None
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise SpecificationError(f"{str(path)!r} is no IDX file of unsigned bytes (it starts with {content[:4].hex()})")
    n_axes = content[3]
    start = 4 + 4 * n_axes
    if len(content) < start:
        raise SpecificationError(f"{str(path)!r} ends within its head")
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], ">u4"))
    if len(content) - start != int(np.prod(shape)):
        raise SpecificationError(f"{str(path)!r} says that its shape is {shape} and has {len(content) - start} values")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _cifar(folder: Path) -> tuple[Pixels, np.ndarray, Pixels, np.ndarray]:
    """Read the binary version: its records are read, nothing is unpickled."""
    archive = folder / "cifar-10-binary.tar.gz"
    wanted = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    contents = {}
    if archive.is_file():
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and Path(member.name).name in wanted:
                    contents[Path(member.name).name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    else:
        contents = {name: (folder / name).read_bytes() for name in wanted if (folder / name).is_file()}
    missing = [name for name in wanted if name not in contents]
    if missing:
        raise SpecificationError(f"{str(folder)!r} has no {missing[0]}, nor cifar-10-binary.tar.gz with it")
    batches = []
    for name in wanted:
        if len(contents[name]) % 3073 or not contents[name]:
            raise SpecificationError(f"{name} of {str(folder)!r} has {len(contents[name])} bytes: not records of 3,073")
        records = np.frombuffer(contents[name], np.uint8).reshape(-1, 3073)
        batches.append((records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]))
    x, y = (np.concatenate(parts) for parts in zip(*batches[:-1], strict=True))
    return x, y, *batches[-1]
