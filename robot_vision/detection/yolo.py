"""The detection stage: one frame in, boxes in its pixels out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from robot_vision.detection.heads import HEADS, Candidates, HeadDecoder, merge
from robot_vision.detection.nms import suppress
from robot_vision.detection.tiles import Tile, tiles_of, whole
from robot_vision.errors import InvalidValueError, ModelError
from robot_vision.geometry import ResizeTransform, clip_boxes
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.preprocess import Preprocessor
from robot_vision.runtime.card import ModelCard
from robot_vision.runtime.layouts import Layout, Output, layout_as_told, recognise_layout
from robot_vision.runtime.session import NetworkInput, OnnxSession, Session
from robot_vision.types import Detections, Float32Array, Frame

_OUTPUT_SETS = 3
"""One that the network writes, one that waits for `finish` and one that `finish` reads."""


@dataclass(frozen=True, eq=False)
class _Settings:
    """Parameters and what follows from them, replaced together.

    Attributes:
        params: The parameters.
        lowest: Smallest score that any class needs.
        thresholds: Smallest score of each class (C,), infinite for one that is not wanted; None if `lowest` says all.
    """

    params: DetectorParams
    lowest: float
    thresholds: Float32Array | None


class Prepared(NamedTuple):
    """A frame that the network can run on, tile by tile.

    Attributes:
        network_inputs: One a tile, from the session's `new_input`; valid until `prepare` has been called twice more.
        transforms: Where each tile lies in its network input.
        tiles: The parts of the frame, the region of interest first.
        source_wh: Width and height of the frame in pixels.
    """

    network_inputs: tuple[NetworkInput, ...]
    transforms: tuple[ResizeTransform, ...]
    tiles: tuple[Tile, ...]
    source_wh: tuple[int, int]


class Inference(NamedTuple):
    """A frame that the network has run on, tile by tile.

    Attributes:
        outputs: What the network returned for each tile; valid until `infer` has been called three times more.
        transforms: Where each tile lies in its network input.
        tiles: The parts of the frame, the region of interest first.
        source_wh: Width and height of the frame in pixels.
    """

    outputs: tuple[tuple[npt.NDArray[Any], ...], ...]
    transforms: tuple[ResizeTransform, ...]
    tiles: tuple[Tile, ...]
    source_wh: tuple[int, int]


class Detector:
    """Finds objects in frames with a YOLO network.

    `detect` is `prepare`, `infer` and `finish`; these may run in three threads, one each, on successive frames.
    `set_params` may be called from any thread.

    Attributes:
        card: The network's card.
        session: The network.
        malformed: Number of boxes dropped so far because box or score was no finite number.

    Args:
        card: A detection network.
        session_params: How the network is executed.
        detector_params: Thresholds, limits and class filter.
        session: Network to use instead of opening the card's, for tests.

    Raises:
        ModelError: If the network cannot be loaded or run, or its output is not what the card says.
        ProviderError: If the execution provider asked for cannot be had.
        InvalidValueError: If `classes` or `class_thresholds` names an unknown class or is malformed.
    """

    def __init__(
        self,
        card: ModelCard,
        session_params: SessionParams,
        detector_params: DetectorParams,
        session: Session | None = None,
    ) -> None:
        if card.task != "detection":
            raise ModelError(f"model {card.name}: expected task detection, its card says {card.task}")
        self.card = card
        self.malformed = 0
        self._settings = self._checked(detector_params)
        self._preprocessor = Preprocessor(card.input)
        self.session: Session = OnnxSession(card, session_params, pixels=True) if session is None else session
        self._inputs = [[self.session.new_input()], [self.session.new_input()]]
        self._outputs = [[self.session.new_outputs()] for _ in range(_OUTPUT_SETS)]
        self._layout = _layout_of(card, self.session.outputs)
        self._head: HeadDecoder = HEADS[self._layout.head]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes in the order of their ids."""
        return self.card.class_names

    @property
    def params(self) -> DetectorParams:
        """The parameters that the next frame is processed with."""
        return self._settings.params

    def twin(self) -> Detector:
        """Another detector on the same network, with the same parameters, for use in another thread."""
        return Detector(self.card, SessionParams(), self.params, self.session)

    def check(self, params: DetectorParams) -> None:
        """See whether `set_params` would take these parameters.

        Args:
            params: Parameters.

        Raises:
            InvalidValueError: If `classes` or `class_thresholds` names an unknown class or is malformed.
        """
        self._checked(params)

    def set_params(self, params: DetectorParams) -> None:
        """Change thresholds, limits and class filter from the next frame on.

        Args:
            params: The new parameters; `model` and `class_id_format` have no effect here.

        Raises:
            InvalidValueError: If `classes` or `class_thresholds` names an unknown class or is malformed; the old
                parameters stay.
        """
        self._settings = self._checked(params)

    def detect(self, frame: Frame) -> Detections:
        """Detect objects in one frame.

        Args:
            frame: The image.

        Returns:
            Boxes by falling score, in pixels of the frame, clipped to it.

        Raises:
            ModelError: If the network fails, or its scores or class ids are not what the card says.
        """
        return self.finish(self.infer(self.prepare(frame)))

    def prepare(self, frame: Frame) -> Prepared:
        """The first part of `detect`: write the frame's tiles into one of two sets of inputs in turn.

        Args:
            frame: The image.

        Returns:
            What `infer` needs.
        """
        tiles = tiles_of(frame.size_wh, self._settings.params)
        inputs = self._inputs[0]
        while len(inputs) < len(tiles):
            inputs.append(self.session.new_input())
        transforms = tuple(
            self._preprocessor.fill(frame.rgb[tile.top : tile.bottom, tile.left : tile.right], network_input)
            for tile, network_input in zip(tiles, inputs, strict=False)
        )
        # Only now, so that a failure cannot hand out twice what the network may be running on.
        self._inputs.reverse()
        return Prepared(tuple(inputs[: len(tiles)]), transforms, tiles, frame.size_wh)

    def infer(self, prepared: Prepared) -> Inference:
        """The second part of `detect`: run the network on each tile.

        Args:
            prepared: From `prepare`.

        Returns:
            What `finish` needs.

        Raises:
            ModelError: If the network fails.
        """
        into = self._outputs[0]
        while len(into) < len(prepared.tiles):
            into.append(self.session.new_outputs())
        outputs = tuple(map(self.session.run, prepared.network_inputs, into))
        self._outputs.append(self._outputs.pop(0))
        return Inference(outputs, prepared.transforms, prepared.tiles, prepared.source_wh)

    def finish(self, inference: Inference) -> Detections:
        """The last part of `detect`: raw outputs to detections.

        Finished boxes (of end-to-end networks) are suppressed only across classes and on request, or across tiles.

        Args:
            inference: From `infer`.

        Returns:
            Boxes by falling score, in pixels of the frame, clipped to it; boxes beside the image are dropped.

        Raises:
            ModelError: If scores or class ids are not what the card says.
        """
        params = self._settings.params
        found = [self._found(*parts, inference.tiles[0]) for parts in zip(*inference[:3], strict=True)]
        merged = found[0] if len(found) == 1 else merge(found)
        self.malformed += merged.malformed
        boxes_xyxy = clip_boxes(merged.boxes_xyxy, inference.source_wh)
        visible = (boxes_xyxy[:, 2] > boxes_xyxy[:, 0]) & (boxes_xyxy[:, 3] > boxes_xyxy[:, 1])
        if not visible.all():
            merged, boxes_xyxy = merged.select(visible), boxes_xyxy[visible]
        if not len(merged):
            return Detections.empty()
        if self._head.needs_suppression or params.class_agnostic or len(found) > 1:
            class_ids = None if params.class_agnostic else merged.class_ids
            best = suppress(merged.boxes_xyxy, merged.scores, class_ids, params.iou_threshold, params.max_detections)
        else:
            best = np.argsort(-merged.scores, kind="stable")[: params.max_detections]
        return Detections(boxes_xyxy[best], np.minimum(merged.scores[best], np.float32(1)), merged.class_ids[best])

    def _found(
        self, outputs: tuple[npt.NDArray[Any], ...], transform: ResizeTransform, tile: Tile, region: Tile
    ) -> Candidates:
        """Candidates of one tile, in pixels of the frame, unclipped; without those that the tile's edge cuts."""
        settings = self._settings
        ordered = [outputs[index] for index in self._layout.order]
        found = self._head.decode(ordered, self.card.input.size_wh, settings.lowest)
        self._check_classes(found)
        if settings.thresholds is not None:
            found = found.select(found.scores >= settings.thresholds[found.class_ids])
        offset = np.array([tile.left, tile.top, tile.left, tile.top], np.float32)
        found = replace(found, boxes_xyxy=transform.to_source(found.boxes_xyxy) + offset)
        return found if tile == region else found.select(whole(found.boxes_xyxy, tile, region))

    def _checked(self, params: DetectorParams) -> _Settings:
        names = self.card.class_names
        own = _class_thresholds(params.class_thresholds)
        for setting, given in (("classes", params.classes), ("class_thresholds", own)):
            unknown = [name for name in given if name not in names]
            if unknown:
                raise InvalidValueError(
                    f"detector.{setting}: model {self.card.name} has no class {', '.join(unknown)}; it has "
                    f"{', '.join(names)}"
                )
        if not params.classes and not own:
            return _Settings(params, params.confidence_threshold, None)
        thresholds = [
            own.get(name, params.confidence_threshold) if name in (params.classes or names) else math.inf
            for name in names
        ]
        return _Settings(params, min(thresholds), np.array(thresholds, np.float32))

    def _check_classes(self, found: Candidates) -> None:
        if len(found) and not 0 <= found.class_ids.min() <= found.class_ids.max() < len(self.class_names):
            raise ModelError(
                f"{self.card.onnx_path}: the network returned class ids {found.class_ids.min()} to "
                f"{found.class_ids.max()}, its card names {len(self.class_names)} classes"
            )


