"""Ground truth against independent geometry, brute force and closed forms."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from robot_vision.sim.cameras import CameraPose, Intrinsics
from robot_vision.sim.engine import mujoco
from robot_vision.sim.ground_truth import GroundTruthReader, silhouette_areas
from robot_vision.sim.meshes import chamfered_box
from robot_vision.sim.scene import SceneConfig
from robot_vision.sim.world import SimFrame, World, WorldConfig

SCENE = SceneConfig(objects=(9, 9), shadow_size=256, samples=0)


@pytest.fixture(scope="module")
def world() -> Any:
    with World(WorldConfig(21, (320, 240), "uav", 2.0, scene=SCENE)) as opened:
        opened.advance(0.5)
        yield opened


def mesh_box(world: World, frame: SimFrame, body: int) -> list[float]:
    """Box of an object from MuJoCo's own mesh vertices, geom poses and field of view, point by point."""
    model, data = world.scene.model, world.data
    us, vs = [], []
    for geom in range(model.ngeom):
        if model.body_rootid[model.geom_bodyid[geom]] != body or model.geom_type[geom] != mujoco.mjtGeom.mjGEOM_MESH:
            continue
        mesh = model.geom_dataid[geom]
        start, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
        for vertex in model.mesh_vert[start : start + count]:
            there = data.geom_xmat[geom].reshape(3, 3) @ vertex + data.geom_xpos[geom]
            eye = data.cam_xmat[0].reshape(3, 3).T @ (there - data.cam_xpos[0])
            tangent = math.tan(math.radians(float(model.cam_fovy[0])) / 2)
            us.append(160 + 120 * eye[0] / -eye[2] / tangent)
            vs.append(120 - 120 * eye[1] / -eye[2] / tangent)
    return [min(us), min(vs), max(us), max(vs)]


def test_boxes_agree_with_projected_mesh_vertices(world: World) -> None:
    frame = world.render()
    truth, checked = frame.truth, 0
    for i in range(len(truth)):
        if truth.occlusion[i] < 0.03 and truth.truncation[i] < 0.005:
            described = world.scene.objects[truth.object_ids[i] - 1]
            expected = mesh_box(world, frame, world.scene.model.body(described.body).id)
            np.testing.assert_allclose(truth.boxes_xyxy[i], expected, atol=1.1, err_msg=described.body)
            checked += 1
    assert checked >= 3


def test_positions_project_into_their_boxes(frames: list[SimFrame]) -> None:
    for frame in frames:
        eye, truth = frame.intrinsics, frame.truth
        for i in np.flatnonzero((truth.occlusion < 0.02) & (truth.truncation < 0.02)):
            x, y, z = truth.positions[i]
            u, v = eye.fx * x / z + eye.cx + 0.5, eye.fy * y / z + eye.cy + 0.5
            x1, y1, x2, y2 = truth.boxes_xyxy[i]
            assert x1 - 1 <= u <= x2 + 1
            assert y1 - 1 <= v <= y2 + 1
            assert np.linalg.norm(truth.quaternions_xyzw[i]) == pytest.approx(1.0)


def test_boxes_are_tight_around_the_mask_by_brute_force(world: World) -> None:
    frame = world.render()
    world._renderer.enable_segmentation_rendering()
    world._renderer.update_scene(world.data, camera="eye")
    segmentation = world._renderer.render().copy()
    world._renderer.disable_segmentation_rendering()
    model = world.scene.model
    root = {model.body(described.body).id: described.object_id for described in world.scene.objects}
    found: dict[int, list[int]] = {}
    for y in range(240):
        for x in range(320):
            geom, kind = segmentation[y, x]
            if kind != mujoco.mjtObj.mjOBJ_GEOM:
                continue
            object_id = root.get(int(model.body_rootid[model.geom_bodyid[geom]]))
            if object_id is not None:
                box = found.setdefault(object_id, [x, y, x + 1, y + 1, 0])
                box[:] = [min(box[0], x), min(box[1], y), max(box[2], x + 1), max(box[3], y + 1), box[4] + 1]
    assert sorted(found) == frame.truth.object_ids.tolist()
    for i, object_id in enumerate(frame.truth.object_ids):
        assert frame.truth.boxes_xyxy[i].tolist() == found[int(object_id)][:4]
        assert frame.truth.visible_pixels[i] == found[int(object_id)][4]


