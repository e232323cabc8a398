"""Who owns a device, and how Alexa asks for it: claim codes, links, the skill."""
