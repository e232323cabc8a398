"""What people see over HTTP: the fleet, a device, the metrics."""
