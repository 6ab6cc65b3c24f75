"""The scenarios, in the order in which they are played."""
from . import (beside_zuul_jobs, credentials, cycle, dependent_pair, dequeued, gate_failure, gate_reset, hostile_job, ipv6,
               labels, nearest_wins, new_patchset, paused_registry, promote_order, registry_down, retried_registry,
               without_change)

SCENARIOS = {
    'dependent-pair': dependent_pair.play,
    'nearest-wins': nearest_wins.play,
    'labels': labels.play,
    'paused-registry': paused_registry.play,
    'retried-registry': retried_registry.play,
    'dequeued': dequeued.play,
    'gate-failure': gate_failure.play,
    'gate-reset': gate_reset.play,
    'new-patchset': new_patchset.play,
    'promote-order': promote_order.play,
    'cycle': cycle.play,
    'registry-down': registry_down.play,
    'without-change': without_change.play,
    'credentials': credentials.play,
    'hostile-job': hostile_job.play,
    'ipv6': ipv6.play,
    'beside-zuul-jobs': beside_zuul_jobs.play,
}
# The shortest proof.
SMOKE = ['dependent-pair']
