"""The reference relay: what a device says over MQTT becomes rows in a database and events in its owner's Alexa."""
