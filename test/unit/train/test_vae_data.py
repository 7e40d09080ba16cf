"""Frames for training equal those of deployment, and random views stay inside their image."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from robot_vision.errors import BagError

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")

from robot_vision.preprocess import Preprocessor  # noqa: E402
from robot_vision.train.vae import VAE_INPUT  # noqa: E402
from robot_vision.train.vae_data import augment, batches, find_images, load_frames, split_tail, to_images  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(3):
        pixels = cv2.resize(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8), (320, 240))
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), pixels)
    return tmp_path


def test_cached_bytes_give_exactly_the_deployed_network_input(folder):
    paths = find_images(folder)
    frames = load_frames(paths, VAE_INPUT, folder / "cache")
    deployed = np.empty((1, 3, 64, 64), np.float32)
    for path, image in zip(paths, to_images(frames).numpy(), strict=True):
        Preprocessor(VAE_INPUT).fill(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), deployed)
        np.testing.assert_allclose(image, deployed[0], rtol=1e-6)


def test_the_cache_is_used_while_files_are_the_same_and_made_anew_when_one_changes(folder):
    paths = find_images(folder)
    first = load_frames(paths, VAE_INPUT, folder / "cache")
    cache_file = next((folder / "cache").iterdir())
    np.save(cache_file, np.zeros_like(first))
    assert not load_frames(paths, VAE_INPUT, folder / "cache").any()
    cv2.imwrite(str(paths[0]), np.full((100, 100, 3), 9, np.uint8))
    again = load_frames(paths, VAE_INPUT, folder / "cache")
    assert (again[0] == 9).all()
    np.testing.assert_array_equal(again[1:], first[1:])


def test_a_plain_folder_of_images_works_too(folder):
    assert [path.name for path in find_images(folder / "images")] == ["0.png", "1.png", "2.png"]


def test_a_missing_folder_an_empty_one_and_a_broken_image_are_named(folder, tmp_path):
    with pytest.raises(BagError, match="nowhere: no such folder"):
        find_images(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BagError, match="empty: holds no images"):
        find_images(tmp_path / "empty")
    (folder / "images" / "1.png").write_bytes(b"no image")
    with pytest.raises(BagError, match=r"1\.png: not a readable image"):
        load_frames(find_images(folder), VAE_INPUT, folder / "cache")


def test_held_out_frames_are_the_last_tenth_so_that_neighbours_do_not_leak(tmp_path):
    paths = [tmp_path / f"{number:03}.png" for number in range(50)]
    assert split_tail(paths) == (paths[:45], paths[45:])
    with pytest.raises(BagError, match="at least two"):
        split_tail(paths[:1])


def test_an_epoch_has_every_image_once_apart_from_the_incomplete_batch():
    frames = np.arange(10, dtype=np.uint8)[:, None, None, None].repeat(3, axis=1)
    seen = [batch[:, 0, 0, 0].mul(255).round().int().tolist() for batch in batches(frames, 4, np.random.default_rng(1))]
    assert [len(batch) for batch in seen] == [4, 4]
    assert len({value for batch in seen for value in batch}) == 8
    assert len(next(batches(frames[:3], 4, np.random.default_rng(1)))) == 3


def test_views_are_parts_of_their_own_image_in_another_light():
    """A horizontal ramp seen through any view stays a ramp, rising or falling, within the range of the gains."""
    ramp = torch.linspace(0.2, 0.6, 64).expand(16, 3, 64, 64).contiguous()
    views = augment(ramp, np.random.default_rng(0))
    steps = views.diff(dim=3).mean(dim=(2, 3))
    assert set(torch.sign(steps[:, 0]).tolist()) == {-1.0, 1.0}
    assert views.diff(dim=2).abs().max() < 1e-5
    assert views.min() >= 0.2 * 0.85 * 0.92 - 1e-4
    assert views.max() <= 0.6 * 1.15 * 1.08 + 1e-4
    torch.testing.assert_close(ramp[0, 0, 0], torch.linspace(0.2, 0.6, 64))


def test_views_depend_on_the_generator_only():
    images = torch.rand(4, 3, 64, 64)
    assert torch.equal(augment(images, np.random.default_rng(3)), augment(images, np.random.default_rng(3)))
    assert not torch.equal(augment(images, np.random.default_rng(3)), augment(images, np.random.default_rng(4)))
