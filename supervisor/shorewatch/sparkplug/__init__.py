"""Sparkplug B 3.0: the station as an edge node."""
