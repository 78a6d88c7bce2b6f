"""How components meet: FIFOs and ports that speak through time stamps."""
