"""Networks: topology, routers with virtual channels, synthetic traffic on them, and the network of a die."""
