"""Model cards: what a stage must know about a network besides its weights, read and checked once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import yaml

from robot_vision.errors import ModelError
from robot_vision.geometry import ResizeRule
from robot_vision.runtime.card_diffusion import SAMPLE, DiffusionSpec, read_diffusion_spec
from robot_vision.runtime.card_fields import CardFields
from robot_vision.runtime.layouts import Head
from robot_vision.shipped import shared_folders

Task = Literal["detection", "latent_encoder", "latent_decoder", "diffusion"]
Colour = Literal["RGB", "BGR"]
Interpolation = Literal["linear", "area"]

MAX_SIDE = 8192
MAX_LATENT = 1_048_576
CARD_KEYS = (
    "name", "task", "file", "sha256", "licence", "source", "input", "output", "class_names", "latent", "diffusion",
    "training", "measured",
)  # fmt: skip


@dataclass(frozen=True)
class InputSpec:
    """How an image becomes network input: resized, then `x = (pixel * scale - mean) / std` as float32 NCHW.

    Attributes:
        name: Name of the network's tensor; empty for a network that has only one.
        size_wh: Width and height of the network's image in pixels.
        colour: Order of the three channels.
        resize: How the source image is placed: `letterbox` (centred), `letterbox_top_left` or `stretch`.
        pad_value: Value of padding pixels, 0 to 255, before scaling.
        scale: Factor from 8-bit pixels to network values.
        mean: Subtracted per channel after scaling, in the network's channel order.
        std: Divided by per channel after that, in the network's channel order.
        interpolation: `linear` (bilinear, 2×2 source pixels per network pixel) or `area` (mean over the covered source
            pixels, free of aliasing when an image shrinks by more than two).
    """

    name: str
    size_wh: tuple[int, int]
    colour: Colour
    resize: ResizeRule
    pad_value: int
    scale: float
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    interpolation: Interpolation = "linear"

    @property
    def normalisation(self) -> tuple[tuple[np.float32, ...], tuple[np.float32, ...]]:
        """Factor and shift of each of the network's channels: `x = pixel * factor + shift`."""
        factors = tuple(np.float32(self.scale / std) for std in self.std)
        shifts = tuple(np.float32(-mean / std) for mean, std in zip(self.mean, self.std, strict=True))
        return factors, shifts


@dataclass(frozen=True)
class LatentSpec:
    """What is known about a latent space.

    Attributes:
        size: Number of dimensions, which is the number of values in the encoder's output after it was flattened in C
            order: D for (1, D), C·H·W for a spatial (1, C, H, W), T·C for the tokens (1, T, C) of a transformer.
        mean_output: Name of the output that holds the mean; empty for a decoder. An encoder that gives no Gaussian has
            its features there: `LatentState.mean` carries whatever this output holds, flattened as above, so that
            `mean.reshape(C, H, W)` or `mean.reshape(T, C)` is the output again.
        log_variance_output: Name of the output that holds the log-variance, of as many values; None if the encoder has
            none, and `LatentState.log_variance` is then empty.
        statistics_mean: Mean of each dimension over held-out frames; None if not given.
        statistics_std: Standard deviation of each dimension over held-out frames; None if not given.
        decoder: Card of the matching decoder; None if there is none.
        novelty_error_mean: Mean reconstruction error (mean squared, network values) of the calibration frames.
        novelty_error_std: Its standard deviation; both None where novelty cannot be computed.
    """

    size: int
    mean_output: str
    log_variance_output: str | None
    statistics_mean: tuple[float, ...] | None
    statistics_std: tuple[float, ...] | None
    decoder: Path | None
    novelty_error_mean: float | None
    novelty_error_std: float | None


