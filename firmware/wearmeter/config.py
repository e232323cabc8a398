"""What one unit is told at provisioning: Wi-Fi, broker, identity. In /config.json.

Plain TCP to the broker is used only where the file says `"transport": "plain"` in so many words.
"""

from wearmeter.checked import Fields

_ID_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"


class Config:
    """A config read from the JSON object `data`; `where` names it in errors. Raises checked.FileError."""

    def __init__(self, data, where):
        fields = Fields(data, where)
        fields.choice("schema", (1,))
        wifi = fields.object("wifi")
        self.ssid = wifi.text("ssid", 1, 32)
        self.wifi_password = wifi.text("password", 8, 63, None, secret=True)
        wifi.done()
        broker = fields.object("broker")
        self.host = broker.text("host", 1, 253)
        self.transport = broker.choice("transport", ("tls", "plain"), "tls")
        self.port = broker.whole("port", 1, 65535, 8883 if self.transport == "tls" else 1883)
        self.ca_path = broker.text("ca", 1, 64, "/ca.pem")
        self.client_cert = broker.text("client_cert", 1, 64, None)
        self.client_key = broker.text("client_key", 1, 64, None)
        if (self.client_cert is None) != (self.client_key is None):
            broker.fail("client_cert", "client_cert and client_key, or neither")
        self.user = broker.text("user", 1, 128, None)
        self.password = broker.text("password", 1, 128, None, secret=True)
        if (self.user is None) != (self.password is None):
            broker.fail("user", "user and password, or neither")
        broker.done()
        self.topic_root = fields.text("topic_root", 1, 64, "wearmeter")
        if "+" in self.topic_root or "#" in self.topic_root or self.topic_root[0] == "/" or self.topic_root[-1] == "/":
            fields.fail("topic_root", "levels divided by /, without + and #")
        self.device = fields.text("device", 1, 32, None)
        if self.device is not None:
            for character in self.device:
                if character not in _ID_CHARACTERS:
                    fields.fail("device", "letters, digits, _ and -")
        self.serial = fields.text("serial", 0, 64, "")
        self.ntp_host = fields.text("ntp_host", 1, 253, None)
        fields.done()
