"""A site that adopted zuul-images as README.md and docs/adopt.md print it, in a folder with its projects."""
import dataclasses
import shutil

import yaml

import adoption
import beside
from beside import OURS, THEIRS
from configuration import Configuration

CONFIG = 'example/project-config'
TOOL = 'example/tool'


class PrintedSite:
    """Change it, then ask for its configuration."""

    def __init__(self, projects):
        self.projects = projects
        pages = [dataclasses.replace(block, text=with_secret(block.text))
                 for page in ('README.md', 'docs/adopt.md') for block in adoption.blocks(page)]
        self.beside = [block for block in pages if block.heading == beside.HEADING]
        self.main = [block for block in pages if block.heading != beside.HEADING]
        self.tenant = yaml.safe_load(adoption.tenant(self.main))
        self.project = adoption.project(self.main)
        adoption.write_own_project(projects / OURS)
        beside.write_stand_in_of_zuul_jobs(projects / THEIRS)
        adoption.write_config_project(self.main, projects / CONFIG)
        # What every site has already: pipelines and a base job.
        for name in ('pipelines.yaml', 'jobs.yaml'):
            adoption.write(projects / CONFIG / 'zuul.d' / name, (adoption.SITE / 'config/zuul.d' / name).read_text())
        for name in ('pre.yaml', 'post.yaml'):
            adoption.write(projects / CONFIG / 'playbooks/base' / name, '[]\n')

    def configuration(self):
        adoption.write(self.projects / TOOL / adoption.PROJECT_FILE, self.project)
        return Configuration(yaml.safe_dump(self.tenant), self.projects)

    def untrusted(self):
        return self.tenant[0]['tenant']['source']['gerrit']['untrusted-projects']

    def take_tenant_beside_zuul_jobs(self, way):
        beside.take_tenant(self.untrusted(), self.beside, way)

    def take_test_job(self):
        """What docs/using.md prints for a project that also tests its images."""
        for block in adoption.blocks('docs/using.md'):
            if block.file != adoption.PROJECT_FILE:
                adoption.write(self.projects / TOOL / block.file, '---\n' + block.text)
            elif block.text.startswith('- job'):
                self.project += block.text
        adoption.write(self.projects / TOOL / 'playbooks/test.yaml', '[]\n')
        build_alone = 'jobs: [tool-build-image]'
        assert build_alone in self.project, self.project
        self.project = self.project.replace(build_alone, 'jobs: [example-buildset-registry, tool-build-image, tool-test-image]')

    def take_projects_of_the_scenarios(self):
        """Those of tests/zuul/site, the demo's among them."""
        adoption.write(self.projects / CONFIG / 'zuul.d/site-registry.yaml', with_secret((adoption.SITE / 'site-registry.yaml').read_text()))
        for name in ('base', 'app'):
            self.take_project(name, '.zuul.d/images.yaml', adoption.project_of_demo(self.main, name, 'registry.example.org'))
        for name in adoption.OF_SITE:
            self.take_project(name, adoption.PROJECT_FILE, (adoption.SITE / name / adoption.PROJECT_FILE).read_text())

    def take_project(self, name, file, jobs):
        project = f'example/{name}'
        shutil.copytree(adoption.SITE / name, self.projects / project)
        adoption.write(self.projects / project / file, with_secret(jobs))
        self.untrusted().append(project)

    def change(self, file, old, new):
        path = self.projects / CONFIG / file
        text = path.read_text()
        assert old in text, f'{file} does not hold {old!r}'
        path.write_text(text.replace(old, new))


def with_secret(text):
    """Dots stand for what a site encrypts."""
    return text.replace('- ...\n', '- c2VjcmV0\n')
