"""The MQTT contract as an AsyncAPI document, made from the types that messages are made of."""
