"""Sessions: the network that the card describes, on the provider that was asked for, or one clear error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx_writer import FLOAT16, UINT8, write_network

from robot_vision.errors import ModelError, ProviderError
from robot_vision.params import SessionParams
from robot_vision.runtime.card import InputSpec, LatentSpec, ModelCard, load_card
from robot_vision.runtime.session import OnnxSession

HAS_CUDA = "CUDAExecutionProvider" in ort.get_available_providers()
SPEC = InputSpec("images", (8, 4), "RGB", "stretch", 0, 1.0)


def make_card(path: Path, spec: InputSpec = SPEC) -> ModelCard:
    return ModelCard(path.stem, "detection", path, "0" * 64, spec, class_names=("cat",))


def test_run_sees_what_was_written_into_the_input(tmp_path: Path) -> None:
    card = make_card(write_network(tmp_path / "a.onnx", [1, 3, 4, 8], {"copy": None, "one": np.ones((1, 2))}))
    session = OnnxSession(card, SessionParams(provider="cpu"))
    network_input = session.new_input()
    assert network_input.shape == (1, 3, 4, 8)
    assert network_input.dtype == np.float32
    assert network_input.flags.c_contiguous
    assert session.output_names == ("copy", "one")
    assert [output.shape for output in session.outputs] == [(1, 3, 4, 8), (1, 2)]
    first = session.run(network_input)
    network_input[...] = 7
    second = session.run(network_input)
    np.testing.assert_array_equal(first[0], np.zeros((1, 3, 4, 8)), err_msg="an earlier result must not change")
    np.testing.assert_array_equal(second[0], np.full((1, 3, 4, 8), 7))


def test_reports_what_is_really_in_use(tmp_path: Path) -> None:
    session = OnnxSession(make_card(write_network(tmp_path / "a.onnx", [1, 3, 4, 8], {"copy": None})), SessionParams())
    assert (session.provider, session.device) == (("cuda", "cuda:0") if HAS_CUDA else ("cpu", "cpu"))


@pytest.mark.skipif(HAS_CUDA, reason="this ONNX Runtime has CUDA")
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_provider_that_cannot_be_had_is_an_error_unless_the_cpu_is_allowed(
    tmp_path: Path, provider: str, caplog: pytest.LogCaptureFixture
) -> None:
    card = make_card(write_network(tmp_path / "a.onnx", [1, 3, 4, 8], {"copy": None}))
    with pytest.raises(ProviderError, match=f"session.provider: {provider} is not in .*onnxruntime-gpu.*allow_cpu"):
        OnnxSession(card, SessionParams(provider=provider))
    session = OnnxSession(card, SessionParams(provider=provider, allow_cpu=True))
    assert (session.provider, session.device) == ("cpu", "cpu")
    assert "running on the CPU" in caplog.text


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_provider_that_onnx_runtime_lists_but_does_not_give(
    tmp_path: Path, provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The case of a missing driver: the GPU build lists CUDA, the session quietly comes up without it."""
    card = make_card(write_network(tmp_path / "a.onnx", [1, 3, 4, 8], {"copy": None}))
    real = ort.InferenceSession

    def without_gpu(path: str, sess_options: ort.SessionOptions, providers: object) -> ort.InferenceSession:
        return real(path, sess_options=sess_options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(ort, "InferenceSession", without_gpu)
    listed = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(ort, "get_available_providers", lambda: listed)
    with pytest.raises(ProviderError, match=rf"provider {provider} was not obtained for .*a\.onnx.*allow_cpu"):
        OnnxSession(card, SessionParams(provider=provider))
    assert OnnxSession(card, SessionParams(provider=provider, allow_cpu=True)).provider == "cpu"
    assert OnnxSession(card, SessionParams(provider="auto")).provider == "cpu"


@pytest.mark.parametrize("content", [b"", b"not a network", bytes(1000)], ids=["empty", "text", "zeros"])
def test_file_that_is_no_network(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.onnx: not a network that ONNX Runtime"):
        OnnxSession(make_card(path), SessionParams())
    with pytest.raises(ModelError, match=r"bad\.onnx: not a network that ONNX Runtime"):
        load_card(path)


def test_truncated_network(tmp_path: Path) -> None:
    path = write_network(tmp_path / "cut.onnx", [1, 3, 4, 8], {"out": np.zeros((1, 100))})
    path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(ModelError, match=r"cut\.onnx: not a network"):
        OnnxSession(make_card(path), SessionParams())


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx: not a network .*"):
        OnnxSession(make_card(tmp_path / "absent.onnx"), SessionParams())


def test_network_that_loads_and_fails_at_run_is_found_at_start(tmp_path: Path) -> None:
    path = write_network(tmp_path / "fails.onnx", [1, 3, "h", "w"], {"copy": None}, fails_at_run=True)
    with pytest.raises(ModelError, match=r"fails\.onnx: the network loads but fails when it runs .*\(1, 3, 4, 8\)"):
        OnnxSession(make_card(path), SessionParams())


def test_real_network_whose_shape_lies(shared_data: Path) -> None:
    card = load_card(shared_data / "models" / "negative" / "yolov10n_shape_lies.onnx")
    with pytest.raises(ModelError, match=r"yolov10n_shape_lies\.onnx: the network loads but fails.*Reshape"):
        OnnxSession(card, SessionParams())


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([1, 3, 8, 4], r"the card says shape \(1, 3, 4, 8\), the network takes \(1, 3, 8, 4\)"),
        ([1, 3, 4], r"the card says shape \(1, 3, 4, 8\), the network takes \(1, 3, 4\)"),
        ([2, 3, 4, 8], r"the network takes \(2, 3, 4, 8\)"),
    ],
)
def test_input_of_another_shape(tmp_path: Path, shape: list[int], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        OnnxSession(make_card(write_network(tmp_path / "a.onnx", shape, {"copy": None})), SessionParams())


def test_free_dimensions_take_the_cards_size(tmp_path: Path) -> None:
    path = write_network(tmp_path / "a.onnx", ["n", 3, "h", "w"], {"copy": None})
    assert [output.shape for output in OnnxSession(make_card(path), SessionParams()).outputs] == [(1, 3, 4, 8)]


def test_input_of_another_name_or_type(tmp_path: Path) -> None:
    other_name = write_network(tmp_path / "a.onnx", [1, 3, 4, 8], {"copy": None}, input_name="x")
    with pytest.raises(ModelError, match="expected one input named images, the network has x"):
        OnnxSession(make_card(other_name), SessionParams())
    bytes_in = write_network(tmp_path / "b.onnx", [1, 3, 4, 8], {"copy": None}, input_type=UINT8)
    with pytest.raises(ModelError, match=r"images: expected tensor\(float\) or .*the network takes tensor\(uint8\)"):
        OnnxSession(make_card(bytes_in), SessionParams())


def test_half_precision_goes_in_and_comes_out_as_single(tmp_path: Path) -> None:
    """The stages know one number format; an fp16 export is converted at both ends."""
    path = write_network(tmp_path / "a.onnx", [1, 3, 4, 8], {"copy": None}, input_type=FLOAT16)
    session = OnnxSession(make_card(path), SessionParams(provider="cpu"))
    network_input = session.new_input()
    network_input[...] = 0.5
    (copy,) = session.run(network_input)
    assert (network_input.dtype, copy.dtype) == (np.float32, np.float32)
    np.testing.assert_array_equal(copy, network_input)


def test_network_that_asks_for_a_size_is_told_that_of_its_input(tmp_path: Path) -> None:
    """RT-DETR and D-FINE scale their boxes to the width and height they are given: boxes become network pixels."""
    path = write_network(tmp_path / "a.onnx", [1, 3, 4, 8], {"copy": None, "sizes": "orig_target_sizes"})
    session = OnnxSession(make_card(path), SessionParams(provider="cpu"))
    assert session.run(session.new_input())[1].tolist() == [[8, 4]]
    assert [output.is_integer for output in session.outputs] == [False, True]


def test_decoder_takes_a_latent(tmp_path: Path) -> None:
    path = write_network(tmp_path / "d.onnx", [1, 5], {"image": np.ones((1, 3, 4, 8))}, input_name="latent")
    latent = LatentSpec(5, "", None, None, None, None, None, None)
    session = OnnxSession(ModelCard("d", "latent_decoder", path, "0" * 64, SPEC, latent=latent), SessionParams())
    assert session.new_input().shape == (1, 5)
