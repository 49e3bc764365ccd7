"""The technician's tools: beside the daemon, never imported by it; they only read."""
