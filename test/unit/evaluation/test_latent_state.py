"""What is known about frames: read from data sets and recordings, and sorted into what latents can be asked for."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn: run `make setup`")
pytest.importorskip("skimage", reason="needs scikit-image: run `make setup`")

from scipy.spatial.transform import Rotation

from robot_vision.errors import BagError
from robot_vision.evaluation.ground_truth import LabelledBoxes
from robot_vision.evaluation.latent_data import FrameSet, KnownFrame, open_all
from robot_vision.evaluation.latent_state import KnownState, StateCollector, probed_states, viewing_directions

SAMPLE = Path(__file__).resolve().parents[3] / "samples" / "simworld_handheld"
NO_POSE = np.full(7, np.nan)


def frame(boxes=(), grey: int = 0, scene: str | None = None, kind: str = "", pose=NO_POSE) -> KnownFrame:
    """A frame of 200 x 100 pixels; boxes are class, x1, y1, x2, y2 and whether to ignore it."""
    rows = np.array([box[1:5] for box in boxes], np.float32).reshape(-1, 4)
    class_ids, ignored = np.array([box[0] for box in boxes], np.int64), np.array([any(box[5:]) for box in boxes], bool)
    truth = LabelledBoxes(rows, class_ids, np.arange(len(rows)), ignored)
    return KnownFrame(np.full((100, 200, 3), grey, np.uint8), truth, scene, kind, np.asarray(pose, np.float64))


def collected(sets: dict[str, tuple[tuple[str, ...], bool, list[KnownFrame]]]) -> KnownState:
    """The state of sets, each with its class names, whether it is a recording, and its frames."""
    entries = [
        FrameSet(name, classes, recording, len(frames), (), lambda: iter(()))
        for name, (classes, recording, frames) in sets.items()
    ]
    collector = StateCollector(entries)
    for source, (_, _, frames) in enumerate(sets.values()):
        for entry in frames:
            collector.add(source, entry)
    return collector.state()


def test_positions_are_of_frames_with_exactly_one_of_a_class() -> None:
    """In shares of the image; a second one, even if it need not be found, makes the question ambiguous."""
    frames = [
        frame([(0, 20, 10, 40, 30), (1, 100, 0, 200, 100)]),
        frame([(0, 20, 10, 40, 30), (0, 50, 10, 60, 30, True)]),
        frame([(1, 0, 0, 20, 100, True)]),
        frame(),
    ]
    state = collected({"set": (("cup", "ball"), False, frames)})
    np.testing.assert_allclose(state.positions_xy["cup"], [[0.15, 0.2], *[[np.nan] * 2] * 3])
    np.testing.assert_allclose(state.positions_xy["ball"], [[0.75, 0.5], *[[np.nan] * 2] * 3])
    np.testing.assert_array_equal(state.counts, [2, 1, 0, 0])


def test_classes_of_several_sets_meet_by_name() -> None:
    """And a set without labels knows no count."""
    bare = KnownFrame(np.zeros((100, 200, 3), np.uint8), None, None, "", NO_POSE)
    state = collected({
        "a": (("cup", "ball"), False, [frame([(1, 0, 0, 20, 20)], scene="a 1")]),
        "b": (("ball", "cup"), False, [frame([(0, 0, 0, 40, 40)], scene="b 1")]),
        "c": ((), True, [bare]),
    })  # fmt: skip
    np.testing.assert_allclose(state.positions_xy["ball"], [[0.05, 0.1], [0.1, 0.2], [np.nan, np.nan]])
    assert np.isnan(state.positions_xy["cup"]).all()
    np.testing.assert_array_equal(state.counts, [1, 1, np.nan])


def test_change_is_between_neighbours_of_one_set() -> None:
    """Root mean square in shares of white; not from one set to the next."""
    recording = ("cup",), True, [frame(grey=0), frame(grey=51), frame(grey=51)]
    state = collected({"a": recording, "b": recording})
    np.testing.assert_allclose(state.image_changes, [np.nan, 0.2, 0, np.nan, 0.2, 0], atol=1e-6)


def test_frames_that_look_alike_are_in_one_group() -> None:
    """Scenes of images stay together; one recording is parted by time, five are held out whole."""
    images = [frame(scene=scene) for scene in ("1", "1", "2")]
    few = collected({"bag": ((), True, [frame()] * 10), "images": ((), False, images)})
    assert [len(set(few.groups[index : index + 2])) for index in range(0, 10, 2)] == [1] * 5
    assert len(set(few.groups[:10])) == 5
    assert len(set(few.groups)) == 7
    assert few.groups[10] == few.groups[11] != few.groups[12]
    assert few.recordings == (0,)
    many = collected({f"bag {number}": ((), True, [frame()] * 10) for number in range(5)})
    assert many.groups.reshape(5, 10).T.tolist() == [many.groups[::10].tolist()] * 10
    assert len(set(many.groups)) == 5
    assert len(set(many.parts)) == 25, "a pose can only be held out within its recording"


def test_what_is_probed_and_why_the_rest_is_not() -> None:
    """A class that moves, one too rare, one that is never there; a camera that moves and does not turn."""
    corners = np.random.default_rng(0).uniform(0, 80, (60, 2))
    cups = [(0, x, y, x + 10, y + 10) for x, y in corners]
    balls = [[(1, 150, 50, 160, 60)]] * 3 + [[]] * 57
    frames = [
        frame([cup, *ball], pose=[index, 0, 0, 0, 0, 0, 1])
        for index, (cup, ball) in enumerate(zip(cups, balls, strict=True))
    ]
    state = collected({"a": (("cup", "ball", "box"), True, frames), "b": (("cup",), True, frames[:7])})
    probed, gaps = probed_states(state)
    by_name = {entry.name: entry for entry in probed}
    assert set(by_name) == {"position of the only cup", "number of objects", "position of the camera"}
    assert by_name["position of the only cup"].frames == 67
    camera = by_name["position of the camera"]
    assert [len(rows) for rows in camera.parts] == [60], "seven frames are too few for a probe of their own"
    told = "\n".join(gaps)
    assert "only ball: not probed; known in 3 frames of 1 scenes" in told
    assert "only box: not probed; no frame has it" in told
    assert "viewing direction of the camera: not probed; it is the same in all frames" in told


def test_viewing_direction_is_the_optical_axis() -> None:
    rotations = Rotation.random(20, random_state=0)
    poses = np.concatenate([np.zeros((20, 3)), rotations.as_quat()], axis=1)
    np.testing.assert_allclose(viewing_directions(poses), rotations.apply([0, 0, 1]), atol=1e-12)


def test_a_bag_gives_truth_and_pose() -> None:
    """The sample's camera moves by millimetres from frame to frame, and every frame has its pose and objects."""
    (bag,) = open_all([SAMPLE], 50)
    frames = list(bag.frames())
    assert (bag.name, bag.recording, bag.count) == ("simworld_handheld", True, 4)
    assert len(frames) == 4
    assert {entry.kind for entry in frames} == {"simworld_handheld"}
    for entry in frames:
        assert entry.truth is not None
        assert len(entry.truth) > 3
        assert np.linalg.norm(entry.pose[3:]) == pytest.approx(1)
    assert 0 < np.linalg.norm(frames[1].pose[:3] - frames[0].pose[:3]) < 2


