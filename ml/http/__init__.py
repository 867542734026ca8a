"""HTTP/1.1 for this project's own servers: connections with limits, and the little of it that applications need."""
