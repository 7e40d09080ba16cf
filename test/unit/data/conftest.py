"""Bags and where the shared test data is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """Folder of the shared test data."""
    if not SHARED.is_dir():
        pytest.skip(f"no test data at {SHARED}")
    return SHARED


def _folder(path: Path) -> Path:
    return path


def _bare(path: Path) -> Path:
    (path / "metadata.yaml").unlink()
    return next(path.iterdir())


def _folder_without_metadata(path: Path) -> Path:
    (path / "metadata.yaml").unlink()
    return path


def _metadata_file(path: Path) -> Path:
    return path / "metadata.yaml"


def _renamed(path: Path) -> Path:
    return Path(shutil.move(path, path.with_name("other name")))


FORMS: dict[str, Callable[[Path], Path]] = {
    "folder": _folder,
    "bare file": _bare,
    "no metadata": _folder_without_metadata,
    "metadata.yaml": _metadata_file,
    "renamed folder": _renamed,
}


@pytest.fixture(params=["mcap", "sqlite3"])
def storage(request) -> str:
    """Every storage of ROS 2 bags."""
    return request.param


@pytest.fixture(params=sorted(FORMS))
def form(request) -> Callable[[Path], Path]:
    """Every way in which people keep a bag: turns a written bag into the path they would give."""
    return FORMS[request.param]
