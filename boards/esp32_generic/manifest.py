include("../frozen")
module("board.py", opt=3)
