"""Latent states of camera frames: any image encoder with a model card, on ONNX Runtime."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from robot_vision.errors import FrameError, ModelError
from robot_vision.latent.decoder import Decoder
from robot_vision.params import EncoderParams, SessionParams
from robot_vision.preprocess import Preprocessor
from robot_vision.runtime.card import InputSpec, LatentSpec, ModelCard, load_card
from robot_vision.runtime.outputs import output_index as session_output_index
from robot_vision.runtime.outputs import values_to_unit
from robot_vision.runtime.session import NetworkInput, OnnxSession, Session
from robot_vision.types import Float32Array, Frame, Latent


class Encoder:
    """Frame to `Latent`; for one thread at a time.

    An output may be a vector (1, D), spatial (1, C, H, W), tokens (1, T, C) or of any other shape: it is flattened in C
    order (the last dimension runs fastest) to the D values of the card's `latent.size`.

    Args:
        card: Card of task `latent_encoder`.
        session_params: Execution settings, also those of the decoder.
        params: Encoder settings; with `novelty` the card's decoder is loaded too.
        session: Network to use instead of opening the card's.
        decoder: Decoder to compute novelty with, instead of opening the card's.

    Raises:
        ModelError: If the card is for another task, the network's outputs are not the card's, or novelty is asked for
            and decoder and encoder do not fit together.
        ProviderError: If the execution provider cannot be had.
    """

    def __init__(
        self,
        card: ModelCard,
        session_params: SessionParams,
        params: EncoderParams,
        session: Session | None = None,
        decoder: Decoder | None = None,
    ) -> None:
        latent = latent_space(card)
        self.card = card
        self.session: Session = OnnxSession(card, session_params) if session is None else session
        self._inputs = (self.session.new_input(), self.session.new_input())
        self._hash = card.identity_hash
        self._preprocessor = Preprocessor(card.input)
        self._mean_index = output_index(card, self.session, latent.mean_output)
        log_variance = latent.log_variance_output
        self._log_variance_index = None if log_variance is None else output_index(card, self.session, log_variance)
        self._session_params, self._params, self._decoder = session_params, params, decoder
        self._novelty = self._open_novelty(latent) if params.novelty else None

    @property
    def computes_novelty(self) -> bool:
        """Whether `Latent.novelty` is a number: it was asked for and the card names a decoder and a calibration."""
        return self._novelty is not None

    def twin(self) -> Encoder:
        """Another encoder on the same networks, with the same parameters, for use in another thread."""
        decoder = None if self._decoder is None else self._decoder.twin()
        return Encoder(self.card, self._session_params, self._params, self.session, decoder)

    def open_decoder(self) -> Decoder:
        """A decoder of this encoder's latents, for use in another thread.

        It runs on the network that computes novelty where there is one; else the card's decoder is loaded.

        Returns:
            The decoder; it takes the encoder's number of values and gives images of the encoder's input size.

        Raises:
            ModelError: If the card names no decoder, that cannot be used, or it does not fit the encoder.
            ProviderError: If the execution provider cannot be had.
        """
        if self._decoder is not None:
            return self._decoder.twin()
        latent = latent_space(self.card)
        if latent.decoder is None:
            raise ModelError(f"{self.card.name}: its card names no decoder; set latent.decoder to that one's card")
        try:
            decoder = Decoder(load_card(latent.decoder), self._session_params)
        except ModelError as error:
            raise ModelError(f"{self.card.name}: latent.decoder: {error}") from error
        if decoder.latent_size != latent.size or decoder.size_wh != self.card.input.size_wh:
            raise ModelError(
                f"{self.card.name}: needs a decoder of {latent.size} values to an image of {self.card.input.size_wh} "
                f"pixels, but {latent.decoder} takes {decoder.latent_size} values and gives {decoder.size_wh}"
            )
        return decoder

    def encode(self, frame: Frame) -> Latent:
        """The latent state of one frame.

        Args:
            frame: Image of any size.

        Returns:
            Mean, log-variance (empty if the encoder has none), the encoder's name and hash, and the novelty: mean
            squared error of the decoded mean over the network's input image, in units of standard deviations above the
            calibration frames' mean; NaN if it is not computed.

        Raises:
            FrameError: If the network gives values that are not finite; the message names the frame's stamp.
            ModelError: If the network fails, or its output has another size than the card says.
        """
        return self.infer(frame, self.prepare(frame))

    def prepare(self, frame: Frame) -> NetworkInput:
        """The first half of `encode`; may run in a thread of its own while `infer` runs in another.

        Args:
            frame: Image of any size.

        Returns:
            The network's input, which the call after the next overwrites.
        """
        self._inputs = self._inputs[::-1]
        self._preprocessor.fill(frame.rgb, self._inputs[0])
        return self._inputs[0]

    def infer(self, frame: Frame, network_input: NetworkInput) -> Latent:
        """The second half of `encode`.

        Args:
            frame: The image.
            network_input: From `prepare`.

        Returns:
            As `encode`.

        Raises:
            FrameError: As `encode`.
            ModelError: As `encode`.
        """
        outputs = self.session.run(network_input)
        mean = checked_vector(self.card, outputs[self._mean_index], "mean", frame)
        if self._log_variance_index is None:
            log_variance = np.zeros(0, np.float32)
        else:
            log_variance = checked_vector(self.card, outputs[self._log_variance_index], "log-variance", frame)
        novelty = math.nan
        if self._novelty is not None:
            novelty = self._novelty.score(network_input, mean)
        return Latent(mean, log_variance, self.card.name, self._hash, novelty)

    def _open_novelty(self, latent: LatentSpec) -> _Novelty | None:
        if latent.decoder is None or latent.novelty_error_mean is None or latent.novelty_error_std is None:
            return None
        if self._decoder is None:
            self._decoder = self.open_decoder()
        return _Novelty(self.card.input, self._decoder, latent.novelty_error_mean, latent.novelty_error_std)


class _Novelty:
    """Standardised reconstruction error of an encoder's input."""

    def __init__(self, spec: InputSpec, decoder: Decoder, error_mean: float, error_std: float) -> None:
        self._spec = spec
        self._decoder = decoder
        self._error_mean, self._error_std = error_mean, error_std

    def score(self, network_input: Float32Array, mean: Float32Array) -> float:
        difference = values_to_unit(network_input[0], self._spec) - self._decoder.decode_unit(mean)
        return (float(np.square(difference).mean()) - self._error_mean) / self._error_std


