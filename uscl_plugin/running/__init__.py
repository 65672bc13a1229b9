"""Run the hosts: their tools, several processes, and the replay of a step."""
