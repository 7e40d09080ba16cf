"""Where the objects are, from every kind of label, in the pixels that the encoder gets."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from coco_shapes import write_shapes
from frame_bags import IMAGE, TRUTH, grey, image_message, truth_message, write_frames

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.sources import open_source
from robot_vision.detection.yolo import Detector
from robot_vision.errors import BagError, InvalidValueError
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.runtime.card import load_card
from robot_vision.train.image_labels import MIN_SCORE
from robot_vision.train.vae import VAE_INPUT
from robot_vision.train.vae_saliency import box_mask, load_coverage
from robot_vision.train.vae_sources import open_images
from robot_vision.types import Frame

SAMPLE = Path(__file__).resolve().parents[3] / "samples" / "simworld_handheld"


def coverage_of(path, tmp_path, model="", topic="", classes=()):
    return load_coverage(open_images(path, topic), VAE_INPUT, tmp_path / "cache", model, classes)


def test_ground_truth_of_a_bag_covers_its_network_pixels_and_halves_of_them(tmp_path):
    """At 128 x 64 pixels a network pixel is two pixels wide, so 8 to 23 covers columns 4 to 10 and half of the next."""
    boxes = [[(8.0, 10.0, 23.0, 20.0)], None, []]
    bag = write_frames(tmp_path / "bag", [grey(9, (128, 64))] * 3, boxes=boxes)
    coverage = coverage_of(bag, tmp_path)
    assert (coverage.shape, coverage.dtype) == ((3, 1, 64, 64), np.uint8)
    expected = np.zeros((64, 64))
    expected[10:20, 4:11] = 255
    expected[10:20, 11] = 127.5
    np.testing.assert_allclose(coverage[0, 0], expected, atol=0.5)
    assert not coverage[1:].any()


def test_ground_truth_that_need_not_be_found_covers_nothing(tmp_path):
    bag = write_frames(tmp_path / "bag", [grey(9)], boxes=[[(8.0, 10.0, 23.0, 20.0)]], score=0.0)
    assert not coverage_of(bag, tmp_path).any()


def test_coco_boxes_lie_on_their_shapes_also_where_the_files_order_is_another(tmp_path):
    """Each image has one red box and one green disc on grey; the annotation file lists the images backwards."""
    folder = write_shapes(tmp_path / "shapes", 11, size_wh=(64, 64))
    content = json.loads((folder / "annotations.json").read_text())
    content["images"].reverse()
    (folder / "annotations.json").write_text(json.dumps(content))
    images = open_images(folder)
    assert [file.name for file in images.files][:3] == ["0.png", "1.png", "10.png"]
    for file, coverage in zip(images.files, coverage_of(folder, tmp_path), strict=True):
        bgr = cv2.imread(str(file)).astype(int)
        coloured = bgr.max(axis=2) - bgr.min(axis=2) > 30
        assert (coverage[0][coloured] == 255).all()
        assert coloured.sum() > 0.7 * (coverage[0] == 255).sum()


def test_without_labels_the_boxes_are_those_of_the_detector(tmp_path):
    """The shipped detector on a frame of the shipped sample, in which it finds objects, run by hand beside it."""
    rgb = next(open_source(SAMPLE).frames()).rgb
    bag = write_frames(tmp_path / "bag", [rgb])
    detector = Detector(
        load_card("simworld_yolo"), SessionParams(provider="cpu"), DetectorParams(confidence_threshold=MIN_SCORE)
    )
    found = detector.detect(Frame(rgb, 0, "")).boxes_xyxy
    assert len(found) > 0
    coverage = coverage_of(bag, tmp_path, "simworld_yolo")
    inside = cv2.resize(box_mask(found, rgb.shape[1::-1]), (64, 64), interpolation=cv2.INTER_AREA)[..., 0]
    assert np.abs(coverage[0, 0].astype(int) - inside).max() <= 1


def test_boxes_over_the_border_are_cut_and_overlaps_count_once():
    mask = box_mask(np.array([[-5, -5, 3, 2], [1, 1, 4, 50], [20, 20, 30, 30]], np.float32), (8, 6))
    expected = np.zeros((6, 8), np.uint8)
    expected[:2, :3] = 255
    expected[1:, 1:4] = 255
    np.testing.assert_array_equal(mask[..., 0], expected)


def test_only_the_boxes_of_chosen_classes_count(tmp_path):
    """Red boxes lie in the left half and green balls in the right one; both together are all there is."""
    folder = write_shapes(tmp_path / "shapes", 3, size_wh=(64, 64))
    boxes, balls = coverage_of(folder, tmp_path, classes=("box",)), coverage_of(folder, tmp_path, classes=("ball",))
    assert boxes[..., :32].any() and not boxes[..., 32:].any()
    assert balls[..., 32:].any() and not balls[..., :32].any()
    np.testing.assert_array_equal(coverage_of(folder, tmp_path, classes=("ball", "box")), np.maximum(boxes, balls))


def test_classes_that_no_box_has_are_refused(tmp_path):
    folder = write_shapes(tmp_path / "shapes", 2)
    with pytest.raises(InvalidValueError, match=r"box of class cube or mug; those with boxes are ball, box"):
        coverage_of(folder, tmp_path, classes=("cube", "mug"))


def test_the_cache_is_made_anew_when_the_annotations_change(tmp_path):
    folder = write_shapes(tmp_path / "shapes", 2)
    before = coverage_of(folder, tmp_path)
    content = json.loads((folder / "annotations.json").read_text())
    content["annotations"] = [row for row in content["annotations"] if row["category_id"] == 3]
    (folder / "annotations.json").write_text(json.dumps(content))
    assert coverage_of(folder, tmp_path).sum() < before.sum()


def test_images_without_labels_and_without_a_detector_are_refused(tmp_path):
    (tmp_path / "plain").mkdir()
    cv2.imwrite(str(tmp_path / "plain" / "a.png"), grey(3))
    for path in (tmp_path / "plain", write_frames(tmp_path / "bag", [grey(1)])):
        with pytest.raises(InvalidValueError, match=rf"saliency: .*{path.name} has no labels .* give --saliency-model"):
            coverage_of(path, tmp_path)


def test_an_image_that_the_annotations_do_not_list_is_named(tmp_path):
    folder = write_shapes(tmp_path / "shapes", 2)
    cv2.imwrite(str(folder / "images" / "new.png"), grey(3))
    with pytest.raises(BagError, match=r"does not list 1 of 3 images, the first is new\.png"):
        coverage_of(folder, tmp_path)


def test_ground_truth_of_another_camera_of_other_stamps_or_not_finite_is_refused(tmp_path):
    box = [[(8.0, 10.0, 23.0, 20.0)]]
    late = write_frames(tmp_path / "late", [grey(1)], boxes=box, shift_ns=5)
    with pytest.raises(BagError, match="no image on /camera/image has the stamp"):
        coverage_of(late, tmp_path)
    broken = write_frames(tmp_path / "broken", [grey(1)], boxes=[[(float("nan"), 10.0, 23.0, 20.0)]])
    with pytest.raises(BagError, match="message of stamp 100000000 ns has a box that is not finite"):
        coverage_of(broken, tmp_path)


def test_the_camera_that_ground_truth_belongs_to_must_be_the_one_that_is_read(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        for topic in ("/another/image", "/camera/image"):
            bag.add_topic(topic, IMAGE)
            bag.write(topic, 7, image_message(7, grey(1), IMAGE))
        bag.add_topic("/camera/ground_truth", TRUTH)
        bag.write("/camera/ground_truth", 7, truth_message(7, [(0.0, 0.0, 32.0, 64.0)], 1.0))
    with pytest.raises(BagError, match=r"is the ground truth of /camera/image, not of /another/image; .* --topic"):
        coverage_of(tmp_path / "bag", tmp_path)
    assert coverage_of(tmp_path / "bag", tmp_path, topic="/camera/image")[0, 0, :, :32].min() == 255
