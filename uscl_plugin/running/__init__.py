"""Run the hosts: their tools, several processes, a step once more."""
