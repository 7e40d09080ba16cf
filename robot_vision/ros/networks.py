"""The networks of the stages: each loaded once, and shared by the cameras of a node."""

from __future__ import annotations

from robot_vision.detection.yolo import Detector
from robot_vision.latent.crops import CropEncoder
from robot_vision.latent.encoder import Encoder
from robot_vision.params import DetectorParams, EncoderParams, SessionParams, TrackerParams
from robot_vision.runtime.batching import SharedSession
from robot_vision.runtime.card import ModelCard, load_card
from robot_vision.runtime.session import OnnxSession, Session


def open_detectors(session: SessionParams, params: DetectorParams, count: int) -> list[Detector]:
    """Detectors on one network, one for each camera.

    Args:
        session: Execution settings.
        params: Detector settings.
        count: How many.

    Returns:
        The detectors.

    Raises:
        ModelError: If the model or its card cannot be used.
        ProviderError: If the execution provider cannot be had.
        InvalidValueError: If a setting names a class that the model does not have.
    """
    card = load_card(params.model)
    network = _open(card, session, count, pixels=True)
    return [Detector(card, session, params, network) for _ in range(count)]


def open_encoders(session: SessionParams, params: EncoderParams, count: int) -> list[Encoder]:
    """Encoders on one network, one for each camera.

    Args:
        session: Execution settings.
        params: Encoder settings.
        count: How many.

    Returns:
        The encoders.

    Raises:
        ModelError: If the model or its card cannot be used.
        ProviderError: If the execution provider cannot be had.
    """
    card = load_card(params.model)
    network = _open(card, session, count, pixels=False)
    first = Encoder(card, session, params, network)
    return [first, *(first.twin() for _ in range(count - 1))]


def open_crop_encoders(session: SessionParams, params: TrackerParams, count: int) -> list[CropEncoder | None]:
    """What tells a tracker the looks of objects, on one network, one for each camera.

    Args:
        session: Execution settings.
        params: Tracker settings.
        count: How many.

    Returns:
        The crop encoders; None each where no appearance model is asked for.

    Raises:
        ModelError: If the model or its card cannot be used.
        ProviderError: If the execution provider cannot be had.
    """
    if not params.appearance_model:
        return [None] * count
    card = load_card(params.appearance_model)
    # Cameras need not take turns at it: ONNX Runtime lets several threads run one session.
    network = CropEncoder.open_session(card, session)
    return [CropEncoder(card, network) for _ in range(count)]


def _open(card: ModelCard, params: SessionParams, count: int, pixels: bool) -> Session:
    session = OnnxSession(card, params, count, pixels)
    return session if count == 1 else SharedSession(session)
