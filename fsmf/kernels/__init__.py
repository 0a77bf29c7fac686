"""Array arithmetic, one operation a file; a compiled twin has the stem of its plain file."""
