"""Another project of the tenant that has jobs and roles of the same names: a stand-in of zuul-jobs."""
import yaml

import adoption

OURS = 'zuul/zuul-images'
THEIRS = 'zuul/zuul-jobs'
HEADING = 'Beside zuul-jobs'

JOBS = [entry['job']['name'] for entry in yaml.safe_load((adoption.CHECKOUT / 'zuul.d/jobs.yaml').read_text())]
ROLES = sorted(path.name for path in (adoption.CHECKOUT / 'roles').iterdir())


def write_stand_in_of_zuul_jobs(root):
    """Its roles only say whose they are."""
    jobs = [{'job': {'name': name, 'run': 'playbooks/run.yaml', 'nodeset': {'nodes': []}}} for name in JOBS]
    adoption.write(root / 'zuul.d/jobs.yaml', yaml.safe_dump(jobs))
    adoption.write(root / 'playbooks/run.yaml', yaml.safe_dump([{'hosts': 'localhost', 'gather_facts': False, 'roles': ROLES}]))
    for role in ROLES:
        adoption.write(root / 'roles' / role / 'tasks/main.yaml', yaml.safe_dump([{'debug': {'msg': f'{role} of {THEIRS}'}}]))


def take_tenant(untrusted, blocks, way):
    """One of the ways that docs/adopt.md prints, in a tenant's list of untrusted projects: ours first and
    shadowed, or roles only."""
    assert untrusted[0] == {OURS: {'include': ['job']}}, untrusted
    untrusted[:1] = yaml.safe_load(blocks[way].text)
