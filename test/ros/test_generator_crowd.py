"""The generator under a crowd of clients that cancel, vanish and send rubbish, and when it is killed itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from generation_rig import ABORTED, CANCELLED, DONE, Rig, goal_message

from robot_vision.errors import RobotVisionError
from robot_vision.ros.generation_client import GenerationClient

pytestmark = pytest.mark.stress

CROWD = (
    ["patient", "patient", "cancelling", "rubbish"],
    ["cancelling", "cancelling", "service", "rubbish"],
    ["patient", "service", "service", "rubbish"],
    ["vanishing", "vanishing", "service", "service"],
    ["patient", "cancelling", "rubbish", "service"],
)
"""20 clients in 5 processes."""

PROGRAM = str(Path(__file__).with_name("generator_clients.py"))
RESULTS_GONE_S = 11.0


class Crowd:
    """The processes of one wave."""

    def __init__(self) -> None:
        self.processes = [
            subprocess.Popen(
                [sys.executable, PROGRAM, *behaviours], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for behaviours in CROWD
        ]

    def run(self) -> list[tuple[str, object, bool, str]]:
        """All at once; what came of each request."""
        for process in self.processes:
            assert process.stdout.readline() == "ready\n"
        for process in self.processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=120)[0] for process in self.processes]
        statuses = [process.returncode for process in self.processes]
        assert statuses == [-9 if behaviours[0] == "vanishing" else 0 for behaviours in CROWD], "nobody waits in vain"
        return [tuple(json.loads(line)) for output in outputs for line in output.splitlines()]


def test_twenty_clients_at_once_all_get_an_end_and_leave_nothing_behind(bench, tmp_path) -> None:
    """Three waves: every goal ends in images, a cancellation or a refusal with a reason; no thread or memory stays."""
    rig = Rig(bench, tmp_path, "generator.queue_size:=8", convolutions=10).ready()
    seen: Counter[str] = Counter()
    used: list[tuple[int, float]] = []
    for _ in range(3):
        for behaviour, status, success, message in Crowd().run():
            assert message
            if behaviour == "rubbish":
                assert not success
                assert message.split(":")[0] in ("prompt", "steps", "guidance", "init_image"), message
            elif not success and status != CANCELLED:
                assert status in (ABORTED, "reply")
                assert "the queue is full" in message, message
            seen[f"{behaviour} {'done' if success else 'not'}"] += 1
        bench.rest(RESULTS_GONE_S)
        rig.until_fact("running", "0")
        rig.until_fact("waiting", "0")
        goal = rig.goal()
        assert goal.wait()[0] == DONE
        used.append((len(rig.threads()), rig.manager.memory_mb()))
    assert {"patient done", "service done", "cancelling not", "rubbish not"} <= seen.keys()
    assert int(rig.facts["cancelled"]) > 0
    assert used[2][0] <= used[0][0] and used[2][1] < used[0][1] + 8
    assert "Traceback" not in bench.output("generator_node")


def test_clients_of_a_killed_node_get_an_error_and_those_of_the_next_one_images(bench, tmp_path) -> None:
    """`kill -9` under a running goal: the client with a deadline does not hang, started anew or not."""
    rig = Rig(bench, tmp_path).ready()
    client, steps = GenerationClient(bench.node), []

    def kill_in_between(feedback) -> None:
        steps.append(feedback.step)
        if feedback.step == 2:
            os.kill(rig.pid, 9)
            rig.manager.process.wait(10)
            bench.processes.clear()
            bench.start("generator_node", *rig.parameters)

    with pytest.raises(RobotVisionError, match="the server is gone; ask again once it is back"):
        client.generate(goal_message(steps=90), bench.rest, timeout_s=60, on_feedback=kill_in_between)
    assert 2 <= len(steps) < 10
    assert client.generate(goal_message(), bench.rest, timeout_s=60).success
