"""Frames to detections: preprocessing, network heads and non-maximum suppression."""
