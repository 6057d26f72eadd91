"""A graph under construction: its weights, inputs and caches, and the blocks that models share.

Source: src/llama-graph.cpp, src/llama-kv-cache.cpp of build 11434. A family's graph is a function of a
`Net` (families/), to be read beside the engine's own src/models/*.cpp.
"""

from collections.abc import Mapping
from typing import NamedTuple

from tonnage.engines.llamacpp.cache import widest_v, window_cells
from tonnage.engines.llamacpp.compute import ops
from tonnage.engines.llamacpp.compute.graph import INPUT, OUTPUT, Graph, Node
from tonnage.engines.llamacpp.placement import HOST, Placement
from tonnage.engines.llamacpp.settings import Settings
from tonnage.engines.llamacpp.weights import ROTATION_TENSORS, homes
from tonnage.model.hparams import Hparams
from tonnage.model.types import Model, Tensor

NO_MIXED_BATCH = frozenset({"cogvlm", "deepseek4", "granite-switch", "eagle3", "dflash", "gemma4-assistant"})
"""architectures whose batches hold either tokens or embeddings (llm_arch_supports_mixed_batch)"""

MULTIMODAL_ROPE = frozenset({"qwen2vl", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "qwen4exp"})
"""architectures that rotate by four positions a token, whatever their metadata say (llama_model_rope_type)"""


class Batch(NamedTuple):
    """The batch that a graph is built for."""

    n_seqs: int
    n_tokens: int
    n_outputs: int


