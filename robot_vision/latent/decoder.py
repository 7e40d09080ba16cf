"""Images of latent states, so that an agent's memory or imagination can be looked at."""

from __future__ import annotations

import numpy as np

from robot_vision.errors import InvalidValueError, ModelError
from robot_vision.params import SessionParams
from robot_vision.runtime.card import ModelCard
from robot_vision.runtime.outputs import decoded_image, output_index, unit_to_rgb
from robot_vision.runtime.session import OnnxSession, Session
from robot_vision.types import Float32Array, UInt8Array


class Decoder:
    """Latent mean to RGB image; for one thread at a time.

    Args:
        card: Card of task `latent_decoder`; its `output` says how network values become pixels.
        session_params: Execution settings.
        session: Network to use instead of opening the card's, for tests.

    Raises:
        ModelError: If the card is for another task, or the network has no such output.
        ProviderError: If the execution provider cannot be had.
    """

    def __init__(self, card: ModelCard, session_params: SessionParams, session: Session | None = None) -> None:
        if card.task != "latent_decoder" or card.latent is None:
            raise ModelError(f"{card.name}: expected a card of task latent_decoder, got {card.task}")
        self.card = card
        self.session: Session = OnnxSession(card, session_params) if session is None else session
        self._input = self.session.new_input()
        self._latent_size = card.latent.size
        self._output_index = output_index(card, self.session, card.input.name)

    def twin(self) -> Decoder:
        """Another decoder on the same network, for use in another thread."""
        return Decoder(self.card, SessionParams(), self.session)

    @property
    def latent_size(self) -> int:
        """Number of latent dimensions."""
        return self._latent_size

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the decoded image in pixels."""
        return self.card.input.size_wh

    def decode(self, mean: Float32Array) -> UInt8Array:
        """The image of one latent state.

        Args:
            mean: (D,) float32.

        Returns:
            (H, W, 3) uint8, RGB.

        Raises:
            InvalidValueError: If `mean` has another shape or values that are not finite.
            ModelError: If the network fails, or gives another shape or values that are not finite.
        """
        return unit_to_rgb(self.decode_unit(mean))

    def decode_unit(self, mean: Float32Array) -> Float32Array:
        """The image of one latent state as the network gives it, neither clipped nor rounded.

        Args:
            mean: (D,) float32.

        Returns:
            (3, H, W) float32, RGB, black 0 and white 1.

        Raises:
            InvalidValueError: If `mean` has another shape or values that are not finite.
            ModelError: If the network fails, or gives another shape or values that are not finite.
        """
        if np.shape(mean) != (self._latent_size,) or not np.isfinite(mean).all():
            raise InvalidValueError(
                f"latent of {self.card.name}: expected {self._latent_size} finite values, got shape {np.shape(mean)}"
                f"{'' if np.isfinite(mean).all() else ' with values that are not finite'}"
            )
        self._input[0] = mean
        return decoded_image(self.card, self.session.run(self._input)[self._output_index])
