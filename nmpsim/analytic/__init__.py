"""Closed forms and lower bounds; shares no timing code with the cycle engine."""
