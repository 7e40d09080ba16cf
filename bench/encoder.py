"""What encoding costs beside its bare network, and training beside its bare step: ratios from one run, one thread.

    python bench/encoder.py [MODEL ...] [--rounds N]

Each round runs everything that is compared one after the other, so that all of it sees the same machine. As in the
node, a second thread may prepare the next frame while the network runs; the last column is the rate of that. Training
is measured where torch is installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import cv2
import numpy as np

from robot_vision.errors import RobotVisionError
from robot_vision.latent.encoder import Encoder
from robot_vision.params import EncoderParams, SessionParams
from robot_vision.preprocess import Preprocessor
from robot_vision.runtime.card import load_card
from robot_vision.types import Frame

SIZES_WH = ((1280, 720), (640, 480), (64, 64))
SHIPPED = "simworld_vae_encoder"
TRAINING_IMAGES = 1024
OVERLAPPED = 10


def main() -> int:
    """Measure each model on frames of several sizes, then training.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("models", nargs="*", default=[SHIPPED], metavar="MODEL", help="shipped model's name or a file")
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    columns = ("bare network ms", "resize ms", "encode ms", "rate / bare", "two threads / bare")
    print(f"{'model, frame':36s}{''.join(f'{name:>20s}' for name in columns)}")
    for model in arguments.models:
        encoder = Encoder(load_card(model), SessionParams(provider="cpu", threads=1), EncoderParams())
        for size_wh in SIZES_WH:
            title = f"{encoder.card.name}, {size_wh[0]}x{size_wh[1]}"
            print(f"{title:36s}{measured(encoder, size_wh, arguments.rounds)}")
    if importlib.util.find_spec("torch"):
        print(f"\ntraining, images a second: {training()}")
    else:
        print("\ntraining not measured: torch is not installed (make train-env)")
    return 0


def measured(encoder: Encoder, size_wh: tuple[int, int], rounds: int) -> str:
    """The cells of one line: medians in milliseconds, and the rate of encoding over that of the bare network."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (size_wh[1], size_wh[0], 3), np.uint8)
    frame = Frame(np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8), 0, "camera")
    preprocessor, ready = Preprocessor(encoder.card.input), encoder.session.new_input()
    parts: tuple[Callable[[], Any], ...] = (
        partial(encoder.session.run, ready),
        partial(preprocessor.fill, frame.rgb, ready),
        partial(encoder.encode, frame),
    )
    with ThreadPoolExecutor(1) as other:
        both = partial(overlapped, encoder, frame, other)
        both()
        times_s = np.array([[seconds(part) for part in (*parts, both)] for _ in range(rounds)])
    times_s[:, 3] /= OVERLAPPED
    medians = np.median(times_s[:, :3], axis=0)
    ratios = np.median(times_s[:, :1] / times_s[:, 2:], axis=0)
    return "".join(f"{value * 1e3:20.3f}" for value in medians) + "".join(f"{value:20.3f}" for value in ratios)


def overlapped(encoder: Encoder, frame: Frame, other: ThreadPoolExecutor) -> None:
    """Encode some frames, each prepared in the other thread while the network runs on the one before."""
    coming = other.submit(encoder.prepare, frame)
    for _ in range(OVERLAPPED):
        ready = coming.result()
        coming = other.submit(encoder.prepare, frame)
        encoder.infer(frame, ready)
    coming.result()


def training() -> str:
    """Rate of the training loop, with everything it does, and that of the bare step of its networks."""
    import torch  # noqa: PLC0415 - optional

    from robot_vision.train.vae_fit import Fit  # noqa: PLC0415
    from robot_vision.train.vae_settings import FitSettings  # noqa: PLC0415

    torch.set_num_threads(1)
    settings = FitSettings(epochs=100)
    fit = Fit(settings, torch.device("cpu"))
    frames = np.random.default_rng(0).integers(0, 256, (TRAINING_IMAGES, 3, 64, 64), np.uint8)
    noise = torch.randn(settings.batch_size, settings.latent_size)
    batch = torch.rand(settings.batch_size, 3, 64, 64)

    def bare_epoch() -> None:
        fit.networks.train()
        for _ in range(TRAINING_IMAGES // settings.batch_size):
            fit.optimizer.zero_grad(set_to_none=True)
            reconstructions, mean, log_variance = fit.networks(batch, noise)
            (reconstructions.square().sum() + mean.square().sum() + log_variance.square().sum()).backward()
            fit.optimizer.step()

    bare_epoch()
    rounds = [(seconds(bare_epoch), seconds(partial(fit.run_epoch, frames, frames[:1]))) for _ in range(3)]
    bare_s, loop_s = np.median(rounds, axis=0)
    ratio = float(np.median([bare / loop for bare, loop in rounds]))
    rates = f"bare step {TRAINING_IMAGES / bare_s:.0f}, whole loop {TRAINING_IMAGES / loop_s:.0f}"
    return f"{rates}, loop / bare {ratio:.3f}"


def seconds(call: Callable[[], Any]) -> float:
    """Duration of a call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RobotVisionError as error:
        sys.exit(f"bench/encoder.py: {error}")
