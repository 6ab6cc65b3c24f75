"""Items without a change: a tag, and what a timer starts."""
import subprocess
import tempfile

from images import PLATFORMS

from .common import BASE, artifact, ensure_published, uploaded_digest


def play(site, report):
    """a tag uploads under its own name, a periodic run uploads and promotes under its pipeline's"""
    ensure_published(site)
    tags = site.images.tags(BASE)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(['git', 'clone', '--quiet', site.review.clone_url('example/base'), folder], check=True)
        subprocess.run(['git', '-C', folder, 'push', '--quiet', 'origin', 'HEAD:refs/tags/1.0'], check=True)
    release = site.zuul.build(pipeline='tag', project='example/base', job_name='base-release-image')
    report.equal('the release succeeds', release['result'], 'SUCCESS')
    report.equal('the tag has the digest of the upload', site.images.digest(f'{BASE}:1.0'), uploaded_digest(release))
    report.equal('no other tag was written', site.images.tags(BASE), sorted(['1.0', *tags]))
    report.equal('it has both platforms', site.images.platforms(f'{BASE}:1.0'), PLATFORMS)

    before = site.images.digest(f'{BASE}:latest')
    site.operate('enqueue-ref', 'periodic', 'example/base', '--ref', 'refs/heads/main')
    upload = site.zuul.build(pipeline='periodic', project='example/base', job_name='base-upload-image')
    promote = site.zuul.build(pipeline='periodic', project='example/base', job_name='base-promote-image')
    report.equal('the periodic promotion succeeds', promote['result'], 'SUCCESS')
    report.equal('it waited under the name of its pipeline',
                 artifact(upload, 'container_image_upload')['metadata']['temporary_tag'], 'periodic_latest')
    report.check('it uploaded another image', uploaded_digest(upload) != before, before)
    report.equal('what was uploaded is published', site.images.digest(f'{BASE}:latest'), uploaded_digest(upload))
    report.equal('no temporary tag is left', [tag for tag in site.images.tags(BASE) if tag.startswith('periodic')], [])
