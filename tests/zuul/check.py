"""Does a real Zuul take what we publish? Zuul's own code reads our zuul.d and a site's adoption as README.md and
docs/adopt.md print it, alone and beside zuul-jobs; it freezes the job graph of every project in every pipeline;
then every playbook and every role is looked for. Seconds, no servers. tests/zuul/check runs it with Zuul's Python.
"""
import pathlib
import sys
import tempfile
import time

import yaml

import playbooks
from beside import JOBS, OURS, ROLES, THEIRS
from printed import PrintedSite


def a_missing_playbook_is_found(site):
    (site.projects / OURS / 'playbooks/container-image/mirror.yaml').unlink()
    site.project = all_our_jobs()
    return refused(site, 'playbook playbooks/container-image/mirror.yaml is not in')


def a_missing_role_is_found(site):
    site.change('zuul.d/container-images.yaml', '    roles:\n      - zuul: zuul/zuul-images\n', '')
    return refused(site, 'no role build-container-image in')


def credentials_of_an_untrusted_project_are_refused_in_check(site):
    site.project = site.project.replace('jobs: [tool-build-image]', 'jobs: [tool-upload-image]')
    return refused(site, 'does not allow post-review job')


def jobs_of_ours_do_not_shadow_those_of_zuul_jobs_unasked(site):
    site.untrusted().append(THEIRS)
    return refused(site, 'not permitted to shadow')


def the_adoption_as_printed_is_accepted(site):
    return accepted(site) or nodes_of_promote(site)


def our_own_project_is_accepted(site):
    site.untrusted()[0] = OURS
    return accepted(site)


def every_job_of_ours_is_accepted_in_every_pipeline(site):
    site.project = all_our_jobs()
    return accepted(site)


def a_job_that_tests_images_is_accepted_as_printed(site):
    site.take_test_job()
    return accepted(site) or ([] if 'tool-test-image' in jobs_of(site, 'check') else ['the job is not in check'])


def the_projects_of_the_demo_and_the_scenarios_are_accepted(site):
    site.take_projects_of_the_scenarios()
    graphs = site.configuration().graphs
    return accepted(site) + [f'no job graph of {project}' for project in site.untrusted()[1:]
                             if not any(found == project for found, _ in graphs)]


def beside_zuul_jobs_our_jobs_take_the_place_of_theirs(site):
    site.take_tenant_beside_zuul_jobs(0)
    site.project += all_our_jobs()
    return accepted(site) + jobs_are_of(site, OURS) + roles_are_ours(site)


def beside_zuul_jobs_the_jobs_of_the_site_take_our_roles(site):
    site.take_tenant_beside_zuul_jobs(1)
    return accepted(site) + jobs_are_of(site, THEIRS) + roles_are_ours(site)


CHECKS = [
    a_missing_playbook_is_found,
    a_missing_role_is_found,
    credentials_of_an_untrusted_project_are_refused_in_check,
    jobs_of_ours_do_not_shadow_those_of_zuul_jobs_unasked,
    the_adoption_as_printed_is_accepted,
    our_own_project_is_accepted,
    every_job_of_ours_is_accepted_in_every_pipeline,
    a_job_that_tests_images_is_accepted_as_printed,
    the_projects_of_the_demo_and_the_scenarios_are_accepted,
    beside_zuul_jobs_our_jobs_take_the_place_of_theirs,
    beside_zuul_jobs_the_jobs_of_the_site_take_our_roles,
]


def main():
    failed = 0
    for check in CHECKS:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix='zuul-images-') as folder:
            problems = check(PrintedSite(pathlib.Path(folder)))
        print(f'{"FAIL" if problems else "ok  "}  {check.__name__.replace("_", " ")}, {time.monotonic() - started:.1f} s')
        for problem in problems:
            print('      ' + problem.replace('\n', '\n      '))
        failed += bool(problems)
    print(f'{len(CHECKS) - failed} passed, {failed} failed')
    return failed > 0


def all_our_jobs():
    """The configuration of a project that has them in every pipeline."""
    jobs = {'jobs': JOBS}
    return yaml.safe_dump([{'project': {pipeline: jobs for pipeline in ('check', 'gate', 'promote', 'tag', 'periodic')}}])


def accepted(site):
    found = site.configuration()
    return problems_of(found) + ([] if found.graphs else ['no job graph was frozen'])


def refused(site, message):
    said = problems_of(site.configuration())
    return [] if any(message in problem for problem in said) else [f'no error says "{message}", but {said}']


def problems_of(found):
    return found.errors + found.warnings + playbooks.lost(found)


def jobs_of(site, pipeline):
    return [job.name for job in site.configuration().graphs['example/tool', pipeline]]


def nodes_of_promote(site):
    job, = site.configuration().graphs['example/tool', 'promote']
    return ['promotion takes a node'] if job.nodeset.nodes else []


def jobs_are_of(site, project):
    found = site.configuration()
    return [f'{job} is defined by {found.owner(job)}' for job in JOBS if found.owner(job) != project]


def roles_are_ours(site):
    taken = playbooks.found_roles(site.configuration())
    return ([f'{path} takes {role} from {place}' for path, role, place in taken if role in ROLES and not place.endswith(OURS)]
            + [f'no playbook takes {role}' for role in ('build-container-image', 'promote-container-image')
               if role not in [taken_role for _, taken_role, _ in taken]])


if __name__ == '__main__':
    sys.exit(main())
