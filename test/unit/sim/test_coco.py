"""COCO data sets: readable by the reference library, resumable, the same for any number of processes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from robot_vision.errors import InvalidValueError
from robot_vision.sim import coco
from robot_vision.sim.captioned import CaptionedConfig
from robot_vision.sim.classes import CLASS_NAMES

SIZE = (96, 72)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coco")
    coco.write_dataset(coco.DatasetConfig(path, images=7, seed_base=40, size_wh=SIZE))
    return path


def test_the_reference_library_reads_it(folder: Path) -> None:
    reference = pytest.importorskip("pycocotools.coco")
    data = reference.COCO(str(folder / "annotations.json"))
    assert [data.cats[i]["name"] for i in sorted(data.cats)] == list(CLASS_NAMES)
    assert len(data.imgs) == 7
    for image in data.imgs.values():
        pixels = cv2.imread(str(folder / "images" / image["file_name"]))
        assert pixels.shape == (SIZE[1], SIZE[0], 3)
        assert image["seed"] in (40, 41)
        assert image["camera"] in ("fixed", "handheld", "uav")
    for row in data.anns.values():
        x, y, width, height = row["bbox"]
        assert x >= 0
        assert y >= 0
        assert x + width <= SIZE[0]
        assert y + height <= SIZE[1]
        assert row["iscrowd"] in (0, 1)
    assert any(row["iscrowd"] == 0 for row in data.anns.values())


def test_an_interrupted_run_goes_on_and_renders_only_what_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (folder / "annotations.json").read_bytes()
    (folder / "parts" / "41.json").unlink()
    rendered = []
    original = coco._render_scene
    monkeypatch.setattr(coco, "_render_scene", lambda task: (rendered.append(task[1]), original(task)))
    coco.write_dataset(coco.DatasetConfig(folder, images=7, seed_base=40, size_wh=SIZE))
    assert rendered == [41]
    assert (folder / "annotations.json").read_bytes() == before


def test_processes_do_not_change_the_result(folder: Path, tmp_path: Path) -> None:
    coco.write_dataset(coco.DatasetConfig(tmp_path, images=7, seed_base=40, size_wh=SIZE, jobs=2))
    assert (tmp_path / "annotations.json").read_bytes() == (folder / "annotations.json").read_bytes()
    name = json.loads((tmp_path / "annotations.json").read_text())["images"][0]["file_name"]
    assert (tmp_path / "images" / name).read_bytes() == (folder / "images" / name).read_bytes()


def test_other_settings_in_the_same_folder_are_refused(folder: Path) -> None:
    with pytest.raises(InvalidValueError, match="other settings"):
        coco.write_dataset(coco.DatasetConfig(folder, images=7, seed_base=40, size_wh=(64, 48)))
    with pytest.raises(InvalidValueError, match="other settings"):
        coco.write_dataset(CaptionedConfig(folder, images=7, size_wh=SIZE, quality=92))


@pytest.mark.parametrize("wrong", [{"images": 0}, {"jobs": 0}, {"quality": 0}])
def test_a_wrong_setting_is_refused(wrong: dict[str, int], tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=next(iter(wrong))):
        coco.DatasetConfig(tmp_path, **{"images": 1, **wrong})  # type: ignore[arg-type]
