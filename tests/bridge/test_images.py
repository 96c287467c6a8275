"""Images: the embedded set, files in IDX and CIFAR format, and everything that can be wrong with them."""

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroprune.bridge.images import load_images, read_idx
from neuroprune.core.errors import SpecificationError


def idx(array: np.ndarray) -> bytes:
    return (
        b"\0\0\x08" + bytes([array.ndim]) + np.asarray(array.shape, ">u4").tobytes() + array.astype(np.uint8).tobytes()
    )


def write_set(folder: Path, n: int = 40, n_test: int = 10, *, zipped: bool = False) -> Path:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    arrays = {
        "train-images-idx3-ubyte": rng.integers(0, 256, (n, 4, 5)),
        "train-labels-idx1-ubyte": np.sort(rng.integers(0, 3, n)),  # sorted by class, as some files are
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (n_test, 4, 5)),
        "t10k-labels-idx1-ubyte": np.arange(n_test) % 3,
    }
    for name, array in arrays.items():
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))
    return folder


def test_digits_are_all_there_once_and_in_all_parts_evenly() -> None:
    images = load_images("digits")
    parts = (images.train, images.validation, images.test)
    assert sum(map(len, parts)) == 1797
    assert images.shape == (1, 8, 8)
    assert images.n_classes == 10
    every = torch.cat([p.x.flatten(1) for p in parts])
    assert len(torch.unique(every, dim=0)) == 1797
    assert images.test.y.bincount().min() >= 34
    assert abs(float(images.train.x.mean())) < 1e-5
    assert float(images.train.x.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_the_division_follows_from_the_seed() -> None:
    first, again, other = (load_images("digits", seed=s) for s in (0, 0, 1))
    assert torch.equal(first.train.x, again.train.x)
    assert not torch.equal(first.train.y, other.train.y)
    # The test part is the same whatever the seed, but for the figures that it is normalised with.
    assert torch.equal(first.test.y, other.test.y)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_folder_of_idx_files_is_shuffled_and_keeps_pairs_together(tmp_path: Path, zipped: bool) -> None:
    folder = write_set(tmp_path / "set", zipped=zipped)
    images = load_images(folder, validation=0.25)
    assert (len(images.train), len(images.validation), len(images.test)) == (30, 10, 10)
    raw = dict(
        zip(
            (tuple(x.ravel()) for x in read_idx(next(folder.glob("train-images*")))),
            read_idx(next(folder.glob("train-labels*"))),
            strict=True,
        )
    )
    pixels = np.asarray([list(k) for k in raw])
    both = torch.cat([images.train.x, images.validation.x]).flatten(1)
    # Undo the normalisation with the figures of the training part.
    chosen = torch.cat([images.train.y, images.validation.y])
    low, high = both.min(), both.max()
    scaled = (both - low) / (high - low) * (pixels.max() - pixels.min()) + pixels.min()
    for x, y in zip(scaled.round().numpy().astype(int), chosen.tolist(), strict=True):
        assert raw[tuple(x)] == y
    assert (images.train.y.diff() < 0).any()


def test_a_gzip_file_is_read_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(gzip.compress(idx(np.arange(5))))
    assert read_idx(path).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file"),
        (b"\0\0\x0d\x01\0\0\0\x01\0", "no IDX file of unsigned bytes"),
        (idx(np.arange(5))[:-1], r"its shape is \(5,\) and has 4 values"),
        (b"\0\0\x08\x03\0\0", "ends within its head"),
        (gzip.compress(idx(np.arange(50)))[:-9], "not a whole gzip file"),
    ],
    ids=["empty", "floats", "cut off", "within its head", "half a gzip file"],
)
def test_broken_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(SpecificationError, match=message):
        read_idx(path)


def test_a_folder_must_have_all_files_and_they_must_fit(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "set")
    (folder / "t10k-labels-idx1-ubyte").write_bytes(idx(np.arange(9)))
    with pytest.raises(SpecificationError, match=r"t10k of .* shape \(10, 4, 5\) and labels of shape \(9,\)"):
        load_images(folder)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(SpecificationError, match="has no t10k-labels-idx1-ubyte"):
        load_images(folder)


def test_a_published_set_is_read_from_a_folder_and_never_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path / "mnist")
    assert load_images("mnist", folder=tmp_path / "mnist").name == "mnist"
    monkeypatch.setenv("NEUROPRUNE_IMAGES", str(tmp_path))
    assert len(load_images("mnist").train) == 36
    with pytest.raises(SpecificationError, match=r"no folder .*fashion-mnist"):
        load_images("fashion-mnist")


def test_cifar_is_read_from_its_binary_records(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    records = rng.integers(0, 256, (6, 4, 3073), dtype=np.uint8)
    records[:, :, 0] = rng.integers(0, 10, (6, 4))
    names = [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]
    with tarfile.open(tmp_path / "cifar-10-binary.tar.gz", "w:gz") as tar:
        for name, batch in zip(names, records, strict=True):
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = batch.nbytes
            tar.addfile(member, io.BytesIO(batch.tobytes()))
    images = load_images("cifar10", folder=tmp_path)
    assert images.shape == (3, 32, 32)
    assert (len(images.train), len(images.validation), len(images.test)) == (18, 2, 4)
    assert images.test.y.tolist() == records[5, :, 0].tolist()
    (tmp_path / "cifar-10-binary.tar.gz").unlink()
    (tmp_path / "data_batch_1.bin").write_bytes(b"x" * 3073)
    with pytest.raises(SpecificationError, match=r"has no data_batch_2\.bin"):
        load_images("cifar10", folder=tmp_path)


def test_a_download_with_another_checksum_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are fetched from a place of the test's own; one has been changed on the way."""
    from neuroprune.bridge import images

    source = write_set(tmp_path / "source", zipped=True)
    import hashlib

    md5 = {p.name: hashlib.md5(p.read_bytes()).hexdigest() for p in source.iterdir()}
    monkeypatch.delenv("NEUROPRUNE_IMAGES", raising=False)
    monkeypatch.setattr(images, "images_folder", lambda: tmp_path / "cache")
    published = images._Published((f"{(tmp_path / 'nowhere').as_uri()}/", f"{source.as_uri()}/"), md5, "")

    def retrieve(url: str, known_hash: str, fname: str, path: Path) -> None:
        content = Path(url.removeprefix("file://")).read_bytes()
        if hashlib.md5(content).hexdigest() != known_hash.removeprefix("md5:"):
            raise ValueError("MD5 hash does not match")
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(content)

    monkeypatch.setattr("pooch.retrieve", retrieve)
    monkeypatch.setattr(images, "PUBLISHED", {"mnist": published})
    assert len(load_images("mnist").test) == 10  # from the second place, as the first has nothing
    (source / "t10k-labels-idx1-ubyte.gz").write_bytes(b"changed")
    with pytest.raises(SpecificationError, match=r"cannot download t10k-labels.*does not match.*name its folder"):
        load_images("mnist")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("mnits", {}, "no images 'mnits': they are digits, mnist, fashion-mnist, cifar10, or a folder"),
        ("digits", {"validation": 0}, "validation is 0"),
        ("digits", {"validation": 1e-9}, "leaves none"),
        ("digits", {"folder": "."}, "no folder"),
    ],
)
def test_requests_that_make_no_sense_are_refused(name: str, options: dict, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        load_images(name, **options)
