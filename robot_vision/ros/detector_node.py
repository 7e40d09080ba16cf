"""The detector alone: images in, detections out, for one camera or several."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial

from robot_vision.params import DetectorParams, StageParams
from robot_vision.ros.camera import CameraFrame, CameraIntake, Infer, Publish
from robot_vision.ros.changes import changed_detectors
from robot_vision.ros.diagnostics import Diagnostics
from robot_vision.ros.lifecycle import StageNode
from robot_vision.ros.networks import open_detectors
from robot_vision.ros.parameters import StageParameters
from robot_vision.ros.services import DetectService
from robot_vision.ros.spin import run
from robot_vision.ros.stages import DetectStage, TimedInference


class Detection:
    """Publishes the detections of every frame it processes."""

    def __init__(self, node: StageNode, settings: StageParameters, diagnostics: Diagnostics) -> None:
        """Load the network and create the stages, as `lifecycle.MakeWork` says."""
        self._settings = settings
        camera = settings["camera"]
        names = camera.names or ("",)
        detectors = open_detectors(settings["session"], settings["detector"], len(names))
        self._stages = [
            DetectStage(node, diagnostics, detector, name) for detector, name in zip(detectors, names, strict=True)
        ]
        DetectService(node, self._stages[0])
        self._cameras = [
            CameraIntake(node, camera, partial(_prepare, stage), name)
            for stage, name in zip(self._stages, names, strict=True)
        ]
        for intake in self._cameras:
            diagnostics.watch_camera(intake)

    def start(self) -> None:
        """Begin to process frames."""
        for intake in self._cameras:
            intake.start()

    def stop(self) -> bool:
        """Stop the workers; False if a network does not return."""
        stopped = [intake.stop() for intake in self._cameras]
        return all(stopped)

    def change(self, stage: str, params: StageParams) -> Sequence[Callable[[], None]]:
        """See whether changed settings can be taken over, as `lifecycle.Work` says."""
        if isinstance(params, DetectorParams):
            return changed_detectors(self._stages, self._settings, params)
        return [partial(intake.set_params, params) for intake in self._cameras if stage == "camera"]


def _prepare(stage: DetectStage, item: CameraFrame) -> Infer:
    prepared = stage.prepare(item.frame)

    def infer() -> Publish:
        inferred = stage.infer(prepared)
        return lambda: _publish(stage, item, inferred)

    return infer


def _publish(stage: DetectStage, item: CameraFrame, inferred: TimedInference) -> None:
    stage.publish(item.header, inferred)


def main() -> int:
    """Run the node until it is interrupted.

    Returns:
        Exit status.
    """
    return run(lambda: StageNode("detector_node", ("camera", "session", "detector"), Detection))


if __name__ == "__main__":
    sys.exit(main())
