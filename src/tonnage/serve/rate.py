"""How often a client may ask: a bucket of requests that fills at a steady rate."""

from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

MOST_CLIENTS = 10_000


class Buckets:
    """One bucket a client; the clients seen last are remembered."""

    def __init__(self, rate: float, burst: int, most: int = MOST_CLIENTS) -> None:
        self.rate, self.burst, self.most = rate, burst, most
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """client -> requests left, and when that was so"""

    def wait(self, client: str, now: float) -> float:
        """Take a request; seconds until there is one, 0 where it was taken."""
        if self.rate <= 0:
            return 0.0
        left, since = self._held.pop(client, (float(self.burst), now))
        left = min(float(self.burst), left + (now - since) * self.rate)
        taken = left >= 1
        self._held[client] = (left - 1 if taken else left, now)
        if len(self._held) > self.most:
            self._held.popitem(last=False)
        return 0.0 if taken else (1 - left) / self.rate


def client_of(host: str) -> str:
    """Who counts as one client: an address, of IPv6 the network that one household has (/64)."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
    return str(address)
