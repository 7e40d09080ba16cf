"""ONNX Runtime sessions and the model cards that describe them."""
