"""The time of a test: it passes only where the test says so, however busy the machine is."""


class Clock:
    """Stands in for `time.perf_counter`, by which a check goes.

    Attributes
    ----------
    now : float
        In seconds. Fractions such as 1/64 add up without rounding.
    tick : float
        How long it takes to look at it.
    """

    def __init__(self):
        self.now = self.tick = 0.0

    def __call__(self):
        self.now += self.tick
        return self.now

    def sleep(self, seconds):
        """Let time pass, as `time.sleep` does."""
        self.now += seconds

    def slow(self, cost, seconds):
        """Return a cost that takes so many seconds."""

        def slowed(params):
            self.sleep(seconds)
            return cost(params)

        return slowed
