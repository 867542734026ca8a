class NotMade(Exception):
    """The inputs give nothing; the message says what is wrong with them."""
