"""Fits the coefficients of the analytical mode to cycle runs: sample, fit, cross-validation, file."""
