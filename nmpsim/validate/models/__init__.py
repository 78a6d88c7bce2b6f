"""Simple models of the field, to be judged and to begin from: each a file with one function ``predict``."""
