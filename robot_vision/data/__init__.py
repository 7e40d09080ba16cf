"""Bags, videos and folders to frames and labels."""
