"""Configuration: the schema, and how it is read and checked."""
