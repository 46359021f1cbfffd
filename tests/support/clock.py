"""A clock for tests: time passes only when the test says so, however busy the machine is."""

# An error of a test must not leave it waiting for ever: the most seconds, of the real clock.
SECONDS = 60


class Clock:
    """A replacement for `time.perf_counter`, which the check uses.

    Attributes
    ----------
    now : float
        The time in seconds. Fractions such as 1/64 add up without rounding.
    tick : float
        The seconds that pass each time the clock is read.
    """

    # A check restores the objects of the user that the cost changes, but not those of a library.
    __module__ = "time"

    def __init__(self):
        self.now = self.tick = 0.0

    def __call__(self):
        self.now += self.tick
        return self.now

    def sleep(self, seconds):
        """Let time pass, as `time.sleep` does."""
        self.now += seconds

    def slow(self, cost, seconds):
        """Return a cost that takes this many seconds."""

        def slowed(params):
            self.sleep(seconds)
            return cost(params)

        return slowed
