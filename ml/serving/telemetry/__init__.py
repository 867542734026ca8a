"""What a model server tells Prometheus and OpenTelemetry."""
