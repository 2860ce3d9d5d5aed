"""The MQTT connection: topics and session."""
