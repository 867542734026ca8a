"""What is asked of AWS at run time, by whatever runs there."""
