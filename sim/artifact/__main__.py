"""Prints the JSON schema of the header."""

import json

from sim.artifact import json_schema

print(json.dumps(json_schema(), indent=2))