def test_antialiasing_does_not_blend_object_ids() -> None:
    masks = []
    for samples in (0, 4):
        scene = SceneConfig(objects=(9, 9), shadow_size=256, samples=samples)
        with World(WorldConfig(21, (160, 120), scene=scene)) as world:
            masks.append(world.render().truth)
    np.testing.assert_array_equal(masks[0].object_ids, masks[1].object_ids)
    np.testing.assert_allclose(masks[0].boxes_xyxy, masks[1].boxes_xyxy, atol=1)


def test_occlusion_rises_when_something_is_put_in_front() -> None:
    with World(
        WorldConfig(4, (320, 240), "fixed", scene=SceneConfig(objects=(7, 7), clutter=(0, 0), samples=0))
    ) as world:
        first = world.render()
        visible = (first.truth.occlusion < 0.02) & (first.truth.truncation == 0)
        target = int(np.argmax(np.where(visible, first.truth.visible_pixels, 0)))
        target_id = int(first.truth.object_ids[target])
        blocker = next(d for d in world.scene.objects if d.object_id != target_id and not d.wheels)
        eye = first.camera.position
        place = world.data.xpos[world.scene.model.body(world.scene.objects[target_id - 1].body).id]
        joint = world.scene.model.body(blocker.body).jntadr[0]
        start = world.scene.model.jnt_qposadr[joint]
        world.data.qpos[start : start + 3] = eye + 0.55 * (place - eye)
        mujoco.mj_forward(world.scene.model, world.data)
        after = world.render().truth
        row = np.flatnonzero(after.object_ids == target_id)
        occlusion = float(after.occlusion[row[0]]) if len(row) else 1.0
        assert occlusion > first.truth.occlusion[target] + 0.2
        lost = 1 - after.visible_pixels[row[0]] / first.truth.visible_pixels[target] if len(row) else 1.0
        assert occlusion == pytest.approx(lost, abs=0.06)


def test_a_free_standing_object_counts_as_not_occluded(frames: list[SimFrame]) -> None:
    lowest = [np.sort(frame.truth.occlusion)[:3] for frame in frames]
    assert np.mean(lowest) < 0.02


def test_silhouette_of_a_facing_square_has_its_closed_form_area() -> None:
    eye = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)
    cube = chamfered_box((0.1, 0.1, 0.1), 1e-5)
    side = 300.0 * 0.2 / 1.9
    inside, total = silhouette_areas(cube.hulls, np.eye(3), np.array([0.0, 0.0, 2.0]), eye)
    assert total == pytest.approx(side**2, rel=0.04)
    assert inside == pytest.approx(total)
    half_out = np.array([160 / 300 * 1.9, 0.0, 2.0])
    inside, total = silhouette_areas(((cube.hulls[0][cube.hulls[0][:, 2] < -0.0999]),), np.eye(3), half_out, eye)
    assert inside / total == pytest.approx(0.5, abs=0.02)


def test_silhouette_of_what_lies_behind_the_camera_is_empty() -> None:
    eye = Intrinsics(320, 240, 300.0, 300.0, 159.5, 119.5)
    cube = chamfered_box((0.1, 0.1, 0.1), 0.01)
    assert silhouette_areas(cube.hulls, np.eye(3), np.array([0.0, 0.0, -2.0]), eye) == (0.0, 0.0)


def test_small_hidden_and_cut_off_objects_are_not_labelled() -> None:
    with World(WorldConfig(4, (320, 240), "fixed", scene=SCENE)) as world:
        reader = GroundTruthReader(world.scene.model, world.scene.objects, world.intrinsics)
        table = np.array([[50, 20, 0.0, 0.0], [39, 20, 0.0, 0.0], [50, 5, 0, 0], [50, 20, 0.76, 0], [50, 20, 0, 0.76]])
        boxes = np.zeros((5, 4), np.float32)
        boxes[:, 2:] = table[:, 1:2]
        kept = reader._labelled(boxes, table[:, 0].astype(np.int64), table[:, 2].astype("f4"), table[:, 3].astype("f4"))
        assert kept.tolist() == [True, False, False, False, False]


def test_an_empty_view_is_an_ordinary_truth() -> None:
    with World(WorldConfig(4, (64, 48), scene=SCENE)) as world:
        reader = GroundTruthReader(world.scene.model, world.scene.objects, world.intrinsics)
        nothing = np.full((48, 64, 2), -1, np.int32)
        truth = reader.read(nothing, world.data, CameraPose(np.zeros(3), np.eye(3)))
        assert len(truth) == 0
        assert truth.boxes_xyxy.shape == (0, 4)
        assert truth.positions.shape == (0, 3)
        assert truth.labelled.shape == (0,)