def latent_space(card: ModelCard) -> LatentSpec:
    """The latent space of an encoder's card.

    Args:
        card: Any card.

    Returns:
        What is known about it.

    Raises:
        ModelError: If the card is for another task.
    """
    if card.task != "latent_encoder" or card.latent is None:
        raise ModelError(f"{card.name}: expected a card of task latent_encoder, got {card.task}")
    return card.latent


def output_index(card: ModelCard, session: Session, name: str) -> int:
    """Where an output that holds a latent stands among those of a session.

    Args:
        card: The network's card.
        session: The network.
        name: Name of the output.

    Returns:
        Its index in what `run` returns.

    Raises:
        ModelError: If the network has no such output, or it has more or fewer values than the card's `latent.size`.
    """
    index = session_output_index(card, session, name)
    # The session has run once: a card that cannot be right is told now, not with every frame.
    _require_size(card, name, session.outputs[index].shape)
    return index


def checked_vector(card: ModelCard, output: npt.NDArray[Any], what: str, frame: Frame) -> Float32Array:
    """An output as a vector, flattened in C order.

    Args:
        card: The network's card.
        output: Numbers of any shape.
        what: What the output is, for messages.
        frame: The image it belongs to.

    Returns:
        (D,) float32.

    Raises:
        FrameError: If a value is not finite.
        ModelError: If there are more or fewer than the card's `latent.size`.
    """
    _require_size(card, what, output.shape)
    values = np.asarray(output, np.float32).reshape(-1)
    if not np.isfinite(values).all():
        raise FrameError(
            f"frame at {frame.stamp_ns} ns: {card.name} gave a {what} with "
            f"{int((~np.isfinite(values)).sum())} values that are not finite"
        )
    return values


def _require_size(card: ModelCard, what: str, shape: tuple[int | None, ...]) -> None:
    count, size = math.prod(side or 0 for side in shape), latent_space(card).size
    if count != size:
        raise ModelError(
            f"{card.onnx_path}: {what} has {count} values (shape {shape}), but the card says latent.size {size}; "
            f"write latent.size: {count} in the card, or name another output"
        )
