"""A core: sequencer, compute unit, vector unit, buffer ports, data mover, network port."""
