"""The analytical mode: counts and times of every operator of a decode step, by closed form."""
