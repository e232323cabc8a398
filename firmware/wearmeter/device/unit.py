"""What this unit is: the fields of its product and of its config, as tools/provision/pack.py packs them."""


class Product:
    """What is counted, and how."""

    def __init__(self, fields):
        (
            _,
            self.about_head,
            self.about_parts,
            self.max_on_ms,
            self.powered_with_motor,
            (self.led_signal, self.led_active, self.led_color),
            self.inputs,  # (driver, signal, on, off, weight bands or None); for level: on is the active level
            self.parts,  # (id, place of its input, rated life in hours, button signal or None, its active level)
        ) = fields[:8]


class Config:
    """Wi-Fi, broker, identity."""

    def __init__(self, fields):
        (
            _,
            self.serial,
            self.device,
            self.topic_root,
            (self.ssid, self.wifi_password),
            (self.host, self.port, self.transport, self.user, self.password),
            (self.ca, self.client_cert, self.client_key),
            (self.psk_identity, self.psk_key),
            self.ntp_host,
        ) = fields[:9]
