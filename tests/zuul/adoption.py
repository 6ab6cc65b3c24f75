"""How a site adopts zuul-images, as README.md and docs/adopt.md print it.

Every YAML block there is named in the paragraph before it by the file it goes into, the first word in
backticks that ends with `.yaml`; so what is tested here is what people copy.
"""
import dataclasses
import pathlib
import re
import subprocess

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]

# The file of a project; every other file but the tenant's is the config project's.
PROJECT_FILE = '.zuul.yaml'
TENANT_FILE = 'main.yaml'

SITE = CHECKOUT / 'tests/zuul/site'
# The projects that are there as they are, in a folder of the same name.
OF_SITE = sorted(path.parent.name for path in SITE.glob('*/.zuul.yaml'))


@dataclasses.dataclass
class Block:
    heading: str
    file: str
    text: str


def blocks(page):
    """The YAML blocks of a page of the documentation."""
    found, heading, paragraph, block, ended = [], '', '', None, True
    for line in (CHECKOUT / page).read_text().splitlines():
        if block is not None and line == '```':
            found.append(Block(heading, file_named_in(paragraph, page), '\n'.join(block) + '\n'))
            block = None
        elif block is not None:
            block.append(line)
        elif line == '```yaml':
            block = []
        elif line.startswith('#'):
            heading, paragraph, ended = line.lstrip('# '), '', True
        elif line:
            paragraph, ended = line if ended else f'{paragraph} {line}', False
        else:
            ended = True
    return found


def file_named_in(paragraph, page):
    name = re.search(r'`([^`\s]+\.yaml)`', paragraph)
    if name is None:
        raise SystemExit(f'{page}: no file is named before the YAML block after "{paragraph}"')
    return name[1]


def tenant(blocks_of_pages):
    """The text of the tenant's file."""
    return next(block.text for block in blocks_of_pages if block.file == TENANT_FILE)


def write_config_project(blocks_of_pages, root):
    for block in blocks_of_pages:
        if block.file not in (PROJECT_FILE, TENANT_FILE):
            write(root / block.file, '---\n' + block.text)


def project(blocks_of_pages):
    """The text of a project's own configuration."""
    return next(block.text for block in blocks_of_pages if block.file == PROJECT_FILE)


def project_of_demo(blocks_of_pages, name, registry):
    """The same for a project of the demo, that publishes in another registry."""
    text = project(blocks_of_pages)
    for printed, here in ((r'quay\.io/example/', rf'{re.escape(registry)}/demo/'), ('quay.io/example/tool', f'{registry}/demo/{name}'),
                          ('quay.io', registry), ('example+robot', 'publisher'), ('example-quay', f'{name}-registry'),
                          ('tool-', f'{name}-')):
        text = text.replace(printed, here)
    return text


def write_own_project(root):
    """This repository as Zuul sees it: what git knows."""
    files = subprocess.run(['git', '-C', CHECKOUT, 'ls-files', '-z', '--cached', '--others', '--exclude-standard'],
                           check=True, stdout=subprocess.PIPE, text=True).stdout.split('\0')
    for name in filter(None, files):
        source, target = CHECKOUT / name, root / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
