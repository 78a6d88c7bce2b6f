"""Synthetic traffic, and runs of a network on its own."""
