"""An mcap file that was cut off anywhere opens again with what was complete."""

from __future__ import annotations

import pytest
from camera_bags import raw_message
from numpy.random import default_rng

from robot_vision.data.bag_writer import BagWriter
from robot_vision.data.bags import BagReader
from robot_vision.data.mcap_repair import finish_cut_off
from robot_vision.errors import BagError


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """A file of several chunks: 60 pictures of 100 kB in noise."""
    path = tmp_path_factory.mktemp("whole") / "bag"
    rgb = default_rng(1).integers(0, 256, (160, 210, 3), "uint8")
    with BagWriter(path) as bag:
        bag.add_topic("/i", "sensor_msgs/msg/Image")
        for index in range(60):
            bag.write("/i", 1000 + index, raw_message(index, rgb))
    return (path / "bag.mcap").read_bytes()


@pytest.mark.parametrize("fraction", [0.999, 0.9, 0.75, 0.5, 0.3])
def test_a_cut_off_file_is_readable_up_to_the_last_complete_chunk(whole, tmp_path, fraction) -> None:
    """Of eleven messages a chunk, at most one chunk is lost, and none of those before it."""
    path = tmp_path / "cut.mcap"
    path.write_bytes(whole[: int(len(whole) * fraction)])
    finish_cut_off(path)
    with BagReader(path) as bag:
        stamps = [message.stamp_ns for message in bag.raw()]
        assert bag.topics["/i"].message_count == len(stamps)
    assert stamps == list(range(1000, 1000 + len(stamps)))
    assert 60 * fraction - 12 < len(stamps) <= 60 * fraction


def test_garbage_is_refused(tmp_path) -> None:
    path = tmp_path / "other.mcap"
    path.write_bytes(b"no such thing")
    with pytest.raises(BagError, match="does not begin as an mcap file"):
        finish_cut_off(path)
    with pytest.raises(BagError, match="cannot be finished"):
        finish_cut_off(tmp_path / "absent.mcap")
