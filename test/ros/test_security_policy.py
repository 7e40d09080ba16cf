"""The SROS 2 policy allows each node exactly what the running node does: no topic or service more, none less."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from robot_vision.shipped import shared_file

ROOT = Path(__file__).resolve().parents[2]
POLICY = ROOT / "config" / "sros2_policy.xml"
RULES = {("topics", "publish"), ("topics", "subscribe"), ("services", "reply"), ("services", "request")}
SETTLED_S = 2.5
LAST_CREATED = {
    "generator_node": ("publish", "/generate_image/_action/status"), "replay_node": ("publish", "/clock"),
    "tracker_node": ("subscribe", "/detections"),
}  # fmt: skip
OF_ACTION = {
    ("topics", "publish"): ("feedback", "status"), ("services", "reply"): ("cancel_goal", "get_result", "send_goal"),
}  # fmt: skip


def profiles() -> dict[str, ElementTree.Element]:
    """The profile of each node."""
    return {profile.attrib["node"]: profile for profile in ElementTree.parse(POLICY).iter("profile")}


def rules(node: str) -> dict[tuple[str, str], set[str]]:
    """Full names by kind and right, as SROS 2 resolves them (permissions.xsl)."""
    profile = profiles()[node]
    found: dict[tuple[str, str], set[str]] = {rule: set() for rule in RULES}
    for group in profile:
        for right, answer in group.attrib.items():
            assert answer == "ALLOW"
            names = {full_name(profile.attrib["ns"], node, entry.text) for entry in group}
            if (group.tag, right) == ("actions", "execute"):
                for rule, parts in OF_ACTION.items():
                    found[rule] |= {f"{name}/_action/{part}" for name in names for part in parts}
            else:
                found[group.tag, right] |= names
    return found


def full_name(namespace: str, node: str, name: str | None) -> str:
    assert name
    below = namespace.rstrip("/")
    if name.startswith("/"):
        return name
    return f"{below}/{node}{name[1:]}" if name.startswith("~") else f"{below}/{name}"


def observed(bench, node: str) -> dict[tuple[str, str], set[str]]:
    """What a running node has on the graph."""
    asked = {
        ("topics", "publish"): bench.node.get_publisher_names_and_types_by_node,
        ("topics", "subscribe"): bench.node.get_subscriber_names_and_types_by_node,
        ("services", "reply"): bench.node.get_service_names_and_types_by_node,
        ("services", "request"): bench.node.get_client_names_and_types_by_node,
    }
    return {rule: {name for name, _ in ask(node, "/")} for rule, ask in asked.items()}


def run_once(bench, node: str, *parameters: str) -> dict[tuple[str, str], set[str]]:
    """Start a node without remapping, see what it has, and end it."""
    process = bench.start(node, *parameters, topic="image")
    bench.until(lambda: (node, "/") in bench.node.get_node_names_and_namespaces(), "the node")
    right, topic = LAST_CREATED.get(node, ("subscribe", "/image"))
    bench.until(lambda: any(name.startswith(topic) for name in observed(bench, node)["topics", right]), "its topics")
    bench.rest(SETTLED_S)
    found = observed(bench, node)
    process.terminate()
    process.wait(10)
    bench.processes.remove(process)
    return found


@pytest.fixture
def pictures(tmp_path: Path) -> Iterator[Path]:
    """A folder of images, which replay_node publishes uncompressed."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), np.zeros((48, 64, 3), np.uint8))
    return folder


def ways(node: str, pictures: Path) -> list[tuple[str, ...]]:
    """Parameters with which a node does different things, all of which the policy allows."""
    if node == "replay_node":
        bags = (shared_file("samples/simworld_handheld"), pictures)
        return [(f"bag:={bag}", "clock:=10.0", "wait:=60.0") for bag in bags]
    if node == "generator_node":
        return [("generator.load:=first_use", "use_sim_time:=true")]
    if node == "tracker_node":
        return [("use_sim_time:=true",)]
    return [("camera.image_transport:=raw",), ("camera.image_transport:=compressed", "use_sim_time:=true")]


def programs() -> list[str]:
    source = (ROOT / "setup.py").read_text(encoding="utf-8")
    nodes = re.search(r"NODES = \((.*?)\)", source, re.DOTALL)
    assert nodes
    return re.findall(r'"(\w+)"', nodes[1])


def test_every_node_has_a_profile_in_an_enclave_of_its_own() -> None:
    tree = ElementTree.parse(POLICY).getroot()
    assert (tree.tag, tree.attrib["version"]) == ("policy", "0.2.0")
    enclaves = {enclave.attrib["path"]: enclave for enclave in tree.iter("enclave")}
    assert set(enclaves) == {f"/robot_vision/{name}" for name in programs()}
    for path, enclave in enclaves.items():
        [profile] = enclave.iter("profile")
        assert profile.attrib == {"ns": "/", "node": path.rpartition("/")[2]}
        for group in profile:
            names = [entry.text for entry in group]
            assert len(set(names)) == len(names) > 0
            assert {entry.tag for entry in group} == {group.tag.removesuffix("s")}


@pytest.mark.parametrize("node", programs())
def test_the_policy_is_what_the_running_node_does(bench, pictures: Path, node: str) -> None:
    """All ways to run a node together; each alone does no more."""
    found: dict[tuple[str, str], set[str]] = {rule: set() for rule in RULES}
    for parameters in ways(node, pictures):
        for rule, names in run_once(bench, node, *parameters).items():
            found[rule] |= names
    assert found == rules(node)


def test_services_that_are_switched_off_are_not_there(bench) -> None:
    """A robot that needs none of them offers none; the camera's frames go on."""
    stages = ("detector", "encoder", "tracker")
    found = run_once(bench, "perception_node", *(f"{stage}.services:=false" for stage in stages))
    assert rules("perception_node")["services", "reply"] - found["services", "reply"] == {
        "/detect", "/encode", "/decode", "/reset_tracks"
    }  # fmt: skip
    assert "/detections" in found["topics", "publish"]
