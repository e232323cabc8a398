"""The relay as functions behind AWS IoT Core; template.yaml says how they hang together. See README.md."""
