"""The detector's data: what is read, how it is letterboxed and batched, and that labels follow the augmented pixels."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")

from coco_shapes import write_shapes  # noqa: E402

from robot_vision.data.labelled_sets import open_labelled  # noqa: E402
from robot_vision.preprocess import Preprocessor  # noqa: E402
from robot_vision.runtime.card import InputSpec  # noqa: E402
from robot_vision.train.detector_augment import augment, mosaic  # noqa: E402
from robot_vision.train.detector_data import (  # noqa: E402
    DetectionData,
    Sample,
    collate,
    load_data,
    training_size_wh,
    validation_batches,
)

SIZE_WH = (160, 128)


def loaded(folder: Path, input_size: int) -> DetectionData:
    return load_data(open_labelled(folder, "train"), input_size)


def test_labels_keep_their_category_order_and_place(tmp_path: Path) -> None:
    """Categories are listed as 7, 3 in the file: class 0 is id 3, class 1 is id 7. Images of half size are doubled."""
    data = loaded(write_shapes(tmp_path / "set", 3), 192)
    assert (data.class_names, len(data.samples)) == (("box", "ball"), 3)
    assert training_size_wh(data) == (192, 128)
    assert training_size_wh(data, 0.7) == (128, 64)
    assert training_size_wh(data, 0.01) == (32, 32)
    for sample in data.samples:
        assert sample.rgb.shape == (128, 192, 3)
        assert sample.labels.tolist() == [0, 1]
        red = (sample.rgb[:, :, 0] > 200) & (sample.rgb[:, :, 1] < 40)
        ys, xs = np.nonzero(red)
        np.testing.assert_allclose(sample.boxes_xyxy[0], [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], atol=2)


def test_crowd_annotations_become_ignore_regions(tmp_path: Path) -> None:
    folder = write_shapes(tmp_path / "set", 1)
    content = json.loads((folder / "annotations.json").read_text())
    content["annotations"][1]["iscrowd"] = 1
    (folder / "annotations.json").write_text(json.dumps(content))
    sample = loaded(folder, 96).samples[0]
    x, y, w, h = content["annotations"][1]["bbox"]
    assert sample.ignored_xyxy.tolist() == [[x, y, x + w, y + h]]
    assert sample.labels.tolist() == [0]


@pytest.mark.parametrize("size_wh", [(96, 64), (50, 90), (250, 130)])
def test_validation_sees_what_the_robot_sees(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    """The letterboxed batch equals the deployed preprocessing bit for bit."""
    folder = write_shapes(tmp_path / "set", 1, size_wh=size_wh)
    batch = next(validation_batches(loaded(folder, 96), 96, 4))
    rgb = cv2.cvtColor(cv2.imread(str(folder / "images" / "0.png")), cv2.COLOR_BGR2RGB)
    expected = np.empty((1, 3, 96, 96), np.float32)
    spec = InputSpec(
        name="images", size_wh=(96, 96), colour="RGB", resize="letterbox", pad_value=114, scale=1 / 255,
        mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0),
    )  # fmt: skip
    Preprocessor(spec).fill(rgb, expected)
    np.testing.assert_allclose(batch.numpy(), expected, atol=1e-6)


def test_a_batch_is_padded_and_says_so() -> None:
    rgb = np.full((32, 64, 3), 51, np.uint8)
    none, one = np.zeros((0, 4), np.float32), np.array([[1, 2, 3, 4]], np.float32)
    images, targets = collate(
        [Sample(rgb, one, np.array([6]), none), Sample(rgb, none, np.zeros(0, np.int64), np.concatenate([one, one]))]
    )
    assert images.shape == (2, 3, 32, 64)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert images.unique().tolist() == [51]
    assert targets.valid.tolist() == [[True], [False]]
    assert targets.labels.tolist() == [[6], [0]]
    assert targets.boxes_xyxy.tolist() == [[[1, 2, 3, 4]], [[0, 0, 0, 0]]]
    assert targets.ignored_xyxy[1].tolist() == [[1, 2, 3, 4], [1, 2, 3, 4]]
    assert targets.ignored_xyxy[0].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0]]


def bright_sample(seed: int) -> Sample:
    """One white rectangle on black."""
    rng = np.random.default_rng(seed)
    rgb = np.zeros((96, 128, 3), np.uint8)
    (x, y), (w, h) = rng.integers(0, 60, 2), rng.integers(20, 35, 2)
    rgb[y : y + h, x : x + w] = 255
    return Sample(rgb, np.array([[x, y, x + w, y + h]], np.float32), np.array([1]), np.zeros((0, 4), np.float32))


@pytest.mark.parametrize("around_objects", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_boxes_follow_the_augmented_pixels(seed: int, around_objects: bool) -> None:
    """The bright pixels' extent is the box, whatever was mirrored, scaled, shifted, blurred or recoloured."""
    result = augment(np.random.default_rng(seed), bright_sample(seed), SIZE_WH, around_objects)
    assert result.rgb.shape == (SIZE_WH[1], SIZE_WH[0], 3)
    assert len(result.labels) + len(result.ignored_xyxy) <= 1
    grey = result.rgb.mean(axis=2)
    if len(result.labels) == 0:
        return
    x1, y1, x2, y2 = result.boxes_xyxy[0]
    inside = grey[round(y1) + 2 : round(y2) - 2, round(x1) + 2 : round(x2) - 2]
    ys, xs = np.nonzero(grey > (np.median(inside) + 114) / 2)
    np.testing.assert_allclose([x1, y1, x2, y2], [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], atol=4)


