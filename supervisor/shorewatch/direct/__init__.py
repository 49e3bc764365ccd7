"""Devices that the gateway reads itself: framing, turns, transports, and the loop of one line."""
