"""Bags become data sets whose every value can be found in the bag again, at a time when it was known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from dataset_bags import (
    DRIVE,
    MS,
    NAN,
    START_NS,
    camera,
    drive,
    floats,
    joints,
    label_info,
    latent,
    made,
    text,
    track,
    track_array,
    write_bag,
)

from robot_vision.data.dataset.build import build
from robot_vision.data.dataset.settings import DatasetSettings, TopicSpec
from robot_vision.data.dataset.storage import PlainDataset
from robot_vision.errors import BagError
from robot_vision.tracking.features import TrackFeatures, track_rows


def error_of(tmp_path, messages, settings, **options) -> str:
    """Why a bag cannot be used."""
    result = build([write_bag(tmp_path / "bad", messages, **options)], tmp_path / "out", settings, "npz")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.part").exists()
    return result.bags[0].error


@pytest.fixture(params=["npz", "parquet"])
def storage(request):
    """Every plain format."""
    if request.param == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed: pip install pyarrow")
    return request.param


def test_values_agree_with_a_slow_loop_over_messages_out_of_order(tmp_path, storage) -> None:
    """Late, early and jittered messages: each step holds the newest stamp of its past, each action the next command."""
    rng = np.random.default_rng(3)
    stamps = {"/latent": 0, "/joints": 0}
    messages = []
    for index in range(120):
        for topic, period_ms in (("/latent", 47), ("/joints", 41)):
            stamps[topic] = START_NS + int((index * period_ms + rng.uniform(0, 40)) * MS)
            received_ns = stamps[topic] + int(rng.uniform(0, 60) * MS)
            values = (float(index), 1.0)
            make = latent(stamps[topic], values) if topic == "/latent" else joints(stamps[topic], list(values))
            messages.append((received_ns, topic, make))
        command_ns = START_NS + int((index * 39 + rng.uniform(0, 20)) * MS)
        messages.append((command_ns, "/command", joints(command_ns, [float(index)])))
    messages.sort(key=lambda entry: entry[0])
    settings = DatasetSettings(
        (TopicSpec("/latent"), TopicSpec("/joints", ("position",))),
        (TopicSpec("/command", ("position",)),),
        rate_hz=20.0,
    )
    data, result = made(tmp_path, messages, settings, storage)

    def recorded(topic):
        found = []
        for _, name, message in messages:
            if name == topic:
                stamp = message.header.stamp
                value = message.mean[0] if topic == "/latent" else message.position[0]
                found.append((stamp.sec * 10**9 + stamp.nanosec, float(value)))
        return found

    ages_ms, steps = [], 0
    for number in range(len(data)):
        episode = data.episode(number)
        for row, time_ns in enumerate(episode["time_ns"]):
            steps += 1
            for topic, column in (("/latent", "observation.latent"), ("/joints", "observation.joints")):
                past = [(stamp, value) for stamp, value in recorded(topic) if stamp <= time_ns]
                newest = max(past, key=lambda entry: entry[0])
                assert episode[column][row, 0] == newest[1]
                if topic == "/latent":
                    ages_ms.append((time_ns - newest[0]) / MS)
            commands = sorted(recorded("/command"))
            inside = [value for stamp, value in commands if time_ns <= stamp < time_ns + 50 * MS]
            held = [value for stamp, value in commands if stamp < time_ns]
            assert episode["action"][row, 0] == (inside[0] if inside else held[-1])
    assert steps > 50
    stated = result.alignment[0]
    assert stated["out_of_order"] > 0
    expected = [np.median(ages_ms), np.percentile(ages_ms, 95), max(ages_ms)]
    assert list(stated["age_ms"].values()) == pytest.approx(expected, abs=1e-3)


def test_what_comes_after_a_step_changes_nothing_before_it(tmp_path) -> None:
    """The second half of a recording is replaced; the observations of the first half stay the same."""
    first, _ = made(tmp_path, drive(20), DRIVE, name="one")
    changed = drive(10) + [
        (received, topic, latent(received, (99.0, 99.0)) if topic == "/latent" else message)
        for received, topic, message in drive(20)[20:]
    ]
    second, _ = made(tmp_path, changed, DRIVE, name="two")
    np.testing.assert_array_equal(
        first.episode(0)["observation.latent"][:10], second.episode(0)["observation.latent"][:10]
    )
    assert (second.episode(0)["observation.latent"][10:] == 99).all()


def test_time_done_and_index_columns(tmp_path, storage) -> None:
    episode = made(tmp_path, drive(5), DRIVE, storage)[0].episode(0)
    assert episode["timestamp"].tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert episode["frame_index"].tolist() == [0, 1, 2, 3, 4]
    assert episode["episode_index"].tolist() == [0] * 5
    assert episode["next.done"].tolist() == [False] * 4 + [True]
    assert episode["time_ns"].tolist() == [START_NS + (5 + 100 * k) * MS for k in range(5)]
    assert episode["action"].tolist() == [[0.0], [1.0], [2.0], [3.0], [4.0]]


def test_the_same_bags_give_the_same_bytes(tmp_path, storage) -> None:
    bag = write_bag(tmp_path / "bag", drive())
    for name in ("one", "two"):
        build([bag], tmp_path / name, DRIVE, storage)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 2
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_silence_of_the_reference_ends_the_episode(tmp_path) -> None:
    messages = drive(10) + drive(10, start_ns=START_NS + 20_000 * MS)
    data, _ = made(tmp_path, messages, DRIVE)
    entries = data.description["episodes"]
    assert [entry["steps"] for entry in entries] == [10, 10]
    assert [entry["ended_by"] for entry in entries] == ["gap of the reference", "end of the recording"]
    assert all(data.episode(number)["next.done"].sum() == 1 for number in range(2))


def silent_command():
    """Commands are missing for half a second in the middle of 20 steps."""
    return [entry for entry in drive(20) if entry[1] == "/latent" or not 8 <= entry[2].linear.x < 13]


def test_a_step_without_a_fresh_command_cuts_the_episode(tmp_path) -> None:
    """The command before is held for two steps; then the episode ends, so that time stays uniform."""
    data, result = made(tmp_path, silent_command(), DRIVE)
    actions = [data.episode(number)["action"][:, 0].tolist() for number in range(len(data))]
    assert actions == [[0, 1, 2, 3, 4, 5, 6, 7, 7, 7], [13, 14, 15, 16, 17, 18, 19]]
    assert data.description["episodes"][0]["ended_by"] == "no usable sample"
    assert result.bags[0].steps_left_out == 3
    assert result.alignment[1]["without_fresh_sample"] == 3
    assert result.alignment[1]["held"] == 2
    for number in range(2):
        assert (np.diff(data.episode(number)["time_ns"]) == 100 * MS).all()


def test_a_step_without_a_fresh_command_can_be_kept_and_marked(tmp_path) -> None:
    data, _ = made(tmp_path, silent_command(), replace(DRIVE, invalid="mask"))
    episode = data.episode(0)
    assert len(data) == 1
    assert np.flatnonzero(~episode["action_valid"]).tolist() == [10, 11, 12]
    assert (episode["action"][10:13] == 0).all()
    assert episode["observation.latent_valid"].all()


def test_the_age_allowed_can_be_set_by_topic(tmp_path) -> None:
    settings = replace(DRIVE, max_age_by_topic_s={"/cmd_vel": float("inf")})
    data, _ = made(tmp_path, silent_command(), settings)
    assert data.episode(0)["action"][:, 0].tolist() == [*range(8), *[7] * 5, *range(13, 20)]


def test_a_latent_that_is_not_finite_is_no_sample(tmp_path) -> None:
    messages = drive(10)
    messages[8] = (messages[8][0], "/latent", latent(messages[8][0], (NAN, 1.0)))
    data, result = made(tmp_path, messages, DRIVE)
    assert [entry["steps"] for entry in data.description["episodes"]] == [4, 5]
    assert result.alignment[0]["unusable_samples"] == 1
    assert all(np.isfinite(data.episode(number)["observation.latent"]).all() for number in range(2))


def test_a_topic_without_stamps_counts_from_reception(tmp_path) -> None:
    """Twist has no header and the joints' are zero; the latents' decide for themselves."""
    messages = drive(10) + [(START_NS + index * 100 * MS, "/joints", joints(0, [1.0])) for index in range(10)]
    messages.sort(key=lambda entry: entry[0])
    settings = replace(DRIVE, clock="header", observations=(TopicSpec("/latent"), TopicSpec("/joints")))
    _, result = made(tmp_path, messages, settings)
    assert [entry["clock"] for entry in result.alignment] == ["header", "reception", "reception"]
    assert result.alignment[0]["reception_minus_header_ms"] == 5.0


def test_simulated_and_wall_time_are_not_mixed(tmp_path) -> None:
    messages = [(START_NS + 10**15 + index, topic, message) for index, (_, topic, message) in enumerate(drive(10))]
    error = error_of(tmp_path, messages, replace(DRIVE, clock="header"))
    assert "/cmd_vel count from reception" in error
    assert "another clock" in error


def test_tracks_are_the_array_that_a_live_agent_gets(tmp_path) -> None:
    """Oldest first, in units of the image; the array equals that of `TrackFeatures`, and ids tell who is who."""
    tracks = [track(3, (32.0, 24.0), 0.5), track(12, (16.0, 12.0), 2.0, "ball"), track(5, (8.0, 6.0), 1.0)]
    messages = [(START_NS, "/label_info", label_info(["box", "ball"]))]
    for index in range(3):
        stamp_ns = START_NS + index * 100 * MS
        messages.append((stamp_ns, "/track_states", track_array(stamp_ns, tracks[: 3 - index])))
    settings = DatasetSettings((TopicSpec("/track_states"),), max_tracks=2, source_size_wh=(64, 48))
    episode = made(tmp_path, messages, settings)[0].episode(0)
    assert episode["observation.track_ids"].tolist() == [[12, 5], [12, 3], [3, -1]]
    assert episode["observation.track_mask"].tolist() == [[1, 1], [1, 1], [1, 0]]
    assert episode["observation.tracks"][0, 0] == pytest.approx([0.25, 0.25, 0.625, 20 / 48, 0.125, 4 / 48, 1, 2.0])
    live, _ = TrackFeatures((64, 48), ("box", "ball"), 2).array(track_rows(messages[1][2], ("box", "ball")))
    np.testing.assert_array_equal(episode["observation.tracks"][0], live)


def test_tracks_take_size_and_classes_from_the_bag_or_say_what_is_missing(tmp_path) -> None:
    messages = [(START_NS + k * 100 * MS, "/tracks", track_array(START_NS + k * 100 * MS, [])) for k in range(3)]
    settings = DatasetSettings((TopicSpec("/tracks"),))
    assert "the bag's cameras give none" in error_of(tmp_path, messages, settings)
    settings = replace(settings, class_names=("box",))
    data, _ = made(tmp_path, sorted(messages + camera(1), key=lambda entry: entry[0]), settings)
    facts = data.description["facts"]["observation.tracks of /tracks"]
    assert facts == {"class_names": ["box"], "source_size_wh": [8, 6]}


def test_a_track_of_an_unknown_class_is_an_error(tmp_path) -> None:
    messages = [(START_NS + k, "/tracks", track_array(START_NS, [track(1, (1.0, 1.0), 0.0, "cat")])) for k in range(2)]
    settings = DatasetSettings((TopicSpec("/tracks"),), class_names=("box",), source_size_wh=(8, 6))
    assert "tracks of class cat" in error_of(tmp_path, messages, settings)


def test_a_camera_that_changes_its_resolution_is_an_error(tmp_path) -> None:
    messages = camera(6)[:3] + camera(6, (16, 12))[3:]
    settings = DatasetSettings((TopicSpec("/camera/image"),), image_size_wh=(8, 6))
    assert "pictures change from 8x6 to 16x12 pixels" in error_of(tmp_path, messages, settings)


def test_latents_of_two_encoders_in_one_bag_are_an_error(tmp_path) -> None:
    messages = drive(5) + drive(5, encoder_hash="b" * 64, start_ns=START_NS + 500 * MS)
    assert "latents of two encoders" in error_of(tmp_path, messages, DRIVE)


def test_a_bag_that_does_not_fit_is_listed_and_the_others_go_on(tmp_path) -> None:
    """Another encoder, another topic, another joint, a damaged bag: each with its reason."""
    plain = [(START_NS + k * 100 * MS, "/joints", joints(START_NS, [0.0], ["hip"])) for k in range(9)]
    knee = [(START_NS + k * 100 * MS, "/joints", joints(START_NS, [0.0], ["knee"])) for k in range(9)]
    bags = {
        "good": drive(9) + plain,
        "encoder": drive(9, encoder_hash="b" * 64) + plain,
        "topic": drive(9),
        "joint": drive(9) + knee,
        "last": drive(9) + plain,
    }
    paths = [
        write_bag(tmp_path / name, sorted(messages, key=lambda entry: entry[0])) for name, messages in bags.items()
    ]
    (tmp_path / "torn").mkdir()
    settings = replace(DRIVE, observations=(TopicSpec("/latent"), TopicSpec("/joints", ("position",))))
    result = build([*paths, tmp_path / "torn"], tmp_path / "set", settings, "npz")
    errors = [entry.error for entry in result.bags]
    assert errors[0] == errors[4] == ""
    assert f"encoder_hash is {'b' * 64}" in errors[1]
    assert "no topic /joints" in errors[2]
    assert "position[knee]" in errors[3]
    assert "torn" in errors[5]
    data = PlainDataset(tmp_path / "set")
    assert len(data) == 2
    assert [source["bag"] for source in data.description["sources"]] == ["good", "last"]
    assert [entry["bag"] for entry in data.description["failed"]] == ["encoder", "topic", "joint", "torn"]
    assert data.description["facts"]["observation.latent of /latent"]["encoder_hash"] == "a" * 64
    assert data.episode(1)["episode_index"].tolist() == [1] * 9


@pytest.mark.parametrize(
    ("topic", "extra", "empty", "reason"),
    [
        ("/missing", [], {}, "no topic /missing"),
        ("/empty", [], {"/empty": "geometry_msgs/msg/Twist"}, "no message on /empty"),
        ("/words", [(START_NS, "/words", text("go"))], {}, "has no numbers"),
        ("/camera/image", camera(3), {}, "pictures need a size"),
        ("/once", [(START_NS, "/once", floats([1.0]))], {}, "/once: 8 without a fresh message"),
    ],
)
def test_a_topic_that_gives_no_column_says_why(tmp_path, topic, extra, empty, reason) -> None:
    settings = replace(DRIVE, observations=(TopicSpec("/latent"), TopicSpec(topic)), max_age_s=0.1)
    messages = sorted(drive(9) + extra, key=lambda entry: entry[0])
    assert reason in error_of(tmp_path, messages, settings, empty=empty)


def test_the_values_of_two_action_topics_are_one_vector(tmp_path) -> None:
    messages = drive(5) + [(START_NS + k * 100 * MS, "/grip", floats([0.5])) for k in range(6)]
    messages.sort(key=lambda entry: entry[0])
    settings = replace(DRIVE, actions=(*DRIVE.actions, TopicSpec("/grip")))
    data, _ = made(tmp_path, messages, settings)
    assert data.episode(0)["action"][2].tolist() == [2.0, 0.5]
    assert data.description["features"]["action"]["names"] == ["linear.x", "data[0]"]


def test_padded_arrays_bring_their_mask(tmp_path) -> None:
    messages = [(START_NS + k * 100 * MS, "/ranges", floats([1.0] * (k % 3))) for k in range(4)]
    settings = DatasetSettings((TopicSpec("/ranges"),), padding={"/ranges": 2})
    episode = made(tmp_path, messages, settings)[0].episode(0)
    assert episode["observation.ranges_mask"].tolist() == [[0, 0], [1, 0], [1, 1], [0, 0]]


def test_an_interrupted_run_leaves_nothing(tmp_path) -> None:
    bag = write_bag(tmp_path / "bag", drive())
    seen = 0

    def interrupt() -> None:
        nonlocal seen
        seen += 1
        if seen > 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build([bag], tmp_path / "set", DRIVE, "npz", interrupt)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_nothing_is_overwritten(tmp_path) -> None:
    bag = write_bag(tmp_path / "bag", drive())
    (tmp_path / "set.part").mkdir()
    with pytest.raises(BagError, match="another run is writing there"):
        build([bag], tmp_path / "set", DRIVE, "npz")
    (tmp_path / "set").mkdir()
    with pytest.raises(BagError, match="exists already"):
        build([bag], tmp_path / "set", DRIVE, "npz")


def test_the_description_tells_where_everything_comes_from(tmp_path) -> None:
    data, _ = made(tmp_path, drive(), DRIVE)
    text_of = (data.folder / "dataset.json").read_text(encoding="utf-8")
    description = json.loads(text_of)
    assert str(tmp_path) not in text_of
    assert description["rate_hz"] == 10.0
    assert all(len(file["sha256"]) == 64 for file in description["sources"][0]["files"])
    assert description["features"]["action"]["topic"] == "/cmd_vel"
    assert description["rules"]["observation"] == "the newest message at or before the step"


def test_reading_what_is_not_there_says_so(tmp_path) -> None:
    with pytest.raises(BagError, match="no data set"):
        PlainDataset(tmp_path)
    data, _ = made(tmp_path, drive(), DRIVE)
    with pytest.raises(BagError, match="no episode 1, there are 1"):
        data.episode(1)
    with pytest.raises(BagError, match=r"no column observation\.laten; there are timestamp"):
        data.episode(0, ["observation.laten"])
    next((data.folder / "episodes").iterdir()).write_bytes(b"PK")
    with pytest.raises(BagError, match="cannot be read"):
        data.episode(0)


def test_two_columns_of_one_name_are_refused(tmp_path) -> None:
    messages = sorted(
        drive(5) + [(at, "/front/latent", message) for at, topic, message in drive(5) if topic == "/latent"],
        key=lambda entry: entry[0],
    )
    settings = replace(DRIVE, observations=(TopicSpec("/front/latent"), TopicSpec("/latent")))
    assert "would both become observation.latent; name one" in error_of(tmp_path, messages, settings)
