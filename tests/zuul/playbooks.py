"""The playbooks and roles that the job graphs of a configuration name, looked for as an executor does."""
import yaml


def lost(configuration):
    """What a job names and no project has."""
    said = set()
    for job, project, path, role_projects in configuration.playbooks():
        playbook = configuration.roots[project] / path
        if not playbook.is_file():
            said.add(f'job {job}: playbook {path} is not in {project}')
            continue
        said.update(f'playbook {path} of job {job}: no role {role} in {", ".join(role_projects)}'
                    for role in roles_of(playbook) if place(configuration, role_projects, role) is None)
    return sorted(said)


def found_roles(configuration):
    """Each (playbook, role, the project that it is taken from)."""
    return {(path, role, place(configuration, role_projects, role))
            for _, project, path, role_projects in configuration.playbooks()
            for role in roles_of(configuration.roots[project] / path)}


def place(configuration, role_projects, role):
    return next((project for project in role_projects
                 if (configuration.roots[project] / 'roles' / role).is_dir()), None)


def roles_of(playbook):
    return set(named_roles(yaml.safe_load(playbook.read_text())))


def named_roles(node):
    if isinstance(node, list):
        for part in node:
            yield from named_roles(part)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == 'roles':
                yield from (role['role'] if isinstance(role, dict) else role for role in value)
            elif key.split('.')[-1] in ('include_role', 'import_role'):
                yield value['name']
            else:
                yield from named_roles(value)
