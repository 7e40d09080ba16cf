"""Batches, random views of image and weights, and masking noise."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")

from robot_vision.train.vae_data import augment, batches, corrupt, pixel_weights  # noqa: E402


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


def test_the_fourth_channel_moves_with_the_image_and_keeps_its_values():
    """A white square on black, and the same square as coverage: in every view they lie on the same pixels."""
    square = torch.zeros(32, 1, 64, 64)
    for number in range(32):
        square[number, :, number : number + 20, 8:30] = 1.0
    views = augment(square.expand(-1, 4, -1, -1).contiguous(), np.random.default_rng(0))
    colour, coverage = views[:, :3], views[:, 3:]
    assert torch.equal(colour > 0, (coverage > 0).expand_as(colour))
    assert not torch.equal(coverage, square)
    assert coverage.amax(dim=(1, 2, 3)).tolist() == pytest.approx([1.0] * 32, abs=1e-6)


def test_the_view_of_an_image_is_the_same_with_and_without_coverage():
    images, coverage = torch.rand(6, 3, 64, 64), torch.rand(6, 1, 64, 64)
    alone = augment(images, np.random.default_rng(5))
    together = augment(torch.cat([images, coverage], dim=1), np.random.default_rng(5))
    assert torch.equal(alone, together[:, :3])


def test_a_pixel_in_a_box_counts_as_many_times_as_asked_for_and_the_mean_stays_one():
    coverage = torch.zeros(2, 1, 8, 8)
    coverage[0, :, :4, :4] = 1.0
    coverage[0, :, 7, 7] = 0.5
    weights = pixel_weights(coverage, 4.0)
    assert (weights[0, 0, 0, 0] / weights[0, 0, 5, 5]).item() == pytest.approx(5.0)
    assert (weights[0, 0, 7, 7] / weights[0, 0, 5, 5]).item() == pytest.approx(3.0)
    assert weights.mean(dim=(1, 2, 3)).tolist() == pytest.approx([1.0, 1.0])
    assert (weights[1] == 1).all()


def test_masking_noise_blackens_whole_pixels_of_the_share_asked_for_and_nothing_else():
    images = torch.rand(20, 3, 64, 64) * 0.9 + 0.1
    noisy = corrupt(images, 0.25, torch.Generator().manual_seed(0))
    black = (noisy == 0).all(dim=1, keepdim=True)
    assert torch.equal(torch.where(black, torch.zeros(()), images), noisy)
    assert black.float().mean().item() == pytest.approx(0.25, abs=0.01)
    assert (images >= 0.1).all()
    assert torch.equal(noisy, corrupt(images, 0.25, torch.Generator().manual_seed(0)))
