"""One network for several cameras: what waits while it runs goes into the next run together."""

from __future__ import annotations

import threading

from robot_vision.runtime.layouts import Output
from robot_vision.runtime.session import NetworkInput, OnnxSession, Outputs


class _Request:
    """An input that waits for its turn, then its outputs or the error."""

    def __init__(self, network_input: NetworkInput) -> None:
        self.network_input = network_input
        self.outputs: Outputs | None = None
        self.error: Exception | None = None

    def is_done(self) -> bool:
        return self.outputs is not None or self.error is not None


class SharedSession:
    """A session that several threads may call, one for each camera.

    Nobody waits for a camera that has nothing to say: a lone input runs at once. Inputs that come while the network is
    busy run next, in the order in which they came, as many together as the network takes. A thread has one input in
    the queue at most, so between two runs for one camera every other that waits gets its turn.

    Args:
        session: The network.
    """

    def __init__(self, session: OnnxSession) -> None:
        self._session = session
        self._waiting: list[_Request] = []
        self._busy = False
        self._changed = threading.Condition()

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order in which `run` returns them."""
        return self._session.output_names

    @property
    def outputs(self) -> tuple[Output, ...]:
        """The outputs with the shapes that the warm-up run gave them."""
        return self._session.outputs

    @property
    def provider(self) -> str:
        """Provider really in use: tensorrt, cuda or cpu."""
        return self._session.provider

    @property
    def device(self) -> str:
        """Device really in use: cpu or cuda:<number>."""
        return self._session.device

    @property
    def max_batch(self) -> int:
        """Most inputs that run together."""
        return self._session.max_batch

    def new_input(self) -> NetworkInput:
        """An array for `run`, zero and C-contiguous."""
        return self._session.new_input()

    def new_outputs(self) -> Outputs | None:
        """None: outputs of inputs that run together share their memory."""
        return None

    def run(self, network_input: NetworkInput, into: Outputs | None = None) -> Outputs:  # noqa: ARG002
        """Run the network, together with what other threads want to run.

        Args:
            network_input: From `new_input`; not changed, and not to be changed until the call returns.
            into: Not used.

        Returns:
            One new array an output.

        Raises:
            ModelError: If the network fails.
        """
        request = _Request(network_input)
        with self._changed:
            self._waiting.append(request)
        while not request.is_done():
            with self._changed:
                self._changed.wait_for(lambda: request.is_done() or not self._busy)
                if request.is_done():
                    break
                # Whoever finds the network idle runs what waits, for the others too.
                self._busy = True
                batch, self._waiting = self._waiting[: self.max_batch], self._waiting[self.max_batch :]
            self._serve(batch)
        if request.error is not None:
            raise request.error
        assert request.outputs is not None
        return request.outputs

    def _serve(self, batch: list[_Request]) -> None:
        try:
            results = self._session.run_batch([request.network_input for request in batch])
            for request, outputs in zip(batch, results, strict=True):
                request.outputs = outputs
        except Exception as error:
            for request in batch:
                request.error = error
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
