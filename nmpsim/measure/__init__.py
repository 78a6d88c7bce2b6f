"""What is observed: the Run and its parts."""
