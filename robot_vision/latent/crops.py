"""What the objects in a frame look like: any image encoder with a model card, run on what lies in each box."""

from __future__ import annotations

import numpy as np

from robot_vision.geometry import clip_boxes
from robot_vision.latent.encoder import checked_vector, latent_space, output_index
from robot_vision.params import SessionParams
from robot_vision.preprocess import Preprocessor
from robot_vision.runtime.card import ModelCard
from robot_vision.runtime.session import OnnxSession
from robot_vision.types import Detections, Float32Array, Frame, Int64Array

_MOST_AT_ONCE = 16
"""Crops that go through the network together where its batch is free."""


class CropEncoder:
    """Detections to embeddings that tell one object from another; for one thread at a time.

    The encoder may be one for re-identification, whose cosines are trained for that, or the mean of a VAE's latent.

    Args:
        card: Card of task `latent_encoder`.
        session: The card's network, from `open_session`; several crop encoders may share it.

    Raises:
        ModelError: If the card is for another task, or the network's outputs are not the card's.
    """

    def __init__(self, card: ModelCard, session: OnnxSession) -> None:
        latent = latent_space(card)
        self.card = card
        self.session = session
        self._output = output_index(card, session, latent.mean_output)
        self._size = latent.size
        self._inputs = [session.new_input() for _ in range(session.max_batch)]
        self._preprocessor = Preprocessor(card.input)

    @staticmethod
    def open_session(card: ModelCard, params: SessionParams) -> OnnxSession:
        """The network of a card, ready for as many crops at once as it takes.

        Args:
            card: Card of task `latent_encoder`.
            params: Execution settings.

        Returns:
            The session.

        Raises:
            ModelError: If the card is for another task, or the network cannot be run.
            ProviderError: If the execution provider cannot be had.
        """
        latent_space(card)
        return OnnxSession(card, params, _MOST_AT_ONCE)

    def encode(self, frame: Frame, detections: Detections, score_threshold: float) -> Float32Array:
        """What each detection looks like.

        Args:
            frame: Image of any size.
            detections: Boxes in pixels of that image.
            score_threshold: Smallest score that is looked at.

        Returns:
            (N, D) float32 of unit length; zeros for a detection that is not looked at, or whose box has no pixel in
            the image.

        Raises:
            FrameError: If the network gives values that are not finite; the message names the frame's stamp.
            ModelError: If the network fails, or its output has another size than the card says.
        """
        embeddings = np.zeros((len(detections), self._size), np.float32)
        index, edges = _pixels(detections, frame.size_wh, score_threshold)
        for start in range(0, len(index), len(self._inputs)):
            rows = index[start : start + len(self._inputs)]
            inputs = self._inputs[: len(rows)]
            for (left, top, right, bottom), target in zip(edges[rows].tolist(), inputs, strict=True):
                self._preprocessor.fill(frame.rgb[top:bottom, left:right], target)
            for row, outputs in zip(rows, self.session.run_batch(inputs), strict=True):
                values = checked_vector(self.card, outputs[self._output], "embedding", frame).astype(np.float64)
                embeddings[row] = values / (np.linalg.norm(values) or 1.0)
        return embeddings


def _pixels(detections: Detections, size_wh: tuple[int, int], score_threshold: float) -> tuple[Int64Array, Int64Array]:
    """Index (K,) of the detections to look at, and left, top, right, bottom (N, 4) of every one's whole pixels."""
    boxes = np.where(np.isfinite(detections.boxes_xyxy), detections.boxes_xyxy, 0)
    clipped = clip_boxes(boxes, size_wh)
    edges = np.concatenate([np.floor(clipped[:, :2]), np.ceil(clipped[:, 2:])], axis=1).astype(np.int64)
    shown = (edges[:, 2:] > edges[:, :2]).all(axis=1) & (detections.scores >= score_threshold)
    return shown.nonzero()[0], edges
