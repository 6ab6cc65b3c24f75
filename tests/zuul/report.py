"""One line per assertion, with the scenario that makes it: scenarios are played at the same time."""
import threading
import time
import traceback


class Report:
    def __init__(self):
        self.passed = self.failed = 0
        self.started = time.monotonic()
        self.lock = threading.Lock()

    def of(self, scenario):
        """What a scenario reports to."""
        return ScenarioReport(self, scenario)

    def check(self, what, truth, seen=None):
        """Says whether `what` is so; where it is not, what was seen instead."""
        with self.lock:
            if truth:
                self.passed += 1
            else:
                self.failed += 1
            print(f'{"ok  " if truth else "FAIL"}  {what}', flush=True)
            if not truth and seen is not None:
                print(f'      seen: {seen}', flush=True)
        return bool(truth)

    def note(self, text):
        with self.lock:
            print(f'[{time.monotonic() - self.started:4.0f} s] {text}', flush=True)


class ScenarioReport:
    def __init__(self, whole, scenario):
        self.whole, self.scenario = whole, scenario

    def check(self, what, truth, seen=None):
        return self.whole.check(f'{self.scenario}: {what}', truth, seen)

    def equal(self, what, seen, expected):
        return self.check(what, seen == expected, f'{seen!r}, expected {expected!r}')

    def note(self, text):
        self.whole.note(f'{self.scenario}: {text}')

    def broken(self):
        """Reports the exception that is being handled: the scenario cannot go on."""
        return self.check('it is played to its end', False, traceback.format_exc())
