"""What the hardware is told: instruction set, schedule and program types, encoding (Schedule to Program)."""
