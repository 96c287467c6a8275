"""The record: whole or not at all, refused if damaged, and open to plain xarray."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from neuroprune import Record, develop, open_record
from neuroprune.core.clock import Clock
from neuroprune.core.errors import RecordError
from neuroprune.core.tables import Table, Tables
from neuroprune.rules import RandomPruning, Tag
from neuroprune.testing import TableSubstrate

CLOCK = Clock(3.0, 5.0, 0.5)


def grow(n: int = 4, path: Path | None = None) -> Record:
    ids = np.arange(n * 3).reshape(n, 3)
    weight = 1.0 + ids % 3
    table = Table("cells", ids, ids >= 0, weight, ids % 5, {})
    rules = [Tag(), RandomPruning(rate=0.5)]
    return develop(TableSubstrate(Tables([table]), [{}]), rules, clock=CLOCK, seed=1, traces=["tag"], path=path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_is_one_clear_error_and_leaves_what_was_there(small_disk: Path) -> None:
    path = small_disk / "run.nc"
    whole = grow(path=path)
    before = path.read_bytes()
    with pytest.raises(RecordError, match=r"cannot write the record .*run\.nc: No space left on device$"):
        grow(n=5000, path=path)
    assert path.read_bytes() == before
    assert [p.name for p in small_disk.iterdir()] == ["run.nc"]
    assert open_record(path).decisions() == whole.decisions()


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"cannot write the record .*: (Not a directory|File exists)$"):
        grow(path=tmp_path / "file" / "run.nc")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_record_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "run.nc"
    grow(path=path)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RecordError, match="not a record, or truncated"):
        open_record(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no record at"):
        open_record(tmp_path / "none.nc")
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(RecordError, match="record format None"):
        open_record(tmp_path / "other.nc")


def test_what_is_written_is_read_back_and_opens_in_xarray(tmp_path: Path) -> None:
    path = tmp_path / "run.nc"
    record = grow(path=path)
    again = open_record(path)
    assert again.decisions() == record.decisions() and again.identity == record.identity
    record.write(tmp_path / "copy.nc")
    assert open_record(tmp_path / "copy.nc").decisions() == record.decisions()
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        assert set(tree.children) == {"connections", "development", "snapshots", "cells", "environment", "spikes"}
        assert tree["connections"].sizes["connection"] == 12
    assert "alive" in repr(again)


def test_lives_are_told_in_days() -> None:
    record = grow()
    connections = record.connections
    gone = connections["death_step"].values >= 0
    assert gone.any() and (~gone).any()
    assert (record.birth_age() == 3.0).all()
    assert np.array_equal(record.death_age()[gone], 3.5 + 0.5 * connections["death_step"].values[gone])
    assert np.isinf(record.death_age()[~gone]).all()
    assert np.isfinite(connections["tag_at_death"].values[gone]).all()
    assert np.isnan(connections["weight_at_death"].values[~gone]).all()
