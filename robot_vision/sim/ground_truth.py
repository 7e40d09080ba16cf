"""Ground truth of a rendered frame: boxes from the segmentation image, occlusion and truncation from silhouettes.

An object counts as *labelled*, that is, a detector is expected to find it, when at the scale of a 320 × 240 image at
least 40 of its pixels are visible and its box is at least 6 pixels wide and high, at most 75 % of it is hidden by
other things and at most 75 % lies outside the image. The remaining visible objects are written as regions to ignore.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from robot_vision.sim.cameras import CameraPose, Intrinsics, quaternion_xyzw
from robot_vision.sim.engine import mujoco
from robot_vision.sim.objects import Hulls, ObjectBody
from robot_vision.types import Float32Array, Float64Array, Int64Array

LEAST_PIXELS = 40
LEAST_SIDE = 6.0
MOST_HIDDEN = 0.75
MOST_OUTSIDE = 0.75
_CANVAS = 160.0
_NEAR_M = 0.05


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Every object of which at least one pixel is visible, by rising id.

    Attributes:
        boxes_xyxy: (N, 4) float32 pixels, tight around the visible pixels; x2 and y2 are exclusive edges.
        class_ids: (N,) int64.
        object_ids: (N,) int64, the same for an object in every frame of a scene.
        visible_pixels: (N,) int64.
        occlusion: (N,) float32 in [0, 1], share of the part inside the image that other things hide.
        truncation: (N,) float32 in [0, 1], share of the silhouette outside the image.
        positions: (N, 3) float64, metres in the optical frame.
        quaternions_xyzw: (N, 4) float64, orientation in the optical frame.
        labelled: (N,) bool, whether a detector is expected to find the object.
    """

    boxes_xyxy: Float32Array
    class_ids: Int64Array
    object_ids: Int64Array
    visible_pixels: Int64Array
    occlusion: Float32Array
    truncation: Float32Array
    positions: Float64Array
    quaternions_xyzw: Float64Array
    labelled: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.object_ids)


class GroundTruthReader:
    """Reads the ground truth of one scene's frames.

    Args:
        model: The scene's MuJoCo model.
        objects: The objects, by rising id.
        intrinsics: The camera's pinhole model.
    """

    def __init__(self, model: Any, objects: Sequence[ObjectBody], intrinsics: Intrinsics) -> None:
        self._objects = objects
        self._intrinsics = intrinsics
        self._bodies = [int(model.body(described.body).id) for described in objects]
        slot_of_root = np.zeros(model.nbody, np.int64)
        slot_of_root[self._bodies] = np.arange(1, len(self._bodies) + 1)
        slot_of_geom = slot_of_root[model.body_rootid[model.geom_bodyid]]
        self._slot_of_geom = np.append(slot_of_geom, 0)

    def slots(self, segmentation: npt.NDArray[np.int32]) -> Int64Array:
        """Per pixel 1 + the index of the object, 0 for anything else.

        Args:
            segmentation: (H, W, 2) int32 pairs of MuJoCo id and type as rendered.

        Returns:
            (H, W) int64.
        """
        is_geom = segmentation[..., 1] == int(mujoco.mjtObj.mjOBJ_GEOM)
        return np.asarray(self._slot_of_geom[np.where(is_geom, segmentation[..., 0], -1)])

    def read(self, segmentation: npt.NDArray[np.int32], data: Any, camera: CameraPose) -> GroundTruth:
        """Ground truth of one frame.

        Args:
            segmentation: (H, W, 2) int32 as rendered.
            data: The MuJoCo state that was rendered.
            camera: The camera's pose.

        Returns:
            All visible objects.
        """
        slots = self.slots(segmentation)
        pixels = np.bincount(slots.ravel(), minlength=len(self._bodies) + 1)[1:]
        seen = [int(i) for i in np.flatnonzero(pixels)]
        boxes = np.array([_mask_box(slots == i + 1) for i in seen], np.float32).reshape(-1, 4)
        places = [_in_camera(data, self._bodies[i], camera) for i in seen]
        areas = np.array(
            [
                silhouette_areas(self._objects[i].hulls, *place, self._intrinsics)
                for i, place in zip(seen, places, strict=True)
            ]
        ).reshape(-1, 2)
        inside, total = np.maximum(areas[:, 0], pixels[seen]), np.maximum(areas[:, 1], 1e-6)
        occlusion = np.clip(1 - pixels[seen] / inside, 0, 1).astype(np.float32)
        truncation = np.clip(1 - areas[:, 0] / total, 0, 1).astype(np.float32)
        return GroundTruth(
            boxes_xyxy=boxes,
            class_ids=np.array([self._objects[i].class_id for i in seen], np.int64),
            object_ids=np.array([self._objects[i].object_id for i in seen], np.int64),
            visible_pixels=pixels[seen].astype(np.int64),
            occlusion=occlusion,
            truncation=truncation,
            positions=np.array([position for _, position in places], np.float64).reshape(-1, 3),
            quaternions_xyzw=np.array([quaternion_xyzw(turn) for turn, _ in places], np.float64).reshape(-1, 4),
            labelled=self._labelled(boxes, pixels[seen], occlusion, truncation),
        )

    def _labelled(
        self, boxes_xyxy: Float32Array, pixels: Int64Array, occlusion: Float32Array, truncation: Float32Array
    ) -> npt.NDArray[np.bool_]:
        scale = np.sqrt(self._intrinsics.width * self._intrinsics.height / (320 * 240))
        side = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).min(axis=1, initial=np.inf)
        large = (pixels >= LEAST_PIXELS * scale**2) & (side >= LEAST_SIDE * scale)
        return np.asarray(large & (occlusion <= MOST_HIDDEN) & (truncation <= MOST_OUTSIDE))


