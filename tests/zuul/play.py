"""The second half of tests/zuul/play: brings Zuul up, lets the site adopt zuul-images, plays the scenarios."""
import os
import sys
import threading
import time
import traceback

import forward
from report import Report
from scenarios import LANES, LAST, SCENARIOS, SMOKE
from zuul_site import LOGS, Site


def main():
    names = sys.argv[1:] or (SMOKE if os.environ.get('SMOKE') else list(SCENARIOS))
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        sys.exit(f'no such scenario: {", ".join(unknown)}; there are {", ".join(SCENARIOS)}')

    report, site = Report(), Site()
    try:
        site.start()
        report.note('Zuul is up, and the site has adopted zuul-images')
        play_lanes([[name for name in lane if name in names] for lane in LANES], site, report)
        play_one_after_another([name for name in LAST if name in names], site, report)
        report.note('that was all')
    except Exception:
        report.check('the site comes up', False, traceback.format_exc())
    try:
        site.keep_logs()
    except Exception:
        report.check('the logs of the jobs are kept', False, traceback.format_exc())
    if report.failed:
        print(f'logs: {LOGS}')
    print(f'{report.passed} passed, {report.failed} failed', flush=True)
    if os.environ.get('KEEP'):
        wait_for_interrupt(site)
    sys.exit(report.failed > 0)


def play_lanes(lanes, site, report):
    threads = [threading.Thread(target=play_one_after_another, args=(names, site, report)) for names in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def play_one_after_another(names, site, report):
    for name in names:
        play(name, site, report.of(name))


def play(name, site, report):
    report.note(SCENARIOS[name].__doc__.splitlines()[0])
    started = time.monotonic()
    try:
        SCENARIOS[name](site, report)
    except Exception:
        # What cannot go on is one failure; the other scenarios are played all the same.
        report.broken()
    report.note(f'took {time.monotonic() - started:.0f} s')


def wait_for_interrupt(site):
    print(f'Zuul: http://{forward.serve(("127.0.0.1", 9000))}/t/{site.tenant_name}/status, until Ctrl-C', flush=True)
    # It ends with the machine.
    threading.Event().wait()


if __name__ == '__main__':
    main()
