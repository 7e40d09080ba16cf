"""Settings of a data set that make no sense are refused before a bag is read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dataset_bags import DRIVE, NAN

from robot_vision.data.dataset.settings import TopicSpec, parse_topic
from robot_vision.errors import InvalidValueError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observations": ()}, "name at least one topic"),
        ({"rate_hz": 0.0}, "rate_hz"),
        ({"gap_s": NAN}, "gap_s"),
        ({"max_age_s": -1.0}, "max_age_s"),
        ({"max_tracks": 0}, "max_tracks"),
        ({"image_size_wh": (0, 4)}, "size"),
        ({"reference": "/other"}, "/other: named in an option"),
        ({"actions": (TopicSpec("/a", (), "arm"),)}, "actions have no name"),
        ({"observations": (TopicSpec("/a"), TopicSpec("/a", ("x",)))}, "/a: is observed twice"),
        ({"padding": {"/cmd_vel": 3}}, "an action cannot be padded"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, message) -> None:
    with pytest.raises(InvalidValueError, match=message):
        replace(DRIVE, **change)


@pytest.mark.parametrize("words", ["", ":x", "/a:", "/a=", "/a=b/c"])
def test_a_topic_that_cannot_be_read_is_refused(words) -> None:
    with pytest.raises(InvalidValueError, match="expected TOPIC"):
        parse_topic(words)
