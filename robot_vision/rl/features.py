"""Tracks as an array of fixed size; defined beside the tracker, because data sets are made with it, too."""

from robot_vision.tracking.features import TRACK_FEATURES, TrackFeatures, track_rows

__all__ = ["TRACK_FEATURES", "TrackFeatures", "track_rows"]
