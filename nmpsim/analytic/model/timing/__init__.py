"""How long it takes: time of every unit of a chip by closed form, overlapped by what waits for what."""
