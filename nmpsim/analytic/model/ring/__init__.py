"""Messages on a ring that meet: followed flit by flit, or part by part, where a formula does not tell who waits."""
