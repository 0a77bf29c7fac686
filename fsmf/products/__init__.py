"""Products of sparse factors as operators, wherever their values live."""
