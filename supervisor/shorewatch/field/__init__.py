"""The technician's tools: what is done beside a board, with a laptop and no network.

They stand beside the daemon, which never imports them: what opens a board's door is here alone.
"""
