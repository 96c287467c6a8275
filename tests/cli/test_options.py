"""What options have in common is checked before anything is computed."""

from pathlib import Path

import pytest

from neuroprune.cli.options import check_figure
from neuroprune.core.errors import SpecificationError


def test_a_figure_that_can_be_written_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (None, Path("a.png"), Path("new/deeper/a.SVG"), tmp_path / "new" / "a.pdf"):
        check_figure(path)
    assert not list(tmp_path.iterdir())
    there = tmp_path / "old.png"
    there.write_bytes(b"an older figure")
    check_figure(there)
    assert there.read_bytes() == b"an older figure"


def test_a_figure_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    for name in ("file/a.png", "file/deeper/a.png", "folder.png"):
        with pytest.raises(SpecificationError, match=f"cannot write '{tmp_path / name}', because of"):
            check_figure(tmp_path / name)

    def read_only(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("neuroprune.cli.options.TemporaryFile", read_only)
    with pytest.raises(SpecificationError, match=f"because of '{tmp_path}': Permission denied"):
        check_figure(tmp_path / "new" / "a.png")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.png"]


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that takes no files from anybody")
def test_a_folder_that_takes_no_files_is_found_out() -> None:
    with pytest.raises(SpecificationError, match=r"cannot write '/proc/a\.png', because of '/proc'"):
        check_figure(Path("/proc/a.png"))
