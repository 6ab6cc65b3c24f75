"""The scenarios."""
from . import (beside_zuul_jobs, credentials, cycle, dependent_pair, dequeued, gate_failure, gate_reset, hostile_job, ipv6,
               labels, nearest_wins, new_patchset, passwords, paused_registry, promote_order, registry_down, retried_registry,
               still_running, without_change)

# Lanes are played at the same time. The scenarios of one lane share projects, and are played one after the other.
LANES = [
    {
        # It sees the registries before anything is published.
        'dependent-pair': dependent_pair.play,
        'gate-failure': gate_failure.play,
        'gate-reset': gate_reset.play,
        'new-patchset': new_patchset.play,
        'registry-down': registry_down.play,
        'without-change': without_change.play,
        'nearest-wins': nearest_wins.play,
    },
    {
        'promote-order': promote_order.play,
        'cycle': cycle.play,
        'labels': labels.play,
        'still-running': still_running.play,
        'ipv6': ipv6.play,
        'hostile-job': hostile_job.play,
    },
    {
        'dequeued': dequeued.play,
        'paused-registry': paused_registry.play,
        'retried-registry': retried_registry.play,
        'credentials': credentials.play,
    },
]
# These are played after all others, one after the other: the first looks through everything that those left, the
# second changes the jobs of all projects.
LAST = {
    'passwords': passwords.play,
    'beside-zuul-jobs': beside_zuul_jobs.play,
}
SCENARIOS = {name: play for scenarios in (*LANES, LAST) for name, play in scenarios.items()}
# The shortest proof.
SMOKE = ['dependent-pair']