@dataclass(frozen=True)
class ModelCard:
    """One network and everything needed to run it.

    Attributes:
        name: Name for people, diagnostics and messages.
        task: What the network does.
        onnx_path: The network's file.
        sha256: Hash of that file in hex.
        input: Preprocessing. For a decoder: the image it writes, named after its output tensor, so that
            `pixel = (value * std + mean) / scale`. For a diffusion model: name and size of the latent map that it
            denoises; images are the affair of its encoder and decoder.
        head: Layout of a detector's output; None where it is recognised from the output's shape.
        class_names: Names of a detector's classes in the order of their ids; empty for other tasks.
        latent: The latent space of an encoder or a decoder; None for other tasks.
        diffusion: What a diffusion model denoises, and how; None for other tasks.
        licence: Licence of the weights; empty if unknown.
        source: Where the network comes from; empty if unknown.
    """

    name: str
    task: Task
    onnx_path: Path
    sha256: str
    input: InputSpec
    head: Head | None = None
    class_names: tuple[str, ...] = ()
    latent: LatentSpec | None = None
    diffusion: DiffusionSpec | None = None
    licence: str = ""
    source: str = ""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the tensor the network takes: (1, 3, H, W), for a decoder (1, D), for a denoiser (1, C, h, w)."""
        if self.diffusion is not None:
            return (1, *self.diffusion.latent_shape)
        if self.task == "latent_decoder" and self.latent is not None:
            return (1, self.latent.size)
        width, height = self.input.size_wh
        return (1, 3, height, width)

    @property
    def input_name(self) -> str:
        """Name of the tensor the network takes; empty where the network's only one is meant."""
        return "" if self.task == "latent_decoder" else self.input.name

    @cached_property
    def identity_hash(self) -> str:
        """SHA-256 in hex over weights and preprocessing: equal exactly where results are comparable."""
        spec = self.input
        canonical = {
            "sha256": self.sha256.lower(), "size_wh": list(spec.size_wh), "colour": spec.colour, "resize": spec.resize,
            "pad_value": spec.pad_value, "scale": float(spec.scale), "mean": [float(v) for v in spec.mean],
            "std": [float(v) for v in spec.std], "interpolation": spec.interpolation,
        }  # fmt: skip
        return hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def load_card(model: str | Path) -> ModelCard:
    """The card of a shipped model, of a card file or of an ONNX file.

    An ONNX file takes the card beside it (same stem, `.yaml`); without one, what its metadata says.

    Args:
        model: Name of a shipped model, or path of a `.yaml` card or an `.onnx` file.

    Returns:
        The checked card; the network's file exists and has the card's hash.

    Raises:
        ModelError: If the model is not found, the card is incomplete or contradictory, the file's hash differs, or a
            bare export does not say how to be used; the message then holds the card to write.
    """
    path = Path(model).expanduser()
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return _read_card(path)
    if suffix == ".onnx":
        beside = path.with_suffix(".yaml")
        if beside.is_file():
            return _read_card(beside)
        _require_file(path)
        from robot_vision.runtime.export import card_of_export  # noqa: PLC0415 - needs this module's types

        return card_of_export(path)
    return _read_card(_shipped_card(str(model)))


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in hex.

    Raises:
        ModelError: If the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def _shipped_card(name: str) -> Path:
    folders = [folder / "models" for folder in shared_folders()]
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    shipped = sorted({card.stem for folder in folders if folder.is_dir() for card in folder.glob("*.yaml")})
    raise ModelError(
        f"model {name!r}: no shipped model of that name; shipped are {', '.join(shipped) or 'none'} "
        f"(looked in {', '.join(map(str, folders))}); for a file of your own give a path that ends in .onnx or .yaml"
    )


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise ModelError(f"{path}: {'is a folder, not a file' if path.is_dir() else 'no such file'}")


def _read_card(path: Path) -> ModelCard:
    _require_file(path)
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ModelError(f"{path}: not a readable YAML card: {error}") from error
    card = parse_card(document, path)
    _require_file(card.onnx_path)
    actual = file_sha256(card.onnx_path)
    if actual != card.sha256:
        raise ModelError(
            f"{card.onnx_path}: sha256 is {actual}, but {path} says {card.sha256}; the file is damaged or is another "
            "model: restore it, or write its own card"
        )
    return card


