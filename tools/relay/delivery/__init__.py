"""Sends what is queued to Alexa: routes, tokens, retries."""
