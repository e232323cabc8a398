# ruff: noqa: F821 (the names are those that a manifest is run with)
include("../frozen")
module("board.py", base_path="../../build/boards/esp32_generic", opt=2)