def parse_card(document: Any, path: Path) -> ModelCard:
    """A card from its parsed YAML; the network's file is not touched.

    Args:
        document: What the YAML holds.
        path: The card's file: names it in messages, and relative files are relative to its folder.

    Returns:
        The card.

    Raises:
        ModelError: If a key is missing, unknown, of a wrong type or outside its range.
    """
    fields = CardFields(document, path)
    fields.only(CARD_KEYS)
    task = cast(Task, fields.choice("task", get_args(Task)))
    sha256 = fields.text("sha256").lower()
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise fields.error("sha256", f"expected 64 hexadecimal digits, got {sha256!r}")
    head: Head | None = None
    if task == "detection" and fields.has("output"):
        output = fields.block("output")
        output.only(("head",))
        head = cast(Head, output.choice("head", get_args(Head)))
    diffusion = read_diffusion_spec(fields.block("diffusion"), path.parent) if task == "diffusion" else None
    return ModelCard(
        name=fields.text("name", default=path.stem),
        task=task,
        onnx_path=path.parent / Path(fields.text("file")).expanduser(),
        sha256=sha256,
        input=_input_spec(fields, task, diffusion),
        head=head,
        class_names=fields.texts("class_names") if task == "detection" else (),
        latent=_latent_spec(fields, task, path.parent) if task in ("latent_encoder", "latent_decoder") else None,
        diffusion=diffusion,
        licence=fields.text("licence", default="unknown"),
        source=fields.text("source", default="unknown"),
    )


def _input_spec(fields: CardFields, task: Task, diffusion: DiffusionSpec | None) -> InputSpec:
    if diffusion is not None:
        _, height, width = diffusion.latent_shape
        return InputSpec(SAMPLE, (width, height), "RGB", "stretch", pad_value=0, scale=1.0)
    if task == "latent_decoder":
        return _image_spec(fields.block("output"), decoded=True)
    return _image_spec(fields.block("input"), decoded=False)


def _image_spec(block: CardFields, *, decoded: bool) -> InputSpec:
    known = ["name", "size_wh", "colour", "scale", "mean", "std"]
    block.only(known if decoded else [*known, "resize", "pad_value", "interpolation"])
    resize = "stretch" if decoded else block.choice("resize", get_args(ResizeRule))
    scale = block.number("scale")
    std = block.numbers("std", 3, default=1.0)
    if scale <= 0:
        raise block.error("scale", f"must be positive, got {scale:g}")
    if min(std) <= 0:
        raise block.error("std", f"must be positive, got {list(std)}")
    return InputSpec(
        name=block.text("name") if block.has("name") else "",
        size_wh=cast(tuple[int, int], block.integers("size_wh", 2, 1, MAX_SIDE)),
        colour=cast(Colour, block.choice("colour", get_args(Colour))),
        resize=cast(ResizeRule, resize),
        pad_value=0 if resize == "stretch" else block.integer("pad_value", 0, 255),
        scale=scale,
        mean=cast(tuple[float, float, float], block.numbers("mean", 3, default=0.0)),
        std=cast(tuple[float, float, float], std),
        interpolation=cast(Interpolation, block.choice("interpolation", get_args(Interpolation), default="linear")),
    )


def _latent_spec(fields: CardFields, task: Task, folder: Path) -> LatentSpec:
    block = fields.block("latent")
    block.only(("size", "statistics", "decoder", "novelty"))
    size = block.integer("size", 1, MAX_LATENT)
    mean_output, log_variance_output = "", None
    if task == "latent_encoder":
        output = fields.block("output")
        output.only(("mean", "log_variance"))
        mean_output = output.text("mean")
        log_variance_output = output.text("log_variance") if output.has("log_variance") else None
    statistics = block.block("statistics") if block.has("statistics") else None
    novelty = block.block("novelty") if block.has("novelty") else None
    if novelty is not None and novelty.number("error_std") <= 0:
        raise novelty.error("error_std", f"must be positive, got {novelty.number('error_std'):g}")
    return LatentSpec(
        size=size,
        mean_output=mean_output,
        log_variance_output=log_variance_output,
        statistics_mean=statistics.numbers("mean", size) if statistics else None,
        statistics_std=statistics.numbers("std", size) if statistics else None,
        decoder=folder / block.text("decoder") if block.has("decoder") else None,
        novelty_error_mean=novelty.number("error_mean") if novelty else None,
        novelty_error_std=novelty.number("error_std") if novelty else None,
    )
