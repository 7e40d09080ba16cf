"""Measures of detections, tracks and latents against ground truth, and the report that shows them."""