def write_coco(folder: Path, extra: list[dict[str, object]]) -> Path:
    """Images with one box each, and further entries of each image."""
    (folder / "images").mkdir(parents=True)
    images = [{"id": number, "file_name": f"{number}.png", **entry} for number, entry in enumerate(extra)]
    for entry in images:
        cv2.imwrite(str(folder / "images" / f"{entry['id']}.png"), np.zeros((20, 30, 3), np.uint8))
    annotations = [{"image_id": entry["id"], "category_id": 1, "bbox": [1, 2, 10, 10]} for entry in images]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cup"}]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_images_of_the_simulated_world_know_scene_and_kind(tmp_path) -> None:
    """Other images are a scene each, of an unknown kind; sets of one name are told apart by their paths."""
    known = write_coco(tmp_path / "a" / "set", [{"seed": 7, "theme": "hall"}] * 2 + [{"seed": 8, "theme": "yard"}])
    bare = write_coco(tmp_path / "b" / "set", [{}, {}])
    first, second = open_all([known, bare / "annotations.json"], 1)
    assert (first.name, second.name) == (str(known), str(bare / "annotations.json"))
    frames = list(first.frames())
    assert [entry.kind for entry in frames] == ["hall", "hall", "yard"]
    assert frames[0].scene == frames[1].scene != frames[2].scene
    others = list(second.frames())
    assert {entry.kind for entry in others} == {""}
    assert len({entry.scene for entry in (*frames, *others)}) == 4
    assert not first.recording


def test_a_video_is_frames_without_truth(tmp_path) -> None:
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for grey in range(5):
        writer.write(np.full((48, 64, 3), 40 * grey, np.uint8))
    writer.release()
    (video,) = open_all([path], 2)
    frames = list(video.frames())
    assert (video.recording, video.count, len(frames)) == (True, 3, 3)
    assert frames[0].truth is None
    assert "no ground truth" in video.notes[0]


def test_mistakes_are_told(tmp_path) -> None:
    with pytest.raises(BagError, match="given twice"):
        open_all([SAMPLE, SAMPLE.parent / "." / SAMPLE.name], 1)
    with pytest.raises(BagError, match="no such file or folder"):
        open_all([tmp_path / "nowhere"], 1)
    with pytest.raises(BagError, match="no labelled images"):
        open_all([tmp_path], 1)