def _mask_box(mask: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _in_camera(data: Any, body: int, camera: CameraPose) -> tuple[Float64Array, Float64Array]:
    rotation = camera.rotation.T @ data.xmat[body].reshape(3, 3)
    return rotation, camera.rotation.T @ (data.xpos[body] - camera.position)


def silhouette_areas(
    hulls: Hulls, rotation: Float64Array, position: Float64Array, intrinsics: Intrinsics
) -> tuple[float, float]:
    """Areas that an object would cover with nothing in front of it.

    Args:
        hulls: Convex point sets (P, 3) in the object's frame, metres.
        rotation: (3, 3) object to optical frame.
        position: (3,) of the object in the optical frame, metres.
        intrinsics: The camera's pinhole model.

    Returns:
        Square pixels inside the image, and in all.
    """
    outlines = []
    for points in hulls:
        seen = points @ rotation.T + position
        seen = seen[seen[:, 2] > _NEAR_M]
        if len(seen) >= 3:
            outlines.append(cv2.convexHull(intrinsics.project(seen).astype(np.float32))[:, 0])
    if not outlines:
        return 0.0, 0.0
    everything = np.concatenate(outlines)
    low = np.maximum(everything.min(axis=0), (-intrinsics.width, -intrinsics.height))
    high = np.minimum(everything.max(axis=0), (2 * intrinsics.width, 2 * intrinsics.height))
    if (high <= low).any():
        return 0.0, 0.0
    zoom = float(np.clip(_CANVAS / (high - low).max(), 0.25, 8.0))
    canvas = np.zeros(tuple(int(v) for v in np.ceil((high - low) * zoom)[::-1] + 1), np.uint8)
    for outline in outlines:
        cv2.fillConvexPoly(canvas, np.round(((outline - low) * zoom - 0.5) * 16).astype(np.int32), 1, cv2.LINE_8, 4)
    left, top = (max(0, round(float(-edge * zoom))) for edge in low)
    right, bottom = (
        max(0, round(float((size - edge) * zoom)))
        for size, edge in zip((intrinsics.width, intrinsics.height), low, strict=True)
    )
    return int(canvas[top:bottom, left:right].sum()) / zoom**2, cv2.countNonZero(canvas) / zoom**2
