"""Exploration of many chips for one decode step: bulk prediction, limits, Pareto front, confirmed by cycle runs."""
