"""The drivers know pins: run-time inputs, the buttons, the LED."""