def _class_thresholds(entries: Iterable[str]) -> dict[str, float]:
    """Scores by class name, out of texts `name:score`.

    Raises:
        InvalidValueError: If a text is not of that form, or its score not within [0, 1].
    """
    thresholds: dict[str, float] = {}
    for entry in entries:
        name, _, text = entry.rpartition(":")
        try:
            thresholds[name] = float(text)
        except ValueError:
            thresholds[name] = math.nan
        if not name or not 0 <= thresholds[name] <= 1:
            raise InvalidValueError(
                f"detector.class_thresholds: expected name:score, such as person:0.4; got {entry!r}"
            )
    return thresholds


def _layout_of(card: ModelCard, outputs: tuple[Output, ...]) -> Layout:
    """The layout of a network's outputs, which the card may name but not contradict."""
    shapes = ", ".join(map(str, outputs))
    layout = recognise_layout(outputs, card.input.size_wh)
    head = card.head or (layout.head if layout else None)
    if head is None:
        raise ModelError(
            f"{card.onnx_path}: output {shapes} fits no known layout; set output.head in its card to one of "
            f"{', '.join(HEADS)}"
        )
    if layout is None or layout.head != head:
        layout = layout_as_told(head, outputs)
    if layout is None:
        raise ModelError(f"{card.onnx_path}: the card says layout {head}, but output {shapes} cannot be that")
    if layout.class_count is not None and layout.class_count != len(card.class_names):
        raise ModelError(
            f"{card.onnx_path}: output {shapes} as layout {head} has {layout.class_count} classes, its card names "
            f"{len(card.class_names)}"
        )
    return layout
