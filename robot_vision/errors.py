"""Errors that robot_vision raises: one root, one child per kind of thing that can be wrong."""

from __future__ import annotations


class RobotVisionError(Exception):
    """Root of every error that robot_vision raises on purpose; the message is meant for the user."""


class InvalidValueError(RobotVisionError, ValueError):
    """A value that is outside its contract: a wrong shape, dtype, range or combination."""


class FrameError(RobotVisionError):
    """A camera message that cannot become a frame; it is counted and skipped, the node goes on."""


class ModelError(RobotVisionError):
    """A network file or its model card that is missing, damaged, contradictory or not understood."""


class ProviderError(RobotVisionError):
    """An execution provider that was asked for and could not be obtained."""


class BagError(RobotVisionError):
    """A bag, video or image folder that is missing, damaged or holds nothing usable."""


class MissingDependencyError(RobotVisionError):
    """An optional package or system library that a command needs and that is not installed."""


class EvaluationError(RobotVisionError):
    """Results and ground truth that cannot be compared."""


class StaleObservationError(RobotVisionError):
    """An observation that an agent waits for and that does not come, or is too old to act on."""


class EncoderMismatchError(RobotVisionError):
    """Latents of another encoder than those before them, or than the agent was made for."""
