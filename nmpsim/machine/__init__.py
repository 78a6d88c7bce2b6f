"""The whole die: wiring, the clock loop, running a program to its end."""
