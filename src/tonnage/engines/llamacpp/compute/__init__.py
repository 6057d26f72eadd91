"""Compute buffers: what the graph of one batch needs besides weights and cache."""
