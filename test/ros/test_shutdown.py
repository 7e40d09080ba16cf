"""How the nodes end: quietly, with exit status 0, however often they are told to."""

from __future__ import annotations

import signal
import time

import pytest


@pytest.mark.parametrize("name", ["perception_node", "detector_node", "tracker_node", "encoder_node", "generator_node"])
def test_a_second_interrupt_does_not_cut_the_clean_up(bench, name: str) -> None:
    """Under launch, Ctrl-C reaches a node from the terminal and from launch: no traceback, exit status 0."""
    process = bench.start(name)
    bench.until(lambda: (name, "/") in bench.node.get_node_names_and_namespaces(), "the node")
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    assert process.wait(20) == 0, bench.output(name)
    bench.processes.clear()
    assert "Traceback" not in bench.output(name)


def test_an_interrupt_while_the_models_load_ends_the_node(bench) -> None:
    """Not even then is there a traceback."""
    process = bench.start("perception_node")
    bench.until(lambda: ("perception_node", "/") in bench.node.get_node_names_and_namespaces(), "the node")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0, bench.output("perception_node")
    bench.processes.clear()
    assert "Traceback" not in bench.output("perception_node")
