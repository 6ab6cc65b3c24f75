"""The scenarios, in the order in which they are played."""
from . import (credentials, dependent_pair, dequeued, gate_failure, hostile_job, ipv6,
               nearest_wins, new_patchset, paused_registry, registry_down)

SCENARIOS = {
    'dependent-pair': dependent_pair.play,
    'nearest-wins': nearest_wins.play,
    'paused-registry': paused_registry.play,
    'gate-failure': gate_failure.play,
    'new-patchset': new_patchset.play,
    'registry-down': registry_down.play,
    'credentials': credentials.play,
    'hostile-job': hostile_job.play,
    'ipv6': ipv6.play,
    'dequeued': dequeued.play,
}
# What continuous integration plays.
SMOKE = ['dependent-pair']
