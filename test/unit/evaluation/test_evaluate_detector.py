"""`robot_vision evaluate detector`: from labelled images to a report, with the shipped network and the sample bag."""

from __future__ import annotations

import importlib.util
import itertools
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from robot_vision.cli.main import main
from robot_vision.data import labelled_sets
from robot_vision.data.labelled_sets import open_labelled
from robot_vision.errors import EvaluationError
from robot_vision.evaluation.common_classes import common_classes
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.types import Detections

SAMPLE = Path(__file__).resolve().parents[3] / "samples" / "simworld_handheld"
PICTURES = {"curves.png", "confusion.png", "worst.png"}


def needs_packages() -> None:
    for name in ("matplotlib", "pycocotools"):
        pytest.importorskip(name, reason=f"needs {name}: run `make setup`")


def no_constant(text: str) -> None:
    raise AssertionError(f"{text} is not JSON")


@pytest.fixture(scope="module")
def coco(tmp_path_factory) -> Path:
    """Five frames of the sample with their ground truth, and a class that the network does not have."""
    folder, bag = tmp_path_factory.mktemp("coco"), open_labelled(SAMPLE, "val")
    (folder / "images").mkdir()
    images, annotations = [], []
    for number, image in itertools.islice(enumerate(bag.images()), 0, 100, 20):
        cv2.imwrite(str(folder / "images" / f"{number}.png"), cv2.cvtColor(image.rgb, cv2.COLOR_RGB2BGR))
        images.append({"id": number, "file_name": f"{number}.png"})
        truth = image.truth
        for class_id, (x1, y1, x2, y2), ignored in zip(
            truth.class_ids, truth.boxes_xyxy.tolist(), truth.ignored, strict=True
        ):
            row = {"image_id": number, "category_id": 100 + int(class_id), "bbox": [x1, y1, x2 - x1, y2 - y1]}
            annotations.append({**row, "area": (x2 - x1) * (y2 - y1), "iscrowd": int(ignored)})
    annotations.append({"image_id": 20, "category_id": 7, "bbox": [0, 0, 40, 40], "area": 1600, "iscrowd": 0})
    categories = [{"id": 7, "name": "teapot"}]
    categories += [{"id": 100 + number, "name": name.upper()} for number, name in enumerate(bag.class_names)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def evaluate(*words) -> int:
    return main(["evaluate", "detector", "simworld_yolo", "--provider", "cpu", *map(str, words)])


def test_a_data_set_gives_figures_and_pictures(coco, tmp_path, capsys) -> None:
    """The whole way; the shipped network is good on its own world, and every object is counted once."""
    needs_packages()
    assert evaluate("--data", coco, "--out", tmp_path / "new" / "out", "--worst", 4) == 0
    out, said = tmp_path / "new" / "out", capsys.readouterr().out
    assert {path.name for path in out.iterdir()} == {*PICTURES, "report.md", "report.json"}
    assert "labels of classes that the network does not have are left out: teapot" in said
    assert all(str(out / name) in said for name in PICTURES)
    report = json.loads((out / "report.json").read_text(), parse_constant=no_constant)
    assert 0.5 < report["average_precision"]["ap"] < report["average_precision"]["ap50"] <= 1
    assert {"medium", "large"} <= set(report["average_precision"]["by_size"])
    truth = json.loads((coco / "annotations.json").read_text())["annotations"]
    counts = np.array(report["confusion"]["counts"])
    wanted = sum(not row["iscrowd"] and row["category_id"] >= 100 for row in truth)
    assert counts[:-1].sum() == report["curves"]["all classes"]["objects"] == wanted
    assert report["confusion"]["score_threshold"] == report["curves"]["all classes"]["best_f1"]["score"]
    text = (out / "report.md").read_text()
    assert all(f"]({name})" in text for name in PICTURES)
    sizes = {name: cv2.imread(str(out / name)).shape for name in PICTURES}
    assert sizes["worst.png"][1] % 2 == 0
    assert min(min(shape[:2]) for shape in sizes.values()) > 300


def test_a_bag_is_labelled_images_too(tmp_path, monkeypatch) -> None:
    """The sample bag itself, cut to its first frames to be quick."""
    needs_packages()
    bag = open_labelled(SAMPLE, "val")
    first = replace(bag, titles=bag.titles[:5], images=lambda: itertools.islice(bag.images(), 5))
    monkeypatch.setattr(labelled_sets, "open_labelled", lambda path, part: first if path == SAMPLE else None)
    assert evaluate("--data", SAMPLE, "--out", tmp_path) == 0
    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=no_constant)
    assert report["facts"]["images"] == "5"
    assert {row["image"] for row in report["worst_images"]} <= set(bag.titles[:5]), "images of a bag bear their stamps"
    assert report["average_precision"]["ap50"] > 0.5


