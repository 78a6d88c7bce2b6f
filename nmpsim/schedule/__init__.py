"""Makes schedules, and checks programs independently of how they were made."""
