"""Networks that recipes train: architectures, heads, starting weights, what is frozen, and what they cost."""

from trainer.models.architectures import ARCHITECTURES, Architecture, find_architecture
from trainer.models.network import Network, NetworkOutput, Outputs, build_network

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Network",
    "NetworkOutput",
    "Outputs",
    "build_network",
    "find_architecture",
]
