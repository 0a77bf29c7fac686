"""Where nonzeros may be: booleans only, never a value."""
