"""Device drivers: everything that knows a vendor, and nothing that knows MQTT or configuration."""
