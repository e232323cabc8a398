"""mosquitto as a maker would run it for Wearmeter: TLS only, and each device on its own branch."""
