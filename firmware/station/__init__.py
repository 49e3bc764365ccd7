"""The board's application: field buses polled by a plan, served as one image of input registers."""

VERSION = (0, 1, 0)
