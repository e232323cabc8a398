"""The way to the relay: Wi-Fi, names, time, TLS, and MQTT over umqtt.simple. Nothing here waits in C."""
