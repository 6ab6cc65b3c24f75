"""The scenarios, in the order in which they are played."""
from . import credentials, dependent_pair

SCENARIOS = {
    'dependent-pair': dependent_pair.play,
    'credentials': credentials.play,
}
# What continuous integration plays.
SMOKE = ['dependent-pair']
