"""The second half of tests/zuul/play: brings Zuul up, lets the site adopt zuul-images, plays the scenarios."""
import os
import sys
import threading
import traceback

import forward
from report import Report
from scenarios import SCENARIOS, SMOKE
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
        for name in names:
            play(name, site, report)
        report.note('that was all')
    except Exception:
        traceback.print_exc()
        report.check('the site comes up', False)
    site.keep_logs()
    if report.failed:
        print(f'logs: {LOGS}')
    print(f'{report.passed} passed, {report.failed} failed', flush=True)
    if os.environ.get('KEEP'):
        wait_for_interrupt(site)
    sys.exit(report.failed > 0)


def play(name, site, report):
    report.note(f'scenario {name}: {SCENARIOS[name].__doc__.splitlines()[0]}')
    try:
        SCENARIOS[name](site, report)
    except Exception:
        # What cannot go on is one failure; the other scenarios are played all the same.
        traceback.print_exc()
        report.check(f'scenario {name} is played to its end', False)


def wait_for_interrupt(site):
    print(f'Zuul: http://{forward.serve(("127.0.0.1", 9000))}/t/{site.tenant_name}/status, until Ctrl-C', flush=True)
    # It ends with the machine.
    threading.Event().wait()


if __name__ == '__main__':
    main()
