"""A stand-in for Alexa's event gateway on loopback: as strict as the pages, and able to fail in every way they list."""
