"""What is said of a camera topic, from a graph that is written down by hand."""

from __future__ import annotations

import pytest
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

from robot_vision.ros.topic_advice import (
    COMPRESSED,
    RAW,
    Arrivals,
    Endpoint,
    Graph,
    Wanted,
    explain,
    incompatible_policies,
    unmet_subscriptions,
)

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
NOTHING = Arrivals(3.0, 0, 0)
RUN = "ros2 run robot_vision perception_node --ros-args"


def graph(**topics: str) -> Graph:
    """A publisher `/cam` for each topic; `__` in a keyword stands for a slash."""
    return Graph(
        {f"/{name.replace('__', '/')}": [Endpoint("/cam", msgtype, BEST_EFFORT)] for name, msgtype in topics.items()},
        loss_command="export PROFILE=x",
    )


@pytest.mark.parametrize(
    ("topic", "found", "said", "mend"),
    [
        (
            "/camera/image_raw",
            {"robot__camera__image_raw": RAW, "camera__image_row": RAW},
            "no publisher on /camera/image_raw, but /robot/camera/image_raw has sensor_msgs/msg/Image, which "
            "differs in its namespace only; other image topics: /camera/image_row",
            f"{RUN} -r image:=/robot/camera/image_raw",
        ),
        ("/camera/image_raw", {"camera__image_row": RAW, "a": RAW}, "spelled nearly so", "-r image:=/camera/image_row"),
        ("/x", {"b": RAW, "a": RAW}, "but /a has sensor_msgs/msg/Image; other image topics: /b", "-r image:=/a"),
        (
            "/cam",
            {"cam__compressed": COMPRESSED, "cap": RAW},
            "/cam/compressed has sensor_msgs/msg/CompressedImage, the same camera in another transport",
            f"{RUN} -r image:=/cam -p camera.image_transport:=compressed",
        ),
        ("/cam/compressed", {"cam": RAW}, "another transport", f"{RUN} -r image:=/cam -p camera.image_transport:=raw"),
        # The transport's name was given in the remapping, and the node has added it once more.
        (
            "/cam/compressed/compressed",
            {"cam__compressed": COMPRESSED},
            "no publisher on /cam/compressed/compressed",
            f"{RUN} -r image:=/cam -p camera.image_transport:=compressed",
        ),
        ("/cam", {"cam": COMPRESSED}, "type mismatch: /cam carries sensor_msgs/msg/CompressedImage (from /cam)",
         f"{RUN} -r image:=/cam -r /cam/compressed:=/cam -p camera.image_transport:=compressed"),
        ("/cam", {"cam": "sensor_msgs/msg/PointCloud2", "d": RAW}, "and the node takes sensor_msgs/msg/Image; other",
         "-r image:=/d"),
        ("/cam", {"cam": "sensor_msgs/msg/PointCloud2"}, "there is no image topic", "ros2 topic list -t"),
        ("/compressed/compressed", {"compressed": COMPRESSED}, "no publisher on", "-r image:=/compressed -r "),
        ("/cam", {}, "no publisher on /cam, and no image topic at all", "printenv ROS_DOMAIN_ID"),
    ],
)  # fmt: skip
def test_another_topic_or_type(topic: str, found: dict, said: str, mend: str) -> None:
    """The likeliest topic comes first, and the command takes it."""
    wanted = Wanted(topic, COMPRESSED if topic.endswith("/compressed") else RAW, BEST_EFFORT)
    finding = explain(wanted, graph(**found), NOTHING)[0]
    assert finding.level == "FAIL"
    assert said in finding.text
    assert mend in finding.mend


def test_the_command_names_the_node_and_the_camera_at_hand() -> None:
    """One of several cameras of another program."""
    wanted = Wanted("/front/image", RAW, BEST_EFFORT, "front/image", "detector_node")
    mend = explain(wanted, graph(a=RAW), NOTHING)[0].mend
    assert mend == "ros2 run robot_vision detector_node --ros-args -r front/image:=/a"


