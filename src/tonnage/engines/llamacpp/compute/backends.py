"""What CUDA and the CPU backend can run, where, and how large a tensor gets on them.

Source: ggml/src/ggml-cuda (ggml-cuda.cu, fattn.cu), build 11434, compute capability 8.0 and newer.
"""

from tonnage.engines.llamacpp.buffers import row_padding
from tonnage.engines.llamacpp.compute.graph import PRECISE, Node
from tonnage.quant.types import TYPES
from tonnage.units import pad

OP_OFFLOAD_BATCH = 32
"""GGML_OP_OFFLOAD_MIN_BATCH: smaller batches leave an operation where its weight is"""

FLASH_HEADS = {40: 40, 64: 64, 72: 72, 80: 80, 96: 96, 112: 112, 128: 128, 192: 128, 256: 256, 320: 256, 512: 512, 576: 512}
"""head sizes of K that CUDA's flash attention takes, and the head size of V that belongs to each"""

FLASH_GROUPED = {192: 8, 320: 32, 512: 1, 576: 1}
"""head sizes that need grouped queries, and what the group must be a multiple of"""

FLASH_TYPES = frozenset({"f32", "f16", "bf16", "q4_0", "q8_0", "q4_1", "q5_0", "q5_1"})

UNBLOCKED = frozenset(name for name, block in TYPES.items() if block.elements == 1)
"""types whose rows are never padded"""

_KQ_STRIDE = 256


def cuda_size(node: Node) -> int:
    """Bytes on a GPU: padded rows of quantised tensors, and flash attention's F16 copies of K and V."""
    if node.op == "FLASH_ATTN_EXT":
        return _flash_size(node)
    return node.nbytes if node.type in UNBLOCKED else node.nbytes + row_padding(node.type, node.ne[0])


def cpu_size(node: Node) -> int:
    """Bytes in host memory."""
    return node.nbytes


def _flash_size(node: Node) -> int:
    _, k, v = node.sources[:3]
    end = node.nbytes
    if not flash_supported(node):
        return end
    v_is_k = v.view_of is not None and (v.view_of is k or (v.view_of is k.view_of and v.view_offset == k.view_offset))
    if k.type != "f16":
        end = pad(end, 128) + 2 * _elements(k)
    if v.type != "f16" and not v_is_k:
        end = pad(end, 128) + 2 * _elements(v)
    return end


def _elements(node: Node) -> int:
    return node.ne[0] * node.ne[1] * node.ne[2] * node.ne[3]


def flash_supported(node: Node) -> bool:
    """Whether CUDA has a flash attention kernel for these heads (ggml_cuda_get_best_fattn_kernel)."""
    q, k, v = node.sources[:3]
    mask = node.sources[3] if len(node.sources) > 3 and not node.sources[3].weight else None
    if FLASH_HEADS.get(k.ne[0]) != v.ne[0] or k.type not in FLASH_TYPES or v.type not in FLASH_TYPES:
        return False
    multiple = FLASH_GROUPED.get(k.ne[0])
    group = q.ne[2] // k.ne[2]
    return multiple is None or (_grouped(node, group, mask) and group % multiple == 0)


def _grouped(node: Node, group: int, mask: Node | None) -> bool:
    """Whether queries of a group share their keys: masks, padded caches, and strides of 16 bytes."""
    if group < 2 or mask is None or node.sources[1].ne[1] % _KQ_STRIDE:
        return False
    plain = (t for t in (*node.sources[:3], mask) if TYPES[t.type].elements == 1)
    return all(stride % 16 == 0 for t in plain for stride in t.nb[1:])


def offloads(node: Node) -> bool:
    """Whether a GPU wants an operation whose weight lies in host memory."""
    if node.op == "GET_ROWS":
        return False
    if node.op == "MUL_MAT":
        batch = node.ne[1]
    elif node.op in ("MUL_MAT_ID", "ROPE", "ROPE_BACK"):
        batch = node.ne[2]
    else:
        batch = node.ne[1] * node.ne[2] * node.ne[3]
    return batch >= OP_OFFLOAD_BATCH


def gpu_supports(node: Node, gpu: int) -> bool:
    """Whether this GPU can run the operation: no source on another GPU, and a kernel for it."""
    for source in node.sources:
        home = source.home
        if home is not None and home != gpu and home >= 0:
            return False
    kernel = _KERNELS.get(node.op)
    return kernel is None or kernel(node)


def _scan_supported(node: Node) -> bool:
    """Selective scans: CUDA knows few sizes of states and heads."""
    s, a, b = node.sources[0], node.sources[3], node.sources[4]
    d_state, head_dim, heads = s.ne[:3]
    if a.ne[0] == 1:
        return d_state in (96, 128, 256) and head_dim % 16 == 0
    return d_state == 16 and head_dim == 1 and heads % 128 == 0 and b.ne[1] == 1


def _conv_supported(node: Node) -> bool:
    return node.sources[0].ne[1] % 128 == 0


def _indexer_supported(node: Node) -> bool:
    """The lightning indexer: heads of 128 elements, in the numbers that models have (ggml_cuda_lightning_indexer_supported)."""
    q, k = node.sources[:2]
    aligned = all(stride % 16 == 0 for t in (q, k) if TYPES[t.type].elements == 1 for stride in t.nb[1:])
    return q.ne[0] == 128 and q.ne[1] in (4, 32, 64) and k.type in FLASH_TYPES and aligned


def _product_supported(node: Node) -> bool:
    return node.param != PRECISE


_KERNELS = {
    "LIGHTNING_INDEXER": _indexer_supported,
    "FLASH_ATTN_EXT": flash_supported,
    "MUL_MAT_ID": _product_supported,
    "SSM_SCAN": _scan_supported,
    "SSM_CONV": _conv_supported,
}
"""operations that CUDA runs for some shapes only (ggml_backend_cuda_device_supports_op)"""
