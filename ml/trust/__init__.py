"""Who says so: keys, signatures, and the ledger that is made of them. What was verified, and by whom."""
