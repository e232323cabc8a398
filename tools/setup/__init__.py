"""Set-up: the virtual environment, umqtt.simple, the compiled firmware, and finding MicroPython."""
