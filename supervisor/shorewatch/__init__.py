"""Shorewatch: the gateway of a submarine-cable landing station."""
