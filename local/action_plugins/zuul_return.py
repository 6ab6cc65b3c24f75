"""zuul_return for runs without Zuul.

What a job returns is printed and kept in the file that Zuul would read, `zuul.executor.result_data_file`. Secrets are
kept there too, which is for its owner only, and are not printed.
"""
import json
import os
import pathlib
import tempfile

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ActionModule(ActionBase):
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        unknown = set(self._task.args) - {'data', 'secret_data'}
        if unknown:
            raise AnsibleActionFail(f'without Zuul, zuul_return takes data and secret_data, not {", ".join(sorted(unknown))}')
        data = self._task.args.get('data') or {}
        secret_data = self._task.args.get('secret_data') or {}
        zuul = self._templar.template(task_vars['zuul'])
        path = pathlib.Path(zuul['executor']['result_data_file'])

        kept = json.loads(path.read_text()) if path.exists() else {'data': {}, 'secret_data': {}}
        write_private(path, {'data': merged(kept['data'], data), 'secret_data': merged(kept['secret_data'], secret_data)})
        shown = {} if self._task.no_log else data
        if shown:
            self._display.display(f'returned to Zuul: {json.dumps(shown, indent=2)}')
        for name in (data | secret_data).keys() - shown.keys():
            self._display.display(f'returned to Zuul, and not shown: {name}')
        self._display.display(f'kept in {path}')
        return result


def merged(old, new):
    """Dictionaries are merged and lists are joined, as Zuul does; what another run returned again is there once."""
    if isinstance(old, dict) and isinstance(new, dict):
        return {**old, **{key: merged(old[key], value) if key in old else value for key, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list):
        return [entry for entry in old if name_of(entry) not in map(name_of, new)] + new
    return new


def name_of(entry):
    """An artifact is known by its name and URL: its digest may be another by now."""
    return (entry['name'], entry['url']) if isinstance(entry, dict) and {'name', 'url'} <= entry.keys() else entry


def write_private(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, new = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, 'w') as file:
        json.dump(document, file, indent=2)
    os.rename(new, path)
