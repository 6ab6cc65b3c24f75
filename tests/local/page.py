"""What docs/local.md prints.

  page.py commands FOLDER    every `sh` block as a file of its own, numbered
  page.py file NAME          the block that is called so
"""
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / 'zuul'))
import adoption  # noqa: E402

PAGE = 'docs/local.md'


def main(action, argument):
    if action == 'file':
        block, = [block for block in adoption.blocks(PAGE) if block.file == argument]
        print(block.text, end='')
    elif action == 'commands':
        text = (adoption.CHECKOUT / PAGE).read_text()
        for number, commands in enumerate(re.findall(r'^```sh\n(.*?)^```$', text, re.DOTALL | re.MULTILINE), 1):
            (pathlib.Path(argument) / f'{number:02}.sh').write_text(commands)


if __name__ == '__main__':
    main(*sys.argv[1:])
