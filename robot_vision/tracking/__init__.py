"""Detections to tracks: Kalman filter, association and track lifetimes in seconds.

With a few objects an update is bound by the number of calls, not by arithmetic. Hence rows that stay contiguous, fields
that are read as attributes, and constants that are arrays of no dimension: NumPy needs half as long to multiply by one
as by a Python number.
"""
