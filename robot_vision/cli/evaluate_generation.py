"""`robot_vision evaluate generation`: whether generated images show what was asked for, and how real they look."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from robot_vision.cli.tracking_data import whole_number
from robot_vision.errors import InvalidValueError
from robot_vision.params import DetectorParams, EncoderParams, SessionParams
from robot_vision.types import Frame

if TYPE_CHECKING:
    from robot_vision.data.captioned import Described
    from robot_vision.detection.yolo import Detector
    from robot_vision.evaluation.generation import Answered, Distances
    from robot_vision.generation.request import ImageGenerator
    from robot_vision.latent.encoder import Encoder
    from robot_vision.types import Detections, Float64Array, UInt8Array


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments but those of the session.

    Args:
        parser: Parser of `robot_vision evaluate generation`.
    """
    parser.add_argument("model", help="shipped model's name, path of an ONNX file, or folder of a diffusers pipeline")
    parser.add_argument(
        "--data", type=Path, required=True, help="real images that were not trained on, of `robot_vision sim captioned`"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the report")
    parser.add_argument("--count", type=whole_number, default=200, help="images for the detector (default 200)")
    parser.add_argument(
        "--samplers", nargs="+", default=["dpmpp_2m:15", "ddim:50"], metavar="NAME:STEPS",
        help="ways of sampling whose distance to real images is measured, :STEPS for a diffusers pipeline; the first "
        "one makes the images that the detector looks at (default dpmpp_2m:15 ddim:50)",
    )  # fmt: skip
    parser.add_argument(
        "--distance-count", type=whole_number, default=500, metavar="N",
        help="images of each kind for the distances (default 500)",
    )  # fmt: skip
    parser.add_argument(
        "--beside", nargs="+", default=[], metavar="ENCODER",
        help="encoders with decoders whose samples are measured as well, from N(0, 1)",
    )  # fmt: skip
    parser.add_argument("--guidance", type=float, default=-1.0, help="weight of the prompt (default: the model's)")
    parser.add_argument("--detector", default="simworld_yolo", help="what looks at the images (default simworld_yolo)")
    parser.add_argument(
        "--encoder", default="simworld_vae_encoder",
        help="what the distances are measured with (default simworld_vae_encoder)",
    )  # fmt: skip


def evaluate_generation(args: argparse.Namespace, session_params: SessionParams) -> int:
    """Evaluate the model of a parsed command line and write the report.

    Args:
        args: Parsed with `configure`.
        session_params: How the networks run.

    Returns:
        Exit status.

    Raises:
        RobotVisionError: If a network or data is wrong, or the report cannot be written.
    """
    from robot_vision.backends.opening import open_generator  # noqa: PLC0415
    from robot_vision.data.captioned import captioned_images  # noqa: PLC0415
    from robot_vision.detection.yolo import Detector  # noqa: PLC0415
    from robot_vision.evaluation.generation import answers, prompts_of  # noqa: PLC0415
    from robot_vision.evaluation.generation_report import (  # noqa: PLC0415
        GenerationFigures,
        answer_table,
        distance_table,
        write_generation_report,
    )
    from robot_vision.runtime.card import load_card  # noqa: PLC0415

    ways = [_way(text) for text in args.samplers]
    generators = {text: open_generator(args.model, session_params, name) for text, (name, _) in
                  zip(args.samplers, ways, strict=True)}  # fmt: skip
    first, steps = generators[args.samplers[0]], ways[0][1]
    detector = Detector(load_card(args.detector), session_params, DetectorParams())
    real = list(captioned_images(args.data))
    asked = prompts_of(first.class_names or detector.class_names, args.count, partial(_check_prompt, first))
    images, _ = _generated(first, [one.prompt for one in asked], steps, args.guidance, "asked for")
    found = answers(asked, _detected(detector, images), detector.class_names)
    distances, seconds = _distances(args, session_params, generators, real)
    figures = GenerationFigures(asked, images, found, _seen(detector, real, args.count), distances, seconds)
    facts = {
        "model": first.name, "hash": first.identity_hash, "data": str(args.data), "images": str(args.count),
        "images for distances": str(args.distance_count), "guidance": f"{_weight(first, args.guidance):g}",
        "device": first.device, "detector": args.detector, "encoder": args.encoder,
    }  # fmt: skip
    written = write_generation_report(figures, args.out, facts)
    print(f"\n{answer_table(figures)}\n\n{distance_table(figures)}\n\nwrote {', '.join(map(str, written))}")
    return 0


def _check_prompt(generator: ImageGenerator, prompt: str) -> None:
    from robot_vision.generation.request import GenerationRequest  # noqa: PLC0415

    generator.check(GenerationRequest(prompt, 0, 1, 1.0, generator.defaults.size_wh))


def _way(text: str) -> tuple[str, int]:
    name, _, steps = text.partition(":")
    if not steps.isdecimal():
        raise InvalidValueError(f"--samplers: expected such as dpmpp_2m:15, got {text!r}")
    return name, int(steps)


def _generated(
    generator: ImageGenerator, prompts: Sequence[str], steps: int, guidance: float, what: str
) -> tuple[list[UInt8Array], float]:
    """An image of each prompt, and the seconds of one."""
    from robot_vision.generation.request import GenerationRequest  # noqa: PLC0415

    weight, size_wh = _weight(generator, guidance), generator.defaults.size_wh
    images, start_s = [], time.perf_counter()
    for seed, prompt in enumerate(tqdm(prompts, desc=what, unit="image")):
        request = GenerationRequest(prompt, seed, steps, weight, size_wh)
        *_, last = generator.run(request)
        images.append(last.images()[0])
    return images, (time.perf_counter() - start_s) / len(images)


def _weight(generator: ImageGenerator, guidance: float) -> float:
    return generator.defaults.guidance if guidance < 0 else guidance


def _detected(detector: Detector, images: Sequence[UInt8Array]) -> list[Detections]:
    from robot_vision.evaluation.generation import on_canvas  # noqa: PLC0415

    size_wh = detector.card.input.size_wh
    return [detector.detect(Frame(on_canvas(image, size_wh), 0, "")) for image in images]


def _seen(detector: Detector, real: Sequence[Described], count: int) -> dict[str, Answered]:
    """What the detector sees in real images of one class each."""
    from robot_vision.evaluation.generation import Asked, answers  # noqa: PLC0415

    chosen: list[tuple[Asked, UInt8Array]] = []
    for image in real:
        classes = {one.class_name for one in image.subjects}
        if len(classes) == 1:
            chosen.append((Asked("", classes.pop(), len(image.subjects)), image.rgb))
    rows = np.unique(np.linspace(0, len(chosen) - 1, count).round().astype(int)) if chosen else ()
    asked, images = [chosen[row][0] for row in rows], [chosen[row][1] for row in rows]
    return answers(asked, _detected(detector, images), detector.class_names)


def _distances(
    args: argparse.Namespace,
    session_params: SessionParams,
    generators: dict[str, ImageGenerator],
    real: Sequence[Described],
) -> tuple[Distances, dict[str, float]]:
    from robot_vision.evaluation.generation import distances  # noqa: PLC0415
    from robot_vision.generation.captions import caption  # noqa: PLC0415

    middle, count = len(real) // 2, args.distance_count
    if min(middle, count) < 2:
        raise InvalidValueError(f"--data: needs at least 4 images, and --distance-count 2; got {len(real)} and {count}")
    # As many of each as are generated, since a distance falls with the number of images.
    reference, other = (half[:: max(1, middle // count)][:count] for half in (real[:middle], real[middle:]))
    rng = np.random.default_rng(0)
    prompts = [caption(image.subjects, image.place, rng) for image in other]
    sources: dict[str, Sequence[UInt8Array]] = {}
    seconds: dict[str, float] = {}
    for text, generator in generators.items():
        steps = _way(text)[1]
        sources[text], seconds[text] = _generated(generator, prompts, steps, args.guidance, text)
    for name in args.beside:
        sources[name] = _prior_samples(name, session_params, len(prompts))
    features = _features(args.encoder, session_params)
    pair = ([image.rgb for image in reference], [image.rgb for image in other])
    return distances(pair, sources, features), seconds


def _prior_samples(name: str, session_params: SessionParams, count: int) -> list[UInt8Array]:
    from robot_vision.latent.decoder import Decoder  # noqa: PLC0415
    from robot_vision.runtime.card import load_card  # noqa: PLC0415

    card = load_card(name)
    if card.latent is None or card.latent.decoder is None:
        raise InvalidValueError(f"--beside {name}: is no encoder whose card names a decoder")
    decoder = Decoder(load_card(card.latent.decoder), session_params)
    rng = np.random.default_rng(0)
    return [decoder.decode(rng.standard_normal(decoder.latent_size, np.float32)) for _ in range(count)]


def _features(name: str, session_params: SessionParams) -> Callable[[UInt8Array], Float64Array]:
    from robot_vision.latent.encoder import Encoder  # noqa: PLC0415
    from robot_vision.runtime.card import load_card  # noqa: PLC0415

    encoder: Encoder = Encoder(load_card(name), session_params, EncoderParams(model=name))
    return lambda rgb: encoder.encode(Frame(rgb, 0, "")).mean.astype(np.float64)