class Net:
    """Everything that a family's graph is built from. Names of the engine: n_tokens, n_embd, n_head, il."""

    def __init__(
        self,
        model: Model,
        tensors: tuple[Tensor, ...],
        settings: Settings,
        placement: Placement,
        blocks: tuple[int, ...] | None = None,
        batch: Batch | None = None,
        given_up: frozenset[str] = frozenset(),
    ) -> None:
        self.model = model
        self.arch = model.architecture
        self.hp = Hparams(model.hparams)
        self.settings = settings
        self.placement = placement
        self.n_layer = len(model.layers) - model.n_nextn
        self.n_embd = model.n_embd
        self.n_tensors = len(tensors)
        batch = batch or Batch(settings.slots, settings.tokens, min(settings.outputs, settings.tokens))
        self.n_seqs, self.n_tokens, self.n_outputs = batch
        self.given_up = given_up
        self.flash = settings.flash_attn
        self.v_transposed = settings.v_transposed
        self.leafs: list[Node] = []
        self.nodes: list[Node] = []
        self.pinned: dict[Node, int] = {}
        self._seen: set[Node] = set()
        self._caches: dict[tuple[int, str], Node] = {}
        self._heads = self.hp.per_layer("attention.head_count", 0)
        self._kv_heads = self.hp.per_layer("attention.head_count_kv", self._heads[0])
        self.blocks = tuple(range(self.n_layer)) if blocks is None else blocks
        self._weights = _weight_nodes(model, tensors, placement, frozenset(self.blocks))
        self.is_swa = tuple(any(getattr(mixer, "window", 0) for mixer in layer.mixers) for layer in model.layers)
        """whether each block looks at a window"""
        self.full_offload = placement.devices > 0 and all(device != HOST for device in placement.layers)

    # --- what is there ----------------------------------------------------------------------------

    def weight(self, name: str) -> Node | None:
        """The tensor called `name`; None where the model has none."""
        return self._weights.get(name)

    def w(self, il: int, name: str) -> Node | None:
        """`blk.IL.NAME.weight`; None where the block has none."""
        return self._weights.get(f"blk.{il}.{name}.weight")

    def b(self, il: int, name: str) -> Node | None:
        """`blk.IL.NAME.bias`; None where the block has none."""
        return self._weights.get(f"blk.{il}.{name}.bias")

    def s(self, il: int, name: str) -> Node | None:
        """`blk.IL.NAME.scale`, the factor of a quantised weight; None where the block has none."""
        return self._weights.get(f"blk.{il}.{name}.scale")

    def need(self, il: int, name: str) -> Node:
        """`blk.IL.NAME.weight`, which the family cannot be without; KeyError names it."""
        return self._weights[f"blk.{il}.{name}.weight"]

    def rotation(self, il: int, name: str = "rope_freqs") -> Node | None:
        """Factors of the rotation, on the block's own device; None where the model has none."""
        return self._weights.get(_on(f"{name}.weight", self.placement.layers[il]))

    def n_head(self, il: int) -> int:
        """Query heads of a block."""
        return int(self._heads[il])

    def n_head_kv(self, il: int) -> int:
        """Key heads of a block."""
        return int(self._kv_heads[il])

    def input(self, name: str, type_: str, *ne: int) -> Node:
        """A tensor that is filled from outside before each batch."""
        node = ops.new("NONE", type_, ops.shape(*ne), name=name)
        node.flags |= INPUT
        return node

    def fuses(self, op: str) -> bool:
        """Whether one operation does the work: llama.cpp takes its single steps where it would leave a layer's device."""
        return op not in self.given_up

    # --- the list of operations ---------------------------------------------------------------------

    def expand(self, node: Node) -> Node:
        """Add the node and all that it needs, sources first (ggml_build_forward_expand)."""
        if node not in self._seen:
            self._visit(node)
        return node

    def _visit(self, node: Node) -> None:
        seen = self._seen
        seen.add(node)
        for source in node.sources:
            if source not in seen:
                self._visit(source)
        (self.leafs if node.op == "NONE" else self.nodes).append(node)

    def pin(self, node: Node, il: int) -> Node:
        """Keep a layer's norm on the layer's device (llama_context::graph_get_cb)."""
        if self.full_offload or self.n_tokens < 32:
            device = self.placement.layers[il]
            self.pinned[node] = self.placement.devices if device == HOST else device
        return node

    def graph(self, result: Node) -> Graph:
        """The whole graph, `result` its output."""
        result.flags |= OUTPUT
        self.expand(result)
        return Graph(self.leafs, self.nodes, self.pinned)

    # --- inputs and output -----------------------------------------------------------------------------

    def inp_embd(self, *, scaled: bool = False, width: int | None = None) -> Node:
        """Token embeddings; embeddings from outside and mixed batches are reserved beside them.

        `scaled` multiplies token rows by an input (Gemma); `width` pads rows (deepstack).
        """
        d, n = width or self.n_embd, self.n_tokens
        table = self._weights["token_embd.weight"]

        def rows(ids: Node) -> Node:
            found = ops.get_rows(table, ids)
            return ops.pad(found, d - self.n_embd) if d != self.n_embd else found

        cur = rows(self.input("inp_tokens", "i32", n))
        branches = [cur, self.input("inp_embd", "f32", d, n)]
        if self.arch not in NO_MIXED_BATCH:
            ids, slots = self.input("inp_mixed_tokens", "i32", n), self.input("inp_mixed_slots", "i64", n)
            copied = ops.dup(self.input("inp_mixed_embd", "f32", d, n))
            branches.append(ops.set_rows(copied, rows(ids), slots))
        for branch in branches:
            self.expand(branch)
        if d != self.n_embd:
            cur = ops.view_2d(cur, self.n_embd, n, cur.nb[1])
        if scaled:
            if d != self.n_embd:
                cur = ops.cont(cur)
            cur = ops.mul(cur, self.input("inp_scale_rows", "f32", 1, n))
        return self.expand(cur)

    def inp_pos(self) -> Node:
        """Positions: four a token with multimodal rotation, else one."""
        per_token = 4 if self.arch in MULTIMODAL_ROPE or "rope.dimension_sections" in self.hp else 1
        return self.input("inp_pos", "i32", self.n_tokens * per_token)

    def inp_out_ids(self) -> Node:
        """Numbers of the tokens whose logits are wanted."""
        return self.input("out_ids", "i32", self.n_outputs)

    def output(self, cur: Node, *, rms: bool = True) -> Node:
        """The final norm and the head."""
        cur = self.norm(cur, self._weights.get("output_norm.weight"), bias=self._weights.get("output_norm.bias"), rms=rms)
        cur.flags |= OUTPUT
        return self.mm(self._weights["output.weight"], cur)

    # --- blocks ---------------------------------------------------------------------------------------

    def norm(self, cur: Node, weight: Node | None, il: int = -1, *, bias: Node | None = None, rms: bool = True) -> Node:
        """Normalise rows, times `weight`, plus `bias` (build_norm)."""
        cur = ops.rms_norm(cur) if rms else ops.norm(cur)
        if il >= 0 and (weight is not None or bias is not None):
            self.pin(cur, il)
        if weight is not None:
            cur = ops.mul(cur, weight)
        return cur if bias is None else ops.add(cur, bias)

    def mm(self, weight: Node, cur: Node, bias: Node | None = None, scale: Node | None = None) -> Node:
        """Product with a weight, times the weight's scale, plus a bias (build_lora_mm)."""
        cur = ops.mul_mat(weight, cur)
        if scale is not None:
            cur = ops.mul(cur, scale)
        return cur if bias is None else ops.add(cur, bias)

    def ffn(self, cur: Node, il: int, suffix: str = "", act: str = "swiglu") -> Node:
        """A feed-forward part: gated where there is a gate (build_ffn). `act` is swiglu, geglu, relu_sqr, ..."""
        up = self.mm(self.need(il, f"ffn_up{suffix}"), cur, self.b(il, f"ffn_up{suffix}"))
        gate = self.w(il, f"ffn_gate{suffix}")
        if gate is not None:
            cur = ops.glu(self.mm(gate, cur, self.b(il, f"ffn_gate{suffix}")), up, act)
        else:
            cur = self.activate(up, act)
        return self.mm(self.need(il, f"ffn_down{suffix}"), cur, self.b(il, f"ffn_down{suffix}"))

    def activate(self, cur: Node, act: str) -> Node:
        """An activation without a gate; `halves:KIND` joins the halves of each row."""
        if act.startswith("halves:"):
            return ops.glu_halves(cur, act.removeprefix("halves:"))
        if act == "relu_sqr":
            return ops.sqr(ops.unary(cur, "relu"))
        return ops.unary(cur, act)

    def situ(self, gate: Node, up: Node) -> Node:
        """Two bounded branches multiplied (LLM_FFN_SITU); the upper one is bounded where the metadata say so."""
        act = ops.mul(ops.scale(ops.unary(ops.scale(gate), "tanh")), ops.unary(gate, "sigmoid"))
        bounded = float(self.hp.get("activation.situ_linear_beta") or 0.0) > 0
        return ops.mul(act, ops.scale(ops.unary(ops.scale(up), "tanh")) if bounded else up)

    def qkv(self, cur: Node, il: int, k_dim: int, v_dim: int | None = None) -> tuple[Node, Node, Node]:
        """Queries, keys and values as heads (build_qkv), from one fused weight or from three."""
        heads, kv_heads, v_dim, n = self.n_head(il), self.n_head_kv(il), v_dim or k_dim, self.n_tokens
        fused = self.w(il, "attn_qkv")
        if fused is not None:
            qkv = self.mm(fused, cur, self.b(il, "attn_qkv"), self.s(il, "attn_qkv"))
            row = qkv.nb[1]
            q = ops.view_3d(qkv, k_dim, heads, n, 4 * k_dim, row)
            k = ops.view_3d(qkv, k_dim, kv_heads, n, 4 * k_dim, row, 4 * k_dim * heads)
            v = ops.view_3d(qkv, v_dim, kv_heads, n, 4 * v_dim, row, 4 * k_dim * (heads + kv_heads))
            return q, k, v
        q, k, v = (self.mm(self.need(il, n), cur, self.b(il, n), self.s(il, n)) for n in ("attn_q", "attn_k", "attn_v"))
        return ops.reshape(q, k_dim, heads, n), ops.reshape(k, k_dim, kv_heads, n), ops.reshape(v, v_dim, kv_heads, n)

    # --- caches -----------------------------------------------------------------------------------------

    def cache(self, il: int, part: str, type_: str, row: int, cells: int, streams: int | None = None) -> Node:
        """The array `part` (k, v, idx_k, r, s, ...) of a block's cache, on the device where it lives."""
        found = self._caches.get((il, part))
        if found is None:
            ne = (row, cells, streams or self.settings.streams, 1)
            found = ops.new("NONE", type_, ne, name=f"cache_{part}_l{il}")
            found.home = self.placement.cache_device(il)
            self._caches[il, part] = found
        return found

    def cells(self, il: int) -> int:
        """Cells of one stream of a block's cache: all of them, or its window's."""
        for mixer in self.model.layers[il].mixers:
            window = getattr(mixer, "window", 0)
            if window:
                return window_cells(window, self.settings)
        return self.settings.cells

    @property
    def widest_v(self) -> int:
        """The widest V row of all blocks: what each stores without flash attention."""
        return widest_v(self.model)


def _weight_nodes(model: Model, tensors: tuple[Tensor, ...], placement: Placement, blocks: frozenset[int]) -> Mapping[str, Node]:
    """A node per loaded tensor; a tied embedding's copy on the output device is `output.weight`."""
    nodes: dict[str, Node] = {}
    for tensor, device in homes(model, tensors, placement, False, blocks):
        name = tensor.name
        if name == "token_embd.weight" and name in nodes:
            name = "output.weight"
        if name in ROTATION_TENSORS:
            name = _on(name, device)
        if name in nodes:
            continue
        ne = ops.shape(*tensor.shape)
        nodes[name] = Node("NONE", tensor.name, tensor.type, ne, ops.strides(tensor.type, ne), home=device, weight=True)
    nodes.setdefault("output.weight", nodes["token_embd.weight"])
    return nodes


def _on(name: str, device: int) -> str:
    """How a tensor that lies on several devices is called on one of them."""
    return f"{name} on {device}"
