"""Detections to tracks: Kalman filter, association and track lifetimes in seconds.

With a few objects an update is bound by the number of calls, not by arithmetic. Hence rows that stay contiguous, fields
that are read as attributes, constants that are arrays of no dimension, which NumPy combines with others faster than
Python numbers, and `empty` with `fill` in place of `full`.
"""
