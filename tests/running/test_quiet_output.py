"""What a process prints goes to a file, whoever prints it."""

import subprocess
import sys

SCRIPT = """
import os, subprocess, sys
from pathlib import Path
from uscl_plugin.running.quiet_output import output_to
print('before')
with output_to(Path(sys.argv[1])) as shown:
    print('python'); print('error', file=sys.stderr); os.write(1, b'descriptor\\n')
    subprocess.run([sys.executable, '-c', 'print("child")'])
    print('shown', file=shown)
print('after')
"""


def test_all_kinds_of_output_go_to_the_file(tmp_path):
    code = SCRIPT.replace('from uscl_plugin.running.quiet_output', 'from quiet_output')
    import uscl_plugin.running.quiet_output as module

    folder = str(__import__('pathlib').Path(module.__file__).parent)  # without importing the hosts
    done = subprocess.run(
        [sys.executable, '-c', f'import sys; sys.path.insert(0, {folder!r})\n{code}', tmp_path / 'log' / 'a.log'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == 'before\nshown\nafter\n' and done.stderr == ''
    assert sorted((tmp_path / 'log' / 'a.log').read_text().split()) == ['child', 'descriptor', 'error', 'python']
