"""The models that serve: loaded, swapped, tried beside each other, asked one row at a time or many at once."""
