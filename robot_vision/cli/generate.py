"""`robot_vision generate`: images from words, or from words and an image."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from robot_vision.cli.ending import exit_on_sigterm
from robot_vision.cli.sim import size
from robot_vision.errors import BagError, InvalidValueError
from robot_vision.params import SessionParams, settings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from robot_vision.generation.request import GenerationRequest, ImageGenerator
    from robot_vision.types import UInt8Array

_SHEET_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_WHITE = 128


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments.

    Args:
        parser: Parser of `robot_vision generate`.
    """
    parser.add_argument("prompt", nargs="?", default="", help="what to show, such as 'two red balls on wood'")
    parser.add_argument("--class-name", default="", help="instead of a prompt: one of the classes that the model knows")
    parser.add_argument(
        "--out", required=True, help="image file, which becomes a sheet where there are several; or a folder, which "
        "gets each as a PNG of its own",
    )  # fmt: skip
    parser.add_argument(
        "--model", default="simworld_diffusion", help="shipped model's name, path of an ONNX file or card, or folder "
        "of a diffusers pipeline (default simworld_diffusion)",
    )  # fmt: skip
    parser.add_argument("--count", type=int, default=1, help="how many images (default 1)")
    parser.add_argument("--seed", type=int, default=-1, help="the same seed gives the same images (default: any)")
    parser.add_argument("--steps", type=int, default=0, help="denoising steps (default: the model's)")
    parser.add_argument("--guidance", type=float, default=-1.0, help="weight of the prompt (default: the model's)")
    parser.add_argument(
        "--size", type=size, default=(0, 0), help="WIDTHxHEIGHT (default: the initial image's or model's)"
    )
    parser.add_argument("--init", type=Path, metavar="IMAGE", help="image to start from, instead of noise")
    parser.add_argument(
        "--strength", type=float, default=0.75, help="how far to leave the initial image, up to 1 (default 0.75)"
    )
    parser.add_argument("--mask", type=Path, metavar="IMAGE", help="white where the initial image is painted anew")
    parser.add_argument("--sampler", default="", help="dpmpp_2m, ddim or ddpm; for networks only (default dpmpp_2m)")
    provider = next(setting for setting in settings(SessionParams) if setting.name == "provider")
    parser.add_argument("--provider", default="auto", choices=provider.choices, help=provider.description)


def run(args: argparse.Namespace) -> int:
    """Run the command.

    Args:
        args: Parsed arguments.

    Returns:
        Exit status.

    Raises:
        InvalidValueError: If an argument is wrong, or more than the model can do.
        BagError: If an image cannot be read, or a file to be written is there already.
        EvaluationError: If an image cannot be written.
        ModelError: If the model cannot be used.
        ProviderError: If the execution provider cannot be had.
        MissingDependencyError: If the model is a diffusers pipeline and diffusers is not installed.
    """
    from robot_vision.backends.opening import open_generator  # noqa: PLC0415

    out = Path(args.out)
    sheet = _is_sheet(args.out)
    if sheet:
        _require_new(out)
    init_rgb, mask = _read(args.init, args.mask)
    generator = open_generator(args.model, SessionParams(provider=args.provider, threads=0), args.sampler)
    request = _request(args, generator, init_rgb, mask)
    files = [out] if sheet else [out / f"seed{request.seed}_{number:03d}.png" for number in range(request.count)]
    for file in files:
        _require_new(file)
    try:
        files[0].parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BagError(f"--out {out}: the folder cannot be made: {error.strerror}") from error
    exit_on_sigterm()
    begin = time.monotonic()
    images, steps = _generate(generator, request)
    seconds = time.monotonic() - begin
    _write(files, images)
    print(f"wrote    {out}")
    print(f"seed     {request.seed}")
    print(f"model    {generator.name} {generator.identity_hash}")
    print(f"seconds  {seconds:.1f} for {len(images)} images, {steps} steps on {generator.device}")
    return 0


def _request(
    args: argparse.Namespace, generator: ImageGenerator, init_rgb: UInt8Array | None, mask: npt.NDArray[np.bool_] | None
) -> GenerationRequest:
    from robot_vision.generation.request import GenerationLimits, complete_request  # noqa: PLC0415

    # Against slips of the keyboard; what fits into memory only the model and the machine know.
    limits = GenerationLimits(steps=1000, count=1024, side=4096, prompt_length=4096)
    return complete_request(
        generator,
        limits,
        prompt=args.prompt,
        class_name=args.class_name,
        seed=args.seed,
        steps=args.steps,
        guidance=args.guidance,
        width=args.size[0],
        height=args.size[1],
        count=args.count,
        init_rgb=init_rgb,
        strength=args.strength,
        mask=mask,
    )


def _is_sheet(out: str) -> bool:
    path = Path(out)
    if path.is_dir() or out.endswith("/") or not path.suffix:
        return False
    if path.suffix.lower() not in _SHEET_SUFFIXES:
        raise InvalidValueError(
            f"--out {out}: images are written as {', '.join(_SHEET_SUFFIXES)}; a folder ends in a slash"
        )
    return True


def _require_new(path: Path) -> None:
    if path.exists():
        raise BagError(f"{path}: exists already; remove it, or choose another --out")


def _read(init: Path | None, mask: Path | None) -> tuple[UInt8Array | None, npt.NDArray[np.bool_] | None]:
    from robot_vision.data.image_file import read_rgb  # noqa: PLC0415

    return (
        None if init is None else read_rgb(init),
        None if mask is None else read_rgb(mask).mean(axis=2) >= _WHITE,
    )


def _generate(generator: ImageGenerator, request: GenerationRequest) -> tuple[UInt8Array, int]:
    with tqdm(unit="step", disable=None) as bar:
        for progress in generator.run(request):
            bar.total = progress.total
            bar.update()
        return progress.images(), progress.total


def _write(files: list[Path], images: UInt8Array) -> None:
    from robot_vision.evaluation.pictures import contact_sheet, write_picture  # noqa: PLC0415

    pictures = list(images)
    if len(files) == 1 and len(pictures) > 1:
        pictures = [contact_sheet(pictures, width=None)]
    for file, picture in zip(files, pictures, strict=True):
        write_picture(file, picture)
