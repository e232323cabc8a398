# ruff: noqa: F821 (the names are those that a manifest is run with)
include("../frozen")
module("board.py", opt=3)
