"""Budgets for latency and rate: a node that is slower than the robot was promised says so, until it is not."""

from __future__ import annotations

import threading
import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

PERIOD_S = 0.1


def test_what_is_slower_than_promised_is_a_warning_that_names_the_budget(bench) -> None:
    """Each budget in turn, changed on the running node; with the last one lifted all is well again."""
    said: dict[str, str] = {}

    def keep(message: DiagnosticArray) -> None:
        said.update({s.message: s.level for s in message.status if s.name.endswith(": camera")})

    bench.node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
    bench.start("detector_node", "camera.latency_budget:=0.000001")
    stop = threading.Event()
    camera = threading.Thread(target=_publish, args=(bench.node, stop))
    camera.start()
    try:
        _expect(bench, said, "ms, above camera.latency_budget of 0.001 ms", DiagnosticStatus.WARN)
        _set(bench, {"camera.latency_budget": 100.0, "camera.least_rate": 500.0})
        _expect(bench, said, "results a second, below camera.least_rate of 500", DiagnosticStatus.WARN)
        said.clear()
        _set(bench, {"camera.least_rate": 0.5})
        _expect(bench, said, "frames arrive", DiagnosticStatus.OK)
    finally:
        stop.set()
        camera.join()


def _publish(node, stop: threading.Event) -> None:
    publisher = node.create_publisher(Image, "/camera/image", QoSProfile(depth=1))
    message = Image(width=64, height=48, step=192, encoding="rgb8", data=bytes(48 * 192))
    while not stop.is_set():
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        time.sleep(PERIOD_S)


def _expect(bench, said: dict[str, bytes], part: str, level: bytes) -> None:
    bench.until(lambda: any(part in text and found == level for text, found in said.items()), part)


def _set(bench, values: dict[str, float]) -> None:
    client = bench.client(SetParameters, "/detector_node/set_parameters")
    changes = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
    future = client.call_async(SetParameters.Request(parameters=changes))
    bench.until(future.done, "the reply")
    assert all(result.successful for result in future.result().results)
