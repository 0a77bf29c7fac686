"""Does a best factorization exist at all? Decisions, each with a proof that is checked by other means."""
