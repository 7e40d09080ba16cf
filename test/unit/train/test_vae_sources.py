"""Where the encoder's frames come from: bags, folders, what is held out, and frames equal to those of deployment."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from frame_bags import COMPRESSED, IMAGE, TYPES, grey, header, image_message, patches, write_frames

from robot_vision.data.bag_writer import BagWriter
from robot_vision.errors import BagError, FrameError
from robot_vision.preprocess import Preprocessor
from robot_vision.train.vae import VAE_INPUT
from robot_vision.train.vae_settings import FrameSources
from robot_vision.train.vae_sources import load_frames, load_sets, open_images


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    for number, rgb in enumerate(patches(3, (320, 240))):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), rgb[..., ::-1])
    return tmp_path


def sets(tmp_path, data, validation=(), topic=""):
    """What is trained on and held out, as the grey level of each frame, and the two texts."""
    loaded = load_sets(
        FrameSources(tuple(data), tuple(validation)),
        topic,
        lambda images: load_frames(images, VAE_INPUT, tmp_path / "cache"),
        lambda name: pytest.fail("nothing is to be rendered"),
    )
    return [part.pixels[:, 0, 0, 0].tolist() for part in loaded], [part.text for part in loaded]


def grey_bag(path, first, count):
    return write_frames(path, [grey(first + number) for number in range(count)])


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("msgtype", [IMAGE, COMPRESSED])
def test_frames_of_a_bag_of_mixed_image_sizes_are_exactly_the_deployed_network_input(tmp_path, storage, msgtype):
    images = [*patches(2, (96, 80)), *patches(2, (64, 64), seed=1), *patches(1, (30, 200), seed=2)]
    bag = write_frames(tmp_path / "bag", images, msgtype=msgtype, storage=storage)
    frames = load_frames(open_images(bag), VAE_INPUT, tmp_path / "cache")
    assert (frames.shape, frames.dtype) == ((5, 3, 64, 64), np.uint8)
    deployed = np.empty((1, 3, 64, 64), np.float32)
    for rgb, frame in zip(images, frames, strict=True):
        Preprocessor(VAE_INPUT).fill(rgb, deployed)
        np.testing.assert_allclose(frame / np.float32(255), deployed[0], rtol=1e-6)


def test_images_of_a_folder_come_by_name_with_colours_in_order(folder):
    frames = load_frames(open_images(folder), VAE_INPUT, folder / "cache")
    deployed = np.empty((1, 3, 64, 64), np.float32)
    for rgb, frame in zip(patches(3, (320, 240)), frames, strict=True):
        Preprocessor(VAE_INPUT).fill(rgb, deployed)
        np.testing.assert_allclose(frame / np.float32(255), deployed[0], rtol=1e-6)
    plain = open_images(folder / "images")
    assert [file.name for file in plain.files] == ["0.png", "1.png", "2.png"]


def test_the_cache_is_used_while_files_are_the_same_and_made_anew_when_one_changes(folder):
    first = load_frames(open_images(folder), VAE_INPUT, folder / "cache")
    cache_file = next((folder / "cache").iterdir())
    np.save(cache_file, np.zeros_like(first))
    assert not load_frames(open_images(folder), VAE_INPUT, folder / "cache").any()
    cv2.imwrite(str(folder / "images" / "0.png"), np.full((100, 100, 3), 9, np.uint8))
    again = load_frames(open_images(folder), VAE_INPUT, folder / "cache")
    assert (again[0] == 9).all()
    np.testing.assert_array_equal(again[1:], first[1:])


def test_another_topic_of_a_bag_is_another_cache_file(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        for topic, value in (("/left", 10), ("/right", 20)):
            bag.add_topic(topic, IMAGE)
            bag.write(topic, 1, image_message(1, grey(value), IMAGE))
    for topic, value in (("/left", 10), ("/right", 20)):
        frames = load_frames(open_images(tmp_path / "bag", topic), VAE_INPUT, tmp_path / "cache")
        assert (frames == value).all()


def test_of_several_bags_the_last_is_held_out_as_a_whole(tmp_path):
    """A frame of a bag that is trained on is never held out: its neighbours are nearly equal."""
    bags = [grey_bag(tmp_path / name, first, 4) for name, first in (("a", 10), ("b", 20), ("c", 30))]
    frames, texts = sets(tmp_path, bags)
    assert frames == [[10, 11, 12, 13, 20, 21, 22, 23], [30, 31, 32, 33]]
    assert texts == ["8 images of bag a, bag b", "4 images of bag c"]


def test_what_is_given_for_validation_is_held_out_and_all_else_is_trained_on(tmp_path):
    bags = [grey_bag(tmp_path / name, first, 2) for name, first in (("a", 10), ("b", 20), ("c", 30))]
    frames, _ = sets(tmp_path, bags[1:], bags[:1])
    assert frames == [[20, 21, 30, 31], [10, 11]]


def test_of_one_bag_the_last_tenth_is_held_out_behind_a_gap_of_the_same_length(tmp_path):
    frames, texts = sets(tmp_path, [grey_bag(tmp_path / "a", 0, 30)])
    assert frames == [list(range(24)), [27, 28, 29]]
    assert texts == ["24 images, the first of bag a", "3 images, the last of bag a, after a gap of 3"]


def test_of_one_folder_the_last_tenth_by_name_is_held_out(tmp_path):
    (tmp_path / "frames").mkdir()
    for number in range(20):
        cv2.imwrite(str(tmp_path / "frames" / f"{number:02}.png"), grey(number))
    frames, texts = sets(tmp_path, [tmp_path / "frames"])
    assert frames == [list(range(18)), [18, 19]]
    assert texts == ["18 images, the first of folder frames", "2 images, the last of folder frames"]


@pytest.mark.parametrize("count", [1, 2])
def test_a_bag_too_short_to_hold_some_out_is_refused(tmp_path, count):
    with pytest.raises(BagError, match=rf"bag: {count} images are too few to hold some out; give --validation"):
        sets(tmp_path, [grey_bag(tmp_path / "bag", 0, count)])


def test_the_dataset_hash_is_that_of_the_pixels_whatever_the_files_are(tmp_path, folder):
    """Recomputed from the pixels one by one; a bag and a folder of the same images have the same hash."""
    images = patches(3, (320, 240))
    bag = write_frames(tmp_path / "bag", images)

    def read(place):
        return load_frames(place, VAE_INPUT, tmp_path / "cache")

    from_bag, from_folder = load_sets(FrameSources((bag,), (folder,)), "", read, Path)
    raw = b"".join(bytes([int(value)]) for frame in from_bag.pixels for value in frame.ravel())
    assert from_bag.sha256 == from_folder.sha256 == hashlib.sha256(raw).hexdigest()
    with_coverage = from_bag._replace(pixels=np.concatenate([from_bag.pixels, from_bag.pixels[:, :1]], axis=1))
    assert with_coverage.sha256 == from_bag.sha256


def test_a_missing_place_is_named_before_anything_is_read(tmp_path):
    with pytest.raises(BagError, match="nowhere: no such file or folder"):
        sets(tmp_path, [grey_bag(tmp_path / "a", 0, 3), tmp_path / "nowhere"])
    assert not (tmp_path / "cache").exists()


def test_an_empty_folder_and_a_file_that_is_no_image_are_named(folder):
    (folder / "empty").mkdir()
    with pytest.raises(BagError, match=r"empty: holds no images .*, and is no bag"):
        open_images(folder / "empty")
    (folder / "images" / "1.png").write_bytes(b"no image")
    with pytest.raises(BagError, match=r"1\.png: missing or not an image"):
        load_frames(open_images(folder), VAE_INPUT, folder / "cache")
    assert not (folder / "cache").exists()


def test_a_bag_without_images_without_messages_or_without_the_topic_is_named(tmp_path):
    with BagWriter(tmp_path / "poses") as bag:
        bag.add_topic("/pose", "std_msgs/msg/Header")
        bag.write("/pose", 1, header(1))
    with pytest.raises(BagError, match="poses: this bag holds no images, it has no image topic"):
        open_images(tmp_path / "poses")
    with BagWriter(tmp_path / "silent") as bag:
        bag.add_topic("/camera", IMAGE)
    with pytest.raises(BagError, match="silent: this bag holds no images, its image topics have no message"):
        open_images(tmp_path / "silent")
    with pytest.raises(BagError, match=r"no images on topic /left; its image topics are: /camera/image"):
        open_images(grey_bag(tmp_path / "bag", 0, 2), "/left")


def test_a_damaged_image_in_a_bag_is_located(tmp_path):
    with BagWriter(tmp_path / "bag") as bag:
        bag.add_topic("/camera", COMPRESSED)
        bag.write("/camera", 1, image_message(1, grey(5), COMPRESSED))
        bag.write("/camera", 2, TYPES[COMPRESSED](header(2), "png", np.zeros(20, np.uint8)))
    with pytest.raises(FrameError, match=r"bag, /camera, message 1"):
        load_frames(open_images(tmp_path / "bag"), VAE_INPUT, tmp_path / "cache")
