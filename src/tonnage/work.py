"""What an engine does for a token, device by device: what speed is made of. Bytes are integers, devices numbers (host: -1)."""

from typing import NamedTuple

HOST = -1


class Place(NamedTuple):
    """What one token does on one device."""

    device: int
    dense: int
    """bytes of weights that every token passes"""
    experts: int
    """bytes of routed experts, as many as one token is sent to"""
    cache: int
    """bytes of keys and values of the tokens before it"""
    state: int
    """bytes of recurrent state"""
    layers: int
    """blocks that are computed there"""
    parameters: int
    """weights that one token runs through"""
    stored: int
    """bytes of all weights that lie there and are read by some token"""
    ranks: int = 1
    """devices from this one on that do the same at the same time, each on its own part"""

    @property
    def bytes(self) -> int:
        """All that one token reads there, on one rank."""
        return self.dense + self.experts + self.cache + self.state


class Attention(NamedTuple):
    """Layers of attention: multiplications per token that is seen."""

    width: float
    """heads times the mean length of keys and values, summed over layers"""
    window: int
    """tokens that are seen at most; 0 for all"""

    def products(self, seen: float) -> float:
        """Width times the tokens that are seen, of so many."""
        return self.width * (min(seen, self.window) if self.window else seen)


class Draft(NamedTuple):
    """Speculative decoding: what guesses tokens ahead, the model's own head or a smaller model."""

    tokens: int
    """drafted ahead in a round"""
    bytes: int
    """that one drafted token reads on one rank, the output included; 0 where text alone is looked up"""
    layers: int
    device: int
    guesses: bool = False
    """tokens are looked up in the text before: how many are accepted hangs on the text"""


class Work(NamedTuple):
    """What one token asks of the devices, with `depth` tokens in the cache."""

    places: tuple[Place, ...]
    depth: int
    expert_share: float
    """experts that a token is sent to, of all; 1 without experts"""
    attention: tuple[Attention, ...]
    is_f16: bool
    """most weights are stored in 16 bits"""
    ubatch: int
    """tokens of a prompt that are computed together"""
    file_bytes: int
    mapped: bool
    """weights in host memory are pages of the file"""
    offloads: bool
    """prompts are computed on a GPU with weights that lie in host memory"""
    draft: Draft | None = None
    engine: str = ""
    """whose constants hold; empty for llama.cpp, whose go by device and backend"""
    users: int = 1
    """requests that are answered at a time"""
    replicas: int = 1
    """copies of the model among which they are shared out"""

    @property
    def sequences(self) -> int:
        """Requests of the replica that has the most."""
        return -(-self.users // self.replicas)

    @property
    def has_experts(self) -> bool:
        """Whether tokens are sent to some of several experts."""
        return self.expert_share < 1

    @property
    def bytes(self) -> int:
        """All that one token reads."""
        return sum(place.bytes * place.ranks for place in self.places)
