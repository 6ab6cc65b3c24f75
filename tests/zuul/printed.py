"""A site that adopted zuul-images as README.md and docs/adopt.md print it, in a folder with its projects."""
import dataclasses
import pathlib

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
        pages = [with_secret(block) for page in ('README.md', 'docs/adopt.md') for block in adoption.blocks(page)]
        self.beside = [block for block in pages if block.heading == beside.HEADING]
        main = [block for block in pages if block.heading != beside.HEADING]
        self.tenant = yaml.safe_load(adoption.tenant(main))
        self.project = adoption.project(main)
        adoption.write_own_project(projects / OURS)
        beside.write_stand_in_of_zuul_jobs(projects / THEIRS)
        adoption.write_config_project(main, projects / CONFIG)
        # What every site has already: pipelines and a base job.
        site = pathlib.Path(__file__).resolve().parent / 'site/config/zuul.d'
        for name in ('pipelines.yaml', 'jobs.yaml'):
            adoption.write(projects / CONFIG / 'zuul.d' / name, (site / name).read_text())
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

    def change(self, file, old, new):
        path = self.projects / CONFIG / file
        text = path.read_text()
        assert old in text, f'{file} does not hold {old!r}'
        path.write_text(text.replace(old, new))


def with_secret(block):
    """Dots stand for what a site encrypts."""
    return dataclasses.replace(block, text=block.text.replace('- ...\n', '- c2VjcmV0\n'))