def test_a_threshold_that_nothing_reaches_misses_everything(coco, tmp_path) -> None:
    """The report is complete without one finding in the matrix; AP does not depend on that threshold."""
    needs_packages()
    assert evaluate("--data", coco / "annotations.json", "--out", tmp_path, "--score", 1, "--worst", 0) == 0
    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=no_constant)
    counts = np.array(report["confusion"]["counts"])
    assert counts[:, -1].sum() == counts.sum() > 0
    assert report["average_precision"]["ap"] > 0.5
    assert not (tmp_path / "worst.png").exists()
    assert "worst.png" not in (tmp_path / "report.md").read_text()


def test_a_folder_that_cannot_be_written(coco, tmp_path, capsys) -> None:
    needs_packages()
    (tmp_path / "out").write_text("a file")
    assert evaluate("--data", coco, "--out", tmp_path / "out") == 1
    assert "the report cannot be written" in capsys.readouterr().err


def test_no_common_class_names_both_lists(coco, tmp_path, capsys) -> None:
    content = json.loads((coco / "annotations.json").read_text())
    for number, category in enumerate(content["categories"]):
        category["name"] = f"thing{number}"
    (coco / "things.json").write_text(json.dumps(content))
    needs_packages()
    assert evaluate("--data", coco / "things.json", "--out", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "thing0, thing1" in said
    assert "box, ball, can" in said


@pytest.mark.parametrize("missing", ["matplotlib", "pycocotools"])
def test_a_missing_package_is_named_before_any_work(missing, tmp_path, capsys, monkeypatch) -> None:
    """Not after minutes of detection; the data need not even exist."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else object())
    assert evaluate("--data", "/nowhere", "--out", tmp_path) == 1
    assert f"evaluation needs {missing}; install it with: make setup" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--score", "1.5"], ["--score", "x"], ["--worst", "-1"], ["--provider", "tpu"]])
def test_wrong_usage(words, tmp_path, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        evaluate("--data", tmp_path, "--out", tmp_path, *words)
    assert stop.value.code == 2
    assert words[1] in capsys.readouterr().err


def test_settings_are_checked_by_their_definitions(coco, tmp_path, capsys) -> None:
    needs_packages()
    assert evaluate("--data", coco, "--out", tmp_path, "--iou-threshold", "2") == 1
    assert "iou_threshold: must be within [0, 1]" in capsys.readouterr().err


def test_classes_meet_by_name_whatever_their_numbers() -> None:
    """Case and underscores do not matter; what only one side has is left out and told."""
    common = common_classes(["Potted_plant", "unicorn", "cat"], ["dog", "cat", "potted plant"])
    assert common.names == ("cat", "potted plant")
    assert common.labels_only == ("unicorn",)
    assert common.network_only == ("dog",)
    assert common.number_of_label.tolist() == [1, -1, 0]
    boxes = np.arange(12, dtype=np.float32).reshape(3, 4)
    truth = common.labelled(
        LabelledBoxes(boxes, np.array([2, 1, 0]), np.array([7, 8, 9]), np.array([False, True, True]))
    )
    assert (truth.class_ids.tolist(), truth.ids.tolist(), truth.ignored.tolist()) == ([0, 1], [7, 9], [False, True])
    np.testing.assert_array_equal(truth.boxes_xyxy, boxes[[0, 2]])
    found = common.found(Detections(boxes, np.array([0.3, 0.2, 0.1], np.float32), np.array([2, 0, 1])))
    assert found.class_ids.tolist() == [1, 0]
    np.testing.assert_array_equal(found.boxes_xyxy, boxes[[0, 2]])
    assert len(common.found(Detections.empty())) == 0
    with pytest.raises(EvaluationError, match=r"labels have cat; the network has dog"):
        common_classes(["cat"], ["dog"])
