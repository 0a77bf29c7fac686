"""What a result promises, in numbers that can be checked from A and the supports alone."""
