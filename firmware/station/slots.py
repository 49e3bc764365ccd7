"""Which slot runs, and the end of its trial. Updates begin in update.py.

confirm() is for the running application: on trial it waits until a gateway has read the image's
header and 10 s more have been healthy, then writes once, in a gap of all buses.
boot.py is imported where it is used: a flash without slots needs none.
"""

import sys

CONFIRMED = 1
ON_TRIAL = 2


class Trial:
    """Which slot runs, and what is to be done about it."""

    def __init__(self, root: str) -> None:
        """Root ends in "/"; the running slot is the one that boot.py has put on the path."""
        self.root = root
        self.slot = ""
        for name in ("a", "b"):
            if sys.path and sys.path[0] == root + name:
                self.slot = name
        self.state = 0  # no slot
        self.is_fallback = False
        # What the flash has: 16 digits each of the hashes of the slot's manifest and of boot.py;
        # nothing of a file that is not there.
        self.content = ""
        if self.slot:
            import boot

            state = boot.read_state(root)
            buf = bytearray(512)
            for name in (self.slot + "/" + boot.MANIFEST, "boot.py"):
                if boot.exists(root + name):
                    self.content += boot.digest(root + name, buf)[:16]
            self.state = ON_TRIAL if state["try"] == self.slot else CONFIRMED
            self.is_fallback = bool(state["bad"])
            if self.state == CONFIRMED and state["act"] not in ("", self.slot):
                self.is_fallback = True
            sys.modules.pop("boot", None)  # 4 kB that a running board does not need

    def confirm(self) -> None:
        """Ends the trial well: from now on this slot is the one to boot."""
        import boot

        state = boot.read_state(self.root)
        if state["try"] == self.slot:
            state.update({"act": self.slot, "try": "", "left": 0, "bad": ""})
            boot.write_state(self.root, state)
        self.state = CONFIRMED
