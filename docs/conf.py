"""How docs/build has Sphinx make the pages."""
import pathlib
import re

from sphinx.util import logging

project = 'zuul-images'
extensions = ['myst_parser', 'zuul_sphinx']
exclude_patterns = ['requirements.txt']
suppress_warnings = ['myst.domains']  # zuul-sphinx has no part for links of no kind

# Names that nothing has are broken links; headings are linked to as on the forge, `page.md#heading`.
nitpicky = True
myst_heading_anchors = 4

html_theme = 'furo'
html_title = 'zuul-images'
html_static_path = ['_static']
html_css_files = ['pages.css']
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False
highlight_language = 'none'

CHECKOUT = pathlib.Path(__file__).resolve().parent.parent


# What is read on the forge by itself is part of a page here.
PAGES = {'../README.md': 'index.md', '../CONTRIBUTING.md': 'contributing.md', '../zuul.d/jobs.yaml': 'jobs.rst',
         'zuul.d/jobs.yaml': 'docs/jobs.rst'}


def setup(app):
    app.connect('source-read', lambda _app, _docname, content: lead_links_to_pages(content))
    app.connect('include-read', lambda _app, _path, _docname, content: lead_links_to_pages(content))
    app.connect('env-check-consistency', find_what_no_page_describes)


def lead_links_to_pages(content):
    text = content[0]
    for file, page in PAGES.items():
        text = re.sub(rf'\]\({re.escape(file)}(?=[#)])', f']({page}', text)
    # A page that is named by its file is named by its title.
    text = re.sub(r'\[((?:docs/)?[a-z-]+\.md)\]\(\1', r'[](\1', text)
    content[0] = re.sub(r'\[([^]]+)\]\(\.\./roles/([a-z-]+)/README\.rst\)', r'{zuul:role}`\1 <\2>`', text)


def find_what_no_page_describes(_app, env):
    described = env.domaindata['zuul']['objects']
    there = [('role', path.name) for path in (CHECKOUT / 'roles').iterdir()]
    there += [('job', job['name']) for job in env.domaindata['zuul']['layout'].jobs]
    for kind, name in sorted(there):
        if f'{kind}-{name}' not in described:
            logging.getLogger(__name__).warning('no page describes the %s %s', kind, name)
