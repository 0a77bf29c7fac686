"""Hard thresholding: minimise a loss under a sparsity constraint, and say what the point found is worth."""
