# ruff: noqa: F821 (the names are those that a manifest is run with)
# What every image of ours has frozen in: our _boot.py in place of the port's, umqtt.simple, the firmware, its main.py.
# A board's manifest.py includes this and adds its board.py. $(PORT_DIR) is ports/esp32 of the MicroPython that builds.

freeze("$(PORT_DIR)/modules", "flashbdev.py")
try:
    freeze("$(PORT_DIR)/modules", "machine.py")
except Exception:
    pass  # MicroPython before 1.26 has none.
freeze(".", "_boot.py")

require("ssl")
require("umqtt.simple")

# The bundles and the board's module are what `make build` makes.
for bundle in (
    "wm_first",
    "wm_count",
    "wm_start",
    "wm_network",
    "wm_names",
    "wm_tls",
    "wm_extras",
):
    module(bundle + ".py", base_path="../../build/bundles", opt=2)
module("main.py", base_path="../../firmware", opt=2)
