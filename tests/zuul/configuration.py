"""What Zuul makes of a tenant's configuration, asked of Zuul's own code, with no server.

A tenant is read as a scheduler does: its file, the projects with their `include` and `shadow`, every
configuration file, the layout, and the job graph of each project in each pipeline. Left out is what only
servers know: a secret's content, branches, nodes.
"""
import concurrent.futures
import configparser
import functools
import logging
import types

import yaml
import zuul.configloader
import zuul.lib.connections
import zuul.lib.tracing
import zuul.lib.yamlutil
import zuul.model
import zuul.model_api
from zuul.lib.ansible import AnsibleManager
from zuul.zk.components import COMPONENT_REGISTRY
from zuul.zk.zkobject import LocalZKContext

BRANCH = 'main'
CONNECTIONS = {'gerrit': {'driver': 'gerrit', 'server': 'review.example.org', 'user': 'zuul'},
               'static': {'driver': 'static'}}


class Configuration:
    """A tenant, read from its file's text and a folder that has each project under its name."""

    def __init__(self, tenant_text, projects):
        self.errors, self.warnings = [], []
        registry = connections()
        parser = zuul.configloader.TenantParser(registry, None, None, None, Keys(), zuul.model.SystemAttributes(), None, None)
        self.tenant = read_tenant(parser, registry, yaml.safe_load(tenant_text)[0]['tenant'])
        self.roots = {project.project.canonical_name: projects / project.project.name
                      for project in self.tenant.project_configs.values()}
        context = zuul.configloader.ParseContext(
            registry, zuul.model.SystemAttributes(), types.SimpleNamespace(system_id='check'), AnsibleManager())
        parsed = zuul.model.ParsedConfig()
        for project in self.tenant.project_configs.values():
            self.read_project(parser, context, parsed, project)
        self.layout = self.tenant.layout = parser._parseLayout(self.tenant, parsed, context)
        for problem in self.layout.loading_errors.errors:
            known = self.warnings if getattr(problem, 'severity', 'error') == 'warning' else self.errors
            if str(problem.error) not in known:
                known.append(str(problem.error))
        self.graphs = {} if self.errors else dict(self.freeze())

    def read_project(self, parser, context, parsed, project):
        root = self.roots[project.project.canonical_name]
        for path in configuration_files(root):
            source = zuul.model.SourceContext(
                project.project.canonical_name, project.project.name, project.project.connection_name, BRANCH, None)
            source.path = str(path.relative_to(root))
            with context.errorContext(source_context=source):
                found = parser.loadProjectYAML(path.read_text(), source, context)
            parser.addProjectBranchConfig(context, parsed, self.tenant, project, found, project.trusted)

    def freeze(self):
        """The jobs of each (project, pipeline), in the order in which they would run."""
        for name in self.layout.project_configs:
            _, project = self.tenant.getProject(name)
            for pipeline, manager in self.layout.pipeline_managers.items():
                if not any(pipeline in config.pipelines for config in self.layout.getAllProjectConfigs(name)):
                    continue
                try:
                    yield (project.name, pipeline), frozen_jobs(project, manager, self.layout)
                except Exception as problem:  # Zuul raises a dozen kinds; each is an error to a site
                    self.errors.append(f'{project.name}, pipeline {pipeline}: {problem}')

    def playbooks(self):
        """Each (job, project, path, projects whose roles it finds, the first of them first) of the job graphs."""
        for job in (job for jobs in self.graphs.values() for job in jobs):
            for playbook in (*job.pre_run, *job.run, *job.post_run):
                roles = [role['project_canonical_name'] for role in playbook['roles']]
                yield job.name, self.tenant.getProject(playbook['project'])[1].canonical_name, playbook['path'], roles

    def owner(self, job):
        """The project that defines a job."""
        return self.layout.jobs[job][0].source_context.project_name


class Keys:
    """Projects' keys, which only a server has."""

    @staticmethod
    def getProjectSecretsKeys(*_):
        return None, None

    getProjectSSHKeys = getProjectSecretsKeys


@functools.cache
def connections():
    COMPONENT_REGISTRY.registry = types.SimpleNamespace(model_api=zuul.model_api.MODEL_API)
    # Without the key only the shape of a secret can be looked at.
    zuul.lib.yamlutil.EncryptedPKCS1_OAEP.decrypt = lambda self, key: 'not decrypted'
    config = configparser.ConfigParser()
    config.read_dict({f'connection {name}': options for name, options in CONNECTIONS.items()})
    zuul.lib.tracing.Tracing(config)
    registry = zuul.lib.connections.ConnectionRegistry()
    registry.configure(config, sources=True, triggers=True, reporters=True, providers=True)
    source = registry.getSource('gerrit')
    source.getProjectDefaultBranch = lambda *_: BRANCH
    source.getProjectDefaultMergeMode = lambda *_, **__: 'merge-resolve'
    source.getProjectBranches = lambda *_: [BRANCH]
    return registry


def read_tenant(parser, registry, conf):
    parser.getSchema()(conf)
    tenant = zuul.model.Tenant(conf['name'])
    tenant.default_base_job = conf.get('default-parent', 'base')
    tenant.default_ansible_version = AnsibleManager().default_version
    tenant.use_nodepool = True
    for attribute in ('web_root', 'allowed_triggers', 'allowed_reporters', 'allowed_labels', 'disallowed_labels'):
        setattr(tenant, attribute, conf.get(attribute.replace('_', '-')))
    tenant.unparsed_config = conf
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as executor:
        trusted, untrusted = parser.loadTenantProjects(conf, executor)
    for project in trusted + untrusted:
        project.branches = [BRANCH]
        tenant.addTPC(project)
    for project in trusted + untrusted:
        parser._resolveShadowProjects(tenant, project)
    return tenant


def configuration_files(root):
    """Zuul reads the first of these that is there."""
    for name in ('zuul.yaml', 'zuul.d', '.zuul.yaml', '.zuul.d'):
        if (root / name).is_file():
            return [root / name]
        if (root / name).is_dir():
            return sorted((root / name).rglob('*.yaml'))
    return []


def frozen_jobs(project, manager, layout):
    change = zuul.model.Branch(project)
    change.branch = BRANCH
    change.cache_stat = types.SimpleNamespace(key=types.SimpleNamespace(reference='ref', _hash='hash'))
    with LocalZKContext(logging.getLogger('freeze')) as context:
        queue = zuul.model.ChangeQueue.new(context, manager=manager)
        item = zuul.model.QueueItem.new(context, queue=queue, changes=[change])
        item.freezeJobGraph(layout, context, None, skip_file_matcher=True, redact_secrets_and_keys=True)
        return list(item.current_build_set.job_graph.getJobs())
