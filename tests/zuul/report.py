"""One line per assertion."""
import time


class Report:
    def __init__(self):
        self.passed = self.failed = 0
        self.started = time.monotonic()

    def check(self, what, truth, seen=None):
        """Says whether `what` is so; where it is not, what was seen instead."""
        if truth:
            self.passed += 1
        else:
            self.failed += 1
        print(f'{"ok  " if truth else "FAIL"}  {what}', flush=True)
        if not truth and seen is not None:
            print(f'      seen: {seen}', flush=True)
        return bool(truth)

    def equal(self, what, seen, expected):
        return self.check(what, seen == expected, f'{seen!r}, expected {expected!r}')

    def note(self, text):
        print(f'[{time.monotonic() - self.started:4.0f} s] {text}', flush=True)
