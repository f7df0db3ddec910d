"""Minimum speedups as data, each with its source, and their loader."""
