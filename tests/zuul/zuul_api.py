"""What Zuul's web API says, and waiting for it."""
import json
import time
import urllib.error
import urllib.parse
import urllib.request


class ZuulApi:
    def __init__(self, url, tenant):
        self.url = url
        self.tenant = tenant

    def get(self, path, **query):
        return self.ask(f'/api/tenant/{self.tenant}/{path}', query)

    def ask(self, path, query=None):
        url = f'{self.url}{path}?{urllib.parse.urlencode(query or {}, doseq=True)}'
        with urllib.request.urlopen(url, timeout=60) as response:
            return json.load(response)

    def is_up(self):
        """Every service runs, and the tenant's pipelines are there."""
        components = self.ask('/api/components')
        return (all(any(one['state'] == 'running' for one in components.get(kind, []))
                    for kind in ('scheduler', 'executor', 'web', 'launcher')) and bool(self.get('pipelines')))

    def tenant_state(self):
        """Changes when the tenant has been read anew; zuul-web itself may have the old one for a moment yet."""
        return self.get('status').get('last_reconfigured'), len(self.get('jobs'))

    def builds(self, **query):
        """Builds, the newest first; those that run, too."""
        return self.get('builds', **query)

    def build(self, **query):
        """The one ended build there is; waits for it."""
        return eventually(f'a build of {query}', lambda: self.builds(complete='true', **query), seconds=600)[0]

    def items(self, pipeline):
        """What runs in a pipeline: one entry for each change, with its jobs."""
        found = next(entry for entry in self.get('status')['pipelines'] if entry['name'] == pipeline)
        return [item for queue in found['change_queues'] for head in queue['heads'] for item in head]


def eventually(what, ask, seconds=60):
    """Asks until the answer is true and returns it. Connections that are refused are no answer yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer, problem = ask(), None
        except (OSError, KeyError, StopIteration, json.JSONDecodeError) as error:
            answer, problem = None, error
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TimeoutError(f'{what} did not come within {seconds} s' + (f': {problem}' if problem else ''))
        time.sleep(1)


def comes(ask, seconds=60):
    """Whether the answer is true before that; for what a scenario asserts."""
    try:
        return eventually('it', ask, seconds)
    except TimeoutError:
        return False
