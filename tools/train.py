"""Run the training tool of the host (MMPretrain, MMDetection) that the config is for, with its own arguments."""

import sys

from uscl_plugin.running.host_tools import run_host_tool

if __name__ == '__main__':
    sys.exit(run_host_tool('train', sys.argv[1:]))
