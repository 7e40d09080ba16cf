"""The networks that know places: positions by hand, a decoder equal to its broadcast, a linear code."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch: run `make train-env`")

from robot_vision.train.vae_fit import Fit, reconstruct  # noqa: E402
from robot_vision.train.vae_places import BroadcastDecoder, PointEncoder, grid_coordinates, mean_positions  # noqa: E402
from robot_vision.train.vae_settings import FitSettings  # noqa: E402


def test_coordinates_are_those_of_the_cells_centres():
    x, y = grid_coordinates(4)
    np.testing.assert_allclose(x[2], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(y[:, 1], [-0.75, -0.25, 0.25, 0.75])


def test_a_single_peak_lies_where_it_is_and_even_scores_in_the_middle():
    scores = torch.zeros(1, 3, 8, 8)
    scores[0, 1, 6, 1] = 100.0  # row 6, column 1
    scores[0, 2, 0, 0] = scores[0, 2, 0, 7] = 100.0
    positions = mean_positions(scores).reshape(3, 2).numpy()
    np.testing.assert_allclose(positions, [[0, 0], [-1 + 2 * 1.5 / 8, -1 + 2 * 6.5 / 8], [0, -1 + 1 / 8]], atol=1e-6)


def test_positions_are_means_weighted_by_the_softmax():
    """Against plain loops."""
    scores = torch.randn(2, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    expected = np.zeros((2, 2, 2))
    for image in range(2):
        for channel in range(2):
            weights = np.exp(scores[image, channel].numpy())
            for row in range(4):
                for column in range(4):
                    place = np.array([(column + 0.5) / 2 - 1, (row + 0.5) / 2 - 1])
                    expected[image, channel] += weights[row, column] / weights.sum() * place
    np.testing.assert_allclose(mean_positions(scores).reshape(2, 2, 2), expected, atol=1e-6)


def test_the_decoder_is_a_convolution_over_the_latent_repeated_beside_coordinates():
    """The two parts of the first layer against one 1×1 convolution with both weights side by side."""
    decoder = BroadcastDecoder(5).eval()
    latents = torch.randn(3, 5)
    repeated = torch.cat(
        [latents[:, :, None, None].expand(-1, -1, 16, 16), grid_coordinates(16).expand(3, -1, -1, -1)], 1
    )
    weight = torch.cat([decoder.of_latent.weight, decoder.of_place.weight[:, :, 0, 0]], dim=1)
    first = torch.einsum("oc,nchw->nohw", weight, repeated)
    first = first + (decoder.of_latent.bias + decoder.of_place.bias)[:, None, None]
    with torch.no_grad():
        torch.testing.assert_close(decoder(latents), decoder.stages(first), atol=1e-5, rtol=1e-5)


def test_a_plain_encoder_gives_the_mean_alone():
    assert [part.shape for part in PointEncoder(6, variational=False)(torch.rand(2, 3, 64, 64))] == [(2, 6)]


def test_the_position_of_a_square_becomes_linear_in_the_latent():
    """A white square on grey anywhere in the image; a linear map from the latent finds it in images never seen."""
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 53, (1200, 2))
    frames = np.full((1200, 3, 64, 64), 90, np.uint8)
    for frame, (left, top) in zip(frames, corners, strict=True):
        frame[:, top : top + 12, left : left + 12] = 255
    settings = FitSettings(kind="ae", network="places", latent_size=4, epochs=6, batch_size=32, augment=False)
    fit = Fit(settings, torch.device("cpu"))
    while fit.epochs_done < settings.epochs:
        fit.run_epoch(frames[:1000], frames[1000:])
    latents = np.c_[reconstruct(fit.networks, frames)[0].numpy(), np.ones(1200)]
    found = latents[1000:] @ np.linalg.lstsq(latents[:1000], corners[:1000], rcond=None)[0]
    errors = np.square(found - corners[1000:]).sum() / np.square(corners[1000:] - corners[1000:].mean(axis=0)).sum()
    assert 1 - errors > 0.97
