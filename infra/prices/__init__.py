"""What a stack will cost, before it is deployed: an estimate from a table of prices in the repository."""
