"""What a step does, counted from graph, schedule and chip: work of every operator, and which rows it reads."""
