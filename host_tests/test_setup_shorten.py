"""Names that are not ours keep theirs in the bundles: a callback set under another name would never be called."""

from __future__ import annotations

from tools.setup import firmware

# Set on objects of MicroPython's, and in no stub: with any of them renamed, certificates would be judged by nobody.
FOREIGN = ("verify_mode", "verify_callback", "load_verify_locations", "psk_identity", "psk_key", "server_hostname")


def test_what_is_set_on_micropythons_objects_keeps_its_name() -> None:
    firmware.build()
    text = (firmware.BUNDLES / "wm_tls.py").read_text()
    assert [name for name in FOREIGN if name not in text] == []
