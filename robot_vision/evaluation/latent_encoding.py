"""Runs encoders over frames once and keeps what all measures need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from robot_vision.evaluation.latent_data import FrameSet, KnownFrame
from robot_vision.evaluation.latent_images import image_error, inside_boxes, thumbnail
from robot_vision.evaluation.latent_state import KnownState, StateCollector
from robot_vision.latent.decoder import Decoder
from robot_vision.latent.encoder import Encoder, latent_space
from robot_vision.preprocess import Preprocessor
from robot_vision.types import Float32Array, Float64Array, Frame, Latent, UInt8Array

_SHOWN = 10


@dataclass(frozen=True, eq=False)
class Encoded:
    """What one encoder made of N frames.

    Attributes:
        name: Name of the encoder in the report.
        encoder: The encoder.
        decoder: Its decoder; None if the card names none.
        means: (N, D) float32.
        log_variances: (N, D) float32; None for an encoder without.
        novelty: (N,) float64; None if it is not computed.
        image_errors: (N, 4) float64, `ImageError.values` of every frame; None without a decoder.
        thumbnails: (N, h, w, 3) uint8, the network's view of every frame, no side above 64 pixels.
    """

    name: str
    encoder: Encoder
    decoder: Decoder | None
    means: Float32Array
    log_variances: Float32Array | None
    novelty: Float64Array | None
    image_errors: Float64Array | None
    thumbnails: UInt8Array


@dataclass(frozen=True, eq=False)
class Encodings:
    """What all encoders made of the same frames.

    Attributes:
        state: What is known about the frames.
        models: One entry an encoder.
        shown: Numbers of some frames, evenly spread.
        shown_rgb: Their images, (H, W, 3) uint8 each.
    """

    state: KnownState
    models: tuple[Encoded, ...]
    shown: tuple[int, ...]
    shown_rgb: tuple[UInt8Array, ...]


def frames_of(sets: Sequence[FrameSet]) -> Iterator[tuple[int, KnownFrame]]:
    """The frames of all sets, each with the number of its set.

    Args:
        sets: Data sets and recordings.

    Yields:
        Number of the set and the frame.

    Raises:
        BagError: If a set is damaged at some place.
        FrameError: If an image cannot be decoded.
    """
    for source, entry in enumerate(sets):
        for frame in entry.frames():
            yield source, frame


def encode_frames(
    encoders: Mapping[str, Encoder], sets: Sequence[FrameSet], frames: Iterable[tuple[int, KnownFrame]]
) -> Encodings:
    """Encode every frame with every encoder, and decode it again where there is a decoder.

    Args:
        encoders: By name.
        sets: Where the frames come from.
        frames: As of `frames_of`.

    Returns:
        All latents and what is known about the frames.

    Raises:
        BagError: If a set is damaged at some place.
        FrameError: If an image cannot be decoded, or a network gives values that are not finite.
        ModelError: If a network fails, or decoder and encoder do not fit each other.
    """
    total = sum(entry.count for entry in sets)
    wanted = set(np.linspace(0, total - 1, min(total, _SHOWN)).round().astype(int).tolist())
    runs = [_Run(name, encoder) for name, encoder in encoders.items()]
    collector, shown = StateCollector(sets), {}
    for number, (source, frame) in enumerate(frames):
        collector.add(source, frame)
        for run in runs:
            run.add(frame)
        if number in wanted:
            shown[number] = np.array(frame.rgb)
    results = tuple(run.result() for run in runs)
    return Encodings(collector.state(), results, tuple(shown), tuple(shown.values()))


class _Run:
    """One encoder on its way through the frames."""

    def __init__(self, name: str, encoder: Encoder) -> None:
        self._name, self._encoder = name, encoder
        self._decoder = encoder.open_decoder() if latent_space(encoder.card).decoder is not None else None
        spec = encoder.card.input
        self._preprocessor = Preprocessor(spec)
        self._view: UInt8Array = np.zeros((1, *spec.size_wh[::-1], 3), np.uint8)
        self._latents: list[Latent] = []
        self._errors: list[tuple[float, ...]] = []
        self._thumbnails: list[UInt8Array] = []

    def add(self, frame: KnownFrame) -> None:
        latent = self._encoder.encode(Frame(frame.rgb, len(self._latents), ""))
        self._latents.append(latent)
        transform = self._preprocessor.fill(frame.rgb, self._view)
        self._thumbnails.append(np.array(thumbnail(self._view[0])))
        if self._decoder is None:
            return
        boxes = np.zeros((0, 4)) if frame.truth is None else frame.truth.boxes_xyxy[~frame.truth.ignored]
        inside = inside_boxes(transform.to_network(boxes.astype(np.float64)), self._encoder.card.input.size_wh)
        decoded = np.clip(self._decoder.decode_unit(latent.mean), 0, 1).transpose(1, 2, 0)
        self._errors.append(image_error(self._view[0].astype(np.float32) / 255, decoded, inside).values())

    def result(self) -> Encoded:
        log_variances = np.stack([latent.log_variance for latent in self._latents])
        novelty = np.array([latent.novelty for latent in self._latents])
        return Encoded(
            self._name, self._encoder, self._decoder,
            np.stack([latent.mean for latent in self._latents]),
            log_variances if log_variances.shape[1] else None,
            novelty if self._encoder.computes_novelty else None,
            np.array(self._errors) if self._decoder is not None else None,
            np.stack(self._thumbnails),
        )  # fmt: skip
