"""Detections to tracks: Kalman filter, association and track lifetimes in seconds."""
