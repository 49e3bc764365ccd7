"""MQTT 5: the station's uplink to a NOC, and the NOC's end of it."""
