"""From this computer to a board on a serial port, over the real mpremote: deploy, monitor, status, erase-counters."""
