"""What sampling costs beside the bare network calls it makes: ratios from one run, one thread.

    python bench/generation.py [MODEL ...] [--steps N] [--rounds N]

Each round runs the bare calls and the sampler one after the other, so that both see the same machine. The bare calls
are as many, with as many rows; a guidance other than 1 doubles the rows. Previews are not decoded, as nobody looks.
Times are those of the one thread: medians, and the median of the ratios of each round.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any, get_args

import numpy as np

from robot_vision.errors import RobotVisionError
from robot_vision.generation.diffusion import DiffusionGenerator
from robot_vision.generation.request import GenerationRequest
from robot_vision.generation.sampler import SamplerName
from robot_vision.params import SessionParams
from robot_vision.runtime.card import ModelCard, load_card
from robot_vision.runtime.card_diffusion import SAMPLE, TIMESTEP, TOKENS
from robot_vision.runtime.providers import open_session, quiet_run_options

SHIPPED = "simworld_diffusion"
BAR = 0.95
CASES = ((1, 1.0), (1, 3.0), (8, 3.0))
PARAMS = SessionParams(provider="cpu", threads=1)


def main() -> int:
    """Measure each model with every sampler.

    Returns:
        Exit status.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("models", nargs="*", default=[SHIPPED], metavar="MODEL", help="shipped model's name or a card")
    parser.add_argument("--steps", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    columns = ("bare calls ms", "sampler ms", f"bare / sampler (bar {BAR})", "decode ms")
    print(f"{'model, sampler, images, guidance':48s}{''.join(f'{name:>26s}' for name in columns)}")
    for model in arguments.models:
        card = load_card(model)
        for sampler in get_args(SamplerName):
            generator = DiffusionGenerator(card, PARAMS, sampler)
            for count, guidance in CASES:
                request = GenerationRequest(
                    "", seed=0, steps=arguments.steps, guidance=guidance, size_wh=generator.defaults.size_wh,
                    count=count,
                )  # fmt: skip
                title = f"{card.name}, {sampler}, {count}, {guidance:g}"
                print(f"{title:48s}{measured(card, generator, request, arguments.rounds)}")
    return 0


def measured(card: ModelCard, generator: DiffusionGenerator, request: GenerationRequest, rounds: int) -> str:
    """The cells of one line: milliseconds, and the rate of the sampler over that of the bare calls."""
    bare = bare_calls(card, request)
    last: list[Any] = []

    def sampled() -> None:
        last[:] = generator.run(request)

    def decoded() -> None:
        last[-1].images()

    times_s = np.array([[seconds(part) for part in (bare, sampled, decoded)] for _ in range(rounds + 1)])[1:]
    bare_ms, loop_ms, decode_ms = np.median(times_s, axis=0) * 1e3
    ratio = np.median(times_s[:, 0] / times_s[:, 1])
    return "".join(f"{value:26.3f}" for value in (bare_ms, loop_ms, ratio, decode_ms))


def bare_calls(card: ModelCard, request: GenerationRequest) -> Callable[[], None]:
    """As many runs of the denoiser as the request takes, on arrays that are ready, by ONNX Runtime alone."""
    assert card.diffusion is not None
    session, _ = open_session(card, PARAMS, 1)
    rows = request.count * (1 if request.guidance == 1 else 2)
    shapes = {name: (rows, *shape) for name, shape in card.diffusion.input_shapes.items()}
    tensors = {
        SAMPLE: np.random.default_rng(0).standard_normal(shapes[SAMPLE], np.float32),
        TIMESTEP: np.full(shapes[TIMESTEP], 500, np.float32),
        TOKENS: np.zeros(shapes[TOKENS], np.int64),
    }
    options = quiet_run_options()

    def run() -> None:
        for _ in range(request.steps):
            session.run(None, tensors, options)

    return run


def seconds(call: Callable[[], Any]) -> float:
    """Time of this thread, in which the network runs too, that a call takes."""
    start = time.thread_time()
    call()
    return time.thread_time() - start


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RobotVisionError as error:
        sys.exit(f"bench/generation.py: {error}")