def test_a_node_is_not_told_to_look_at_its_own_images() -> None:
    """`annotated` is often the only image topic while the camera is missing."""
    wanted = Wanted("/image", RAW, BEST_EFFORT, node="/cam")
    assert "no image topic at all" in explain(wanted, graph(annotated=RAW), NOTHING)[0].text


def test_silence_loss_and_health_are_told_apart() -> None:
    """By what came and what the middleware missed."""
    wanted = Wanted("/cam", RAW, BEST_EFFORT)
    silent, dead, some, fine, unknown = (
        explain(wanted, graph(cam=RAW), arrivals)[0]
        for arrivals in (
            NOTHING, Arrivals(3.0, 0, 60), Arrivals(3.0, 99, 1), Arrivals(3.0, 60, 0), Arrivals(3.0, 60, None),
        )
    )  # fmt: skip
    assert (silent.level, dead.level, some.level, fine.level, unknown.level) == ("FAIL", "FAIL", "WARN", "OK", "OK")
    assert "publisher exists but is silent: no message from /cam in 3.0 s" in silent.text
    assert dead.text.startswith("frames lost in transport: 60 of 60 from /cam")
    assert dead.mend == some.mend == "export PROFILE=x"
    assert "60 frames in 3.0 s from /cam" in fine.text
    assert "does not tell" in unknown.text
    either = explain(wanted, graph(cam=RAW), Arrivals(3.0, 0, None))[0]
    assert "it is silent, or every frame is lost in transport" in either.text
    assert either.mend == "export PROFILE=x"


@pytest.mark.parametrize(("state", "steps"), [("unconfigured", 2), ("inactive", 1)])
def test_a_camera_that_waits_to_be_activated_is_named_with_the_command(state: str, steps: int) -> None:
    """A managed driver is a publisher that exists and says nothing."""
    known = Graph(graph(cam=RAW).publishers, {"/cam": state})
    finding = explain(Wanted("/cam", RAW, BEST_EFFORT), known, NOTHING)[0]
    assert state in finding.text
    assert finding.mend.count("ros2 lifecycle set /cam") == steps
    assert finding.mend.endswith("ros2 lifecycle set /cam activate")


@pytest.mark.parametrize(
    ("offered", "asked", "expected"),
    [
        (BEST_EFFORT, RELIABLE, ["reliability"]),
        (RELIABLE, BEST_EFFORT, []),
        (RELIABLE, LATCHED, ["durability"]),
        (BEST_EFFORT, LATCHED, ["reliability", "durability"]),
        (RELIABLE, QoSProfile(depth=1, deadline=Duration(seconds=1)), ["deadline"]),
        (RELIABLE, QoSProfile(depth=1, liveliness=LivelinessPolicy.MANUAL_BY_TOPIC), []),
        (
            QoSProfile(depth=1, liveliness=LivelinessPolicy.AUTOMATIC),
            QoSProfile(depth=1, liveliness=LivelinessPolicy.MANUAL_BY_TOPIC),
            ["liveliness"],
        ),
        (RELIABLE, QoSProfile(depth=1, liveliness_lease_duration=Duration(seconds=1)), ["liveliness_lease_duration"]),
    ],
)
def test_incompatible_policies_are_named_one_by_one(offered: QoSProfile, asked: QoSProfile, expected: list) -> None:
    """DDS' rule: the publisher offers at least what the subscription asks for. An unset liveliness cannot be judged."""
    assert incompatible_policies(offered, asked) == expected


def test_a_subscription_of_others_that_asks_for_too_much() -> None:
    """Each policy of each pair, with the parameter that lowers it; another type is another matter."""
    publisher = Endpoint("/cam", RAW, BEST_EFFORT)
    viewer, other = Endpoint("/viewer", RAW, LATCHED), Endpoint("/other", COMPRESSED, LATCHED)
    first, second = unmet_subscriptions("/cam", [publisher], [viewer, other])
    assert "incompatible QoS: /viewer asks for reliability reliable, /cam offers best_effort" in first.text
    assert first.mend.endswith("--ros-args -p qos_overrides./cam.subscription.reliability:=best_effort")
    assert second.mend.endswith("-p qos_overrides./cam.subscription.durability:=volatile")
