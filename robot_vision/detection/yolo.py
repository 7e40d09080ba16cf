"""The detection stage: one frame in, boxes in its pixels out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from robot_vision.detection.heads import HEADS, Candidates, HeadDecoder
from robot_vision.detection.nms import suppress
from robot_vision.errors import InvalidValueError, ModelError
from robot_vision.geometry import ResizeTransform, clip_boxes
from robot_vision.params import DetectorParams, SessionParams
from robot_vision.preprocess import Preprocessor
from robot_vision.runtime.card import ModelCard
from robot_vision.runtime.layouts import Head, Layout, Output, recognise_layout
from robot_vision.runtime.session import OnnxSession, Session
from robot_vision.types import Detections, Float32Array, Frame

_COLUMNS_BESIDE_CLASSES = {"yolov5": 5, "yolov8": 4}


@dataclass(frozen=True, eq=False)
class _Settings:
    """Parameters and what follows from them, replaced together."""

    params: DetectorParams
    wanted: npt.NDArray[np.bool_] | None


class Prepared(NamedTuple):
    """A frame that the network can run on.

    Attributes:
        network_input: (1, 3, H, W) float32; valid until `prepare` has been called twice more.
        transform: Where the image lies in it.
        source_wh: Width and height of the frame in pixels.
    """

    network_input: Float32Array
    transform: ResizeTransform
    source_wh: tuple[int, int]


class Inference(NamedTuple):
    """A frame that the network has run on.

    Attributes:
        outputs: What the network returned.
        transform: Where the image lies in the network's input.
        source_wh: Width and height of the frame in pixels.
    """

    outputs: tuple[npt.NDArray[Any], ...]
    transform: ResizeTransform
    source_wh: tuple[int, int]


class Detector:
    """Finds objects in frames with a YOLO network.

    `detect` is `prepare`, `infer` and `finish`; these may run in three threads, one each, on successive frames.
    `set_params` may be called from any thread.

    Args:
        card: A detection network.
        session_params: How the network is executed.
        detector_params: Thresholds, limits and class filter.
        session: Network to use instead of opening the card's, for tests.

    Raises:
        ModelError: If the network cannot be loaded or run, or its output is not what the card says.
        ProviderError: If the execution provider asked for cannot be had.
        InvalidValueError: If `detector_params.classes` names an unknown class.
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
        self._settings = self._checked(detector_params)
        self._preprocessor = Preprocessor(card.input)
        self.session: Session = OnnxSession(card, session_params) if session is None else session
        self._inputs = cycle((self.session.new_input(), self.session.new_input()))
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

    def check(self, params: DetectorParams) -> None:
        """See whether `set_params` would take these parameters.

        Args:
            params: Parameters.

        Raises:
            InvalidValueError: If `classes` names an unknown class.
        """
        self._checked(params)

    def set_params(self, params: DetectorParams) -> None:
        """Change thresholds, limits and class filter from the next frame on.

        Args:
            params: The new parameters; `model` and `class_id_format` have no effect here.

        Raises:
            InvalidValueError: If `classes` names an unknown class; the old parameters stay.
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
        """The first part of `detect`: write the frame into one of two inputs in turn.

        Args:
            frame: The image.

        Returns:
            What `infer` needs.
        """
        network_input = next(self._inputs)
        transform = self._preprocessor.fill(frame.rgb, network_input)
        return Prepared(network_input, transform, frame.size_wh)

    def infer(self, prepared: Prepared) -> Inference:
        """The second part of `detect`: run the network.

        Args:
            prepared: From `prepare`.

        Returns:
            What `finish` needs.

        Raises:
            ModelError: If the network fails.
        """
        return Inference(self.session.run(prepared.network_input), prepared.transform, prepared.source_wh)

    def finish(self, inference: Inference) -> Detections:
        """The last part of `detect`: raw outputs to detections.

        Finished boxes (layout `yolov10`) are suppressed only across classes, and only on request.

        Args:
            inference: From `infer`.

        Returns:
            Boxes by falling score, in pixels of the frame, clipped to it; boxes beside the image are dropped.

        Raises:
            ModelError: If scores or class ids are not what the card says.
        """
        settings = self._settings
        params = settings.params
        outputs = [inference.outputs[index] for index in self._layout.order]
        found = self._head.decode(outputs, self.card.input.size_wh, params.confidence_threshold)
        self._check_classes(found)
        if settings.wanted is not None:
            found = found.select(settings.wanted[found.class_ids])
        boxes_xyxy = clip_boxes(inference.transform.to_source(found.boxes_xyxy), inference.source_wh)
        visible = (boxes_xyxy[:, 2] > boxes_xyxy[:, 0]) & (boxes_xyxy[:, 3] > boxes_xyxy[:, 1])
        if not visible.all():
            found, boxes_xyxy = found.select(visible), boxes_xyxy[visible]
        if not len(found):
            return Detections.empty()
        if self._head.needs_suppression or params.class_agnostic:
            class_ids = None if params.class_agnostic else found.class_ids
            best = suppress(found.boxes_xyxy, found.scores, class_ids, params.iou_threshold, params.max_detections)
        else:
            best = np.argsort(-found.scores, kind="stable")[: params.max_detections]
        return Detections(boxes_xyxy[best], np.minimum(found.scores[best], np.float32(1)), found.class_ids[best])

    def _checked(self, params: DetectorParams) -> _Settings:
        names = self.card.class_names
        unknown = [name for name in params.classes if name not in names]
        if unknown:
            raise InvalidValueError(
                f"detector.classes: model {self.card.name} has no class {', '.join(unknown)}; it has {', '.join(names)}"
            )
        return _Settings(params, np.isin(names, params.classes) if params.classes else None)

    def _check_classes(self, found: Candidates) -> None:
        if len(found) and not 0 <= found.class_ids.min() <= found.class_ids.max() < len(self.class_names):
            raise ModelError(
                f"{self.card.onnx_path}: the network returned class ids {found.class_ids.min()} to "
                f"{found.class_ids.max()}, its card names {len(self.class_names)} classes"
            )


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
        layout = _as_told(card, head, outputs, shapes)
    if layout.class_count is not None and layout.class_count != len(card.class_names):
        raise ModelError(
            f"{card.onnx_path}: output {shapes} as layout {head} has {layout.class_count} classes, its card names "
            f"{len(card.class_names)}"
        )
    return layout


def _as_told(card: ModelCard, head: Head, outputs: tuple[Output, ...], shapes: str) -> Layout:
    """The layout that a card names, for outputs that are recognised as another one or as none."""
    shape = outputs[0].shape
    fits = len(outputs) == 1 and len(shape) == 3 and head in ("yolov5", "yolov8", "yolov10")
    if not fits or (head == "yolov10" and shape[2] != 6):
        raise ModelError(f"{card.onnx_path}: the card says layout {head}, but output {shapes} cannot be that")
    width = {"yolov5": shape[2], "yolov8": shape[1]}.get(head)
    return Layout(head, (0,), width - _COLUMNS_BESIDE_CLASSES[head] if width else None, "the card")
