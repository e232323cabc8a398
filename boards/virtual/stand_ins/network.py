"""`network` as on the ESP32: one station interface, with the status codes of the ESP-IDF."""

import costs as _costs
import world as _world

_the = _world.the

STA_IF, AP_IF = 0, 1
STAT_IDLE, STAT_CONNECTING, STAT_GOT_IP = 1000, 1001, 1010
STAT_BEACON_TIMEOUT, STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD, STAT_ASSOC_FAIL = 200, 201, 202, 203
STAT_HANDSHAKE_TIMEOUT, STAT_CONNECT_FAIL = 204, 205
_RETRY_US = 2_500_000  # a scan over all channels that finds nothing, and the next attempt


def hostname(name=None):
    return "mpy-esp32"


def country(code=None):
    return "XX"


class WLAN:
    IF_STA, IF_AP = 0, 1
    PM_NONE, PM_PERFORMANCE, PM_POWERSAVE = 0, 1, 2
    _station = None

    def __new__(cls, interface=STA_IF):
        if interface != STA_IF:
            raise ValueError("invalid WLAN interface identifier")
        if cls._station is None:
            station = cls._station = super().__new__(cls)
            station.is_active = False
            station.requested = False
            station.got_ip = False
            station.associated = False
            station.lease_lost = False
            station.reason = 0
            station.reconnects = -1
            station.failures = 0
            station.ssid = station.key = None
            station.attempt_us = _world.NEVER
            _the.radio = station
            _the.on_network_change.append(station._changed)
        return cls._station

    def __init__(self, interface=STA_IF):
        pass

    def active(self, on=None):
        _the.look()
        if on is not None:
            if on and not self.is_active:
                _the.block(0 if _the.real else _costs.RADIO_START_US)
            self.is_active = bool(on)
            if not on:
                self._leave(0)
                self.requested = False
        return self.is_active

    def config(self, *names, **values):
        if values:
            if "reconnects" in values:
                self.reconnects = values["reconnects"]
            return None
        name = names[0]
        if name == "mac":
            import machine

            return machine.unique_id()
        if name in ("ssid", "essid"):
            return self.ssid or ""
        if name == "reconnects":
            return self.reconnects
        if name in ("hostname", "dhcp_hostname"):
            return "mpy-esp32"
        if name == "channel":
            return 6
        if name == "txpower":
            return 20.0
        if name == "pm":
            return WLAN.PM_PERFORMANCE
        raise ValueError("unknown config param")

    def connect(self, ssid=None, key=None, *, bssid=None):
        if not self.is_active:
            raise OSError("Wifi Not Started")
        if self.requested and self.attempt_us != _world.NEVER and not self.got_ip:
            raise OSError("Wifi Internal State Error")  # esp_wifi_connect while it is connecting
        if ssid is not None:
            self.ssid, self.key = ssid, key
        self._leave(0)
        self.requested = True
        self.failures = 0
        self._attempt_after(_the.session.get("wifi_connect_ms", 2000) * 1000)

    def disconnect(self):
        self.requested = False
        self._leave(8)  # WIFI_REASON_ASSOC_LEAVE

    def isconnected(self):
        _the.look()
        return self.got_ip

    def status(self, what=None):
        _the.look()
        if what == "rssi":
            if not self.associated:
                raise OSError("Wifi Not Connected")
            return -60
        if what is not None:
            raise ValueError("unknown status param")
        if self.got_ip:
            return STAT_GOT_IP
        if self.reason in (STAT_NO_AP_FOUND, STAT_WRONG_PASSWORD):
            return self.reason
        if self.reason == 8:
            return STAT_IDLE
        if self.requested and (self.reconnects < 0 or self.failures <= self.reconnects):
            return STAT_CONNECTING
        return self.reason or STAT_IDLE

    def ifconfig(self, configuration=None):
        if self.got_ip and not self.lease_lost:
            return ("192.168.4.2", "255.255.255.0", "192.168.4.1", "192.168.4.1")
        return ("0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0")

    def ipconfig(self, *names, **values):
        """One name at a time: addr4 and gw4 as ("address", "mask") and "address", dhcp4, has_dhcp4."""
        if values:
            return None
        address, mask, gateway, _ = self.ifconfig()
        found = {"addr4": (address, mask), "gw4": gateway, "dhcp4": True, "has_dhcp4": self.got_ip}
        if len(names) != 1 or names[0] not in found:
            raise ValueError("unknown config param")
        return found[names[0]]

    def scan(self):
        if not self.is_active:
            raise OSError("STA must be active")
        _the.block(2_000_000)
        if _the.wifi == "gone":
            return []
        return [(_the.session["wifi"]["ssid"].encode(), b"\x02\x00\x00\x00\x00\x01", 6, -60, 3, False)]

    # --- the radio's own doing, called by the world at instants of its own ------------------------------------------

    def _attempt_after(self, duration_us):
        self.attempt_us = _the.now_us + duration_us
        _the.radio_due_us = self.attempt_us
        _the.plan()

    def step(self):
        """An attempt to associate comes to its end."""
        self.attempt_us = _the.radio_due_us = _world.NEVER
        network = _the.session["wifi"]
        if not self.is_active or not self.requested:
            return
        if _the.wifi == "gone" or self.ssid != network["ssid"]:
            self._fail(STAT_NO_AP_FOUND)
        elif self.key != network["password"]:
            self._fail(STAT_WRONG_PASSWORD)
        else:
            self.associated = True
            if _the.wifi == "no_address":  # the router's DHCP is dead
                return
            self.got_ip = True
            self.reason = 0

    def _fail(self, reason):
        self.reason = reason
        self.failures += 1
        if self.reconnects < 0 or self.failures <= self.reconnects:
            self._attempt_after(_RETRY_US)

    def _leave(self, reason):
        self.attempt_us = _the.radio_due_us = _world.NEVER
        was = self.got_ip
        self.got_ip = self.associated = self.lease_lost = False
        self.reason = reason
        if was:
            for socket in list(_the.sockets):
                socket.lose()

    def _changed(self, kind):
        if kind == "wifi" and _the.wifi == "no_address" and self.got_ip:
            # The lease runs out: the port's handler knows no such event, and isconnected() stays true.
            self.lease_lost = True
        if kind == "wifi" and _the.wifi == "gone" and self.got_ip:
            self._leave(STAT_BEACON_TIMEOUT)
            self._fail(STAT_BEACON_TIMEOUT)