def test_a_mosaic_holds_objects_of_all_four_inside_the_canvas() -> None:
    seen = set()
    for seed in range(10):
        parts = [bright_sample(4 * seed + k) for k in range(4)]
        parts = [Sample(p.rgb, p.boxes_xyxy, np.array([k]), p.ignored_xyxy) for k, p in enumerate(parts)]
        result = mosaic(np.random.default_rng(seed), parts, SIZE_WH)
        assert result.rgb.shape == (SIZE_WH[1], SIZE_WH[0], 3)
        assert len(result.boxes_xyxy) == len(result.labels)
        if len(result.labels):
            assert result.boxes_xyxy.min() >= 0
            assert (result.boxes_xyxy.max(axis=0) <= [*SIZE_WH, *SIZE_WH]).all()
        seen |= set(result.labels.tolist())
    assert seen == {0, 1, 2, 3}


def test_a_small_canvas_around_the_objects_shows_them() -> None:
    """An object in the corner of a large image: a quarter of its size is enough to see it, when looked for."""
    rgb = np.zeros((256, 320, 3), np.uint8)
    corner = Sample(rgb, np.array([[2, 2, 22, 22]], np.float32), np.array([1]), np.zeros((0, 4), np.float32))
    nothing = Sample(rgb, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros((0, 4), np.float32))
    parts = [corner, nothing, nothing, nothing]
    for seed in range(20):
        assert augment(np.random.default_rng(seed), corner, (96, 64), True).labels.tolist() == [1]
        assert augment(np.random.default_rng(seed), corner, (96, 64), False).labels.tolist() == []
        assert mosaic(np.random.default_rng(seed), parts, (96, 64), True).labels.tolist() == [1]


def test_augmentation_depends_on_its_generator_alone() -> None:
    first, second = (augment(np.random.default_rng(5), bright_sample(0), SIZE_WH) for _ in range(2))
    np.testing.assert_array_equal(first.rgb, second.rgb)
    np.testing.assert_array_equal(first.boxes_xyxy, second.boxes_xyxy)
    assert not np.array_equal(first.rgb, augment(np.random.default_rng(6), bright_sample(0), SIZE_WH).rgb)
