"""What scenarios share: the images of the site's projects, what builds returned, and what jobs wait for."""
import contextlib
import socket

BASE = 'registry.example.org/demo/base'
APP = 'distribution.example.org/demo/app'
SEVERAL = 'registry.example.org/demo/several'


def artifact(build, kind='container_image'):
    """The one artifact of this kind that a build returned."""
    found = [entry for entry in build['artifacts'] if entry.get('metadata', {}).get('type') == kind]
    if len(found) != 1:
        raise LookupError(f'{len(found)} artifacts of type {kind} of {build["job_name"]}: {build["artifacts"]}')
    return found[0]


def built(build):
    """The image of a build, in the intermediate registry."""
    return artifact(build)['url'].removeprefix('docker://')


def uploaded_digest(build):
    return artifact(build, 'container_image_upload')['metadata']['digest']


def ensure_published(site):
    """Where a scenario is played alone, the images that it starts from are not there yet."""
    if site.images.digest(f'{APP}:latest') is not None:
        return
    base = site.review.propose('example/base', 'Publish', {'base-change': 'published\n'})
    app = site.review.propose('example/app', 'Publish', {'greeting': 'published\n'}, depends_on=base)
    for change in (base, app):
        change.approve()
    for change in (base, app):
        if not change.await_merge():
            raise RuntimeError(change.messages()[-1])
        site.zuul.build(pipeline='promote', change=change.number)


def in_pipeline(site, pipeline, *changes):
    """The items of these changes."""
    numbers = {str(change.number) for change in changes}
    return [item for item in site.zuul.items(pipeline) if {ref['id'].split(',')[0] for ref in item['refs']} & numbers]


@contextlib.contextmanager
def answering(port):
    """Lets go on what waits at this port, in jobs of tests/zuul/site."""
    with socket.create_server(('127.0.0.1', port)):
        yield
