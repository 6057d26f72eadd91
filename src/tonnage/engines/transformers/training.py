"""Fine-tuning: weights, gradients, optimizer states and activations of one device, with what ZeRO and FSDP share out.

Formulas in the words of their sources: Hugging Face's model training anatomy (transformers 5.23), torch.optim, peft 0.17,
DeepSpeed's ZeRO (arXiv 1910.02054), PyTorch's FSDP. Weights, gradients, states and what dense blocks keep for the backward
pass are held to PyTorch 2.13 on a CPU (tests/data/training.json); what is shared out, and a GPU's peak, have a band.
"""

from tonnage.answer import Band, Part
from tonnage.engines.torch.frame import stored_bytes
from tonnage.engines.torch.storage import Storage
from tonnage.engines.transformers.settings import LORA_RANK, TRAINED_IN
from tonnage.engines.transformers.split import vision_bytes
from tonnage.errors import QuestionError, nearest
from tonnage.frozen import dataclass
from tonnage.model.pieces import EXPERT, Piece, is_matrix, pieces
from tonnage.model.published import ATTENTION, LINEAR
from tonnage.model.types import Attention, Dense, Experts, Latent, Layer, Model, Recurrent
from tonnage.question import Question
from tonnage.units import ceil_div

OPTIMIZERS = {
    "adamw": 2.0, "adamw_torch": 2.0, "adamw_torch_fused": 2.0, "adamw_8bit": 0.0, "adamw_bnb_8bit": 0.0, "paged_adamw_8bit": 0.0, "lion": 1.0,
    "adafactor": 0.01, "sgd": 0.0, "momentum": 1.0,
}  # fmt: skip
"""optimizer -> states of a weight's own type that each trained weight has (adafactor: a row and a column of each matrix)"""
STATES_8BIT = 2 * (1 + 4 / 256)
"""bytes per weight of two states in 8 bits, with an F32 scale per 256 (bitsandbytes)"""
EIGHT_BIT = ("adamw_8bit", "adamw_bnb_8bit", "paged_adamw_8bit")
MASTER = 4
"""bytes of a weight's F32 copy, which DeepSpeed keeps of 16-bit weights"""
ADAPTER = 4
"""bytes of an adapter's weight: peft keeps it in F32"""
LOGITS = 12
"""bytes per token and logit: as computed (2), as F32 for the loss (4), their gradients (4 and 2)"""
LOSS = 4
"""of these, what the forward pass keeps: log-probabilities in F32"""
LABEL = 16
"""a token's number and its label"""
LIVE = 2
"""blocks that are whole on a device while weights are sharded: the one that is computed, and the one that is fetched"""
ACTIVATION_BAND, STATE_BAND = 0.35, 0.05
SHARDED = {"none": (), "zero1": ("optimizer",), "zero2": ("optimizer", "gradients")}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is trained, and how."""

    kind: str
    rank: int
    optimizer: str
    sequence: int
    batch: int
    checkpointing: bool
    shard: str
    dtype: str
    devices: int


def plan_of(question: Question, context: int, devices: int) -> Plan:
    """The plan of a question; QuestionError for words that are not known."""
    optimizer, dtype = (question.optimizer or "adamw").lower(), (question.train_dtype or "bf16").lower()
    for name, word, known in (("optimizer", optimizer, OPTIMIZERS), ("train_dtype", dtype, TRAINED_IN)):
        if word not in known:
            raise QuestionError(f"{name}={word!r}: known are {', '.join(known)}", nearest(word, known))
    shard = question.shard or "none"
    if shard != "none" and question.train == "qlora" and shard in ("zero3",):
        raise QuestionError("shard=zero3 with train=qlora: DeepSpeed cannot shard bitsandbytes weights; take fsdp or zero2")
    rank, batch = question.lora_rank or LORA_RANK, question.micro_batch or 1
    return Plan(str(question.train), rank, optimizer, question.sequence or context, batch, bool(question.checkpointing), shard, dtype, devices)


def parts(model: Model, storage: Storage, plan: Plan) -> tuple[Part, ...]:
    """The parts of one device: all devices hold the same."""
    trained = trained_weights(model, plan)
    whole = weights_bytes(model, storage, plan) + (ADAPTER * trained if plan.kind != "full" else 0)
    width = TRAINED_IN[plan.dtype] if plan.kind == "full" else ADAPTER
    sizes = {"weights": whole, "gradients": width * trained, "optimizer": optimizer_bytes(plan, trained, width)}
    shared = SHARDED.get(plan.shard, tuple(sizes))
    held = {name: ceil_div(nbytes, plan.devices) if name in shared else nbytes for name, nbytes in sizes.items()}
    if "weights" in shared and plan.devices > 1:
        held["weights"] += LIVE * largest_block(model, storage, plan)
    found = [Part(name, nbytes, "rule", _band(nbytes, STATE_BAND), name) for name, nbytes in held.items() if nbytes]
    computed = activation_bytes(model, plan)
    return (*found, Part("activations", computed, "fitted", _band(computed, ACTIVATION_BAND), "activations"))


def weights_bytes(model: Model, storage: Storage, plan: Plan) -> int:
    """All weights: in the type that they are trained in, or frozen as they are stored."""
    if plan.kind == "full":
        return TRAINED_IN[plan.dtype] * all_weights(model)
    return sum(stored_bytes(piece, storage) for piece in pieces(model)) + vision_bytes(model, storage)


def all_weights(model: Model) -> int:
    """Parameters, those of the vision tower too."""
    return sum(piece.elements for piece in pieces(model)) + model.parameters.vision


def trained_weights(model: Model, plan: Plan) -> int:
    """All, or those of an adapter on every linear layer (peft's all-linear; experts that are one tensor have none)."""
    if plan.kind == "full":
        return all_weights(model)
    return sum(plan.rank * (piece.n_in + piece.n_out) * piece.copies for piece in pieces(model) if _adapted(piece))


def _adapted(piece: Piece) -> bool:
    return is_matrix(piece) and piece.role in (ATTENTION, LINEAR) and piece.role != EXPERT


def optimizer_bytes(plan: Plan, trained: int, width: int) -> int:
    """States, and the F32 copy that DeepSpeed keeps of 16-bit weights, whose states are F32 then."""
    if plan.optimizer in EIGHT_BIT:
        return round(STATES_8BIT * trained)
    deepspeed = plan.shard.startswith("zero") and width < MASTER
    states = OPTIMIZERS[plan.optimizer] * (MASTER if deepspeed else width)
    return round((states + (MASTER if deepspeed else 0)) * trained)


def largest_block(model: Model, storage: Storage, plan: Plan) -> int:
    """Bytes of the largest block, whole."""
    sizes: dict[int, int] = {}
    for piece in pieces(model):
        if piece.block is not None:
            nbytes = 2 * piece.elements if plan.kind == "full" else stored_bytes(piece, storage)
            sizes[piece.block] = sizes.get(piece.block, 0) + nbytes
    return max(sizes.values())


# --- activations ----------------------------------------------------------------------------------


def activation_bytes(model: Model, plan: Plan) -> int:
    """The peak of the backward pass: what is kept, the logits with their gradients, and with checkpointing one block computed anew."""
    layers = [layer for layer in model.layers if not layer.nextn]
    again = max(token_bytes(model, layer, _width(plan)) for layer in layers) if plan.checkpointing else 0
    return kept_bytes(model, plan) + plan.sequence * plan.batch * (again + (LOGITS - LOSS) * model.n_vocab)


def kept_bytes(model: Model, plan: Plan) -> int:
    """What autograd keeps of the forward pass: every block's tensors, or with checkpointing its input alone, and the loss."""
    layers = [layer for layer in model.layers if not layer.nextn]
    width = _width(plan)
    blocks = width * model.n_embd * len(layers) if plan.checkpointing else sum(token_bytes(model, layer, width) for layer in layers)
    last = _norm_bytes(model.n_embd, width) + LOSS * model.n_vocab + LABEL
    return plan.sequence * plan.batch * (blocks + last + (0 if plan.checkpointing else _rotation_bytes(layers, width)))


def _width(plan: Plan) -> int:
    """Bytes of an activation: all but F32 compute in 16 bits."""
    return 4 if plan.dtype == "fp32" else 2


def _norm_bytes(elements: int, width: int) -> int:
    """Of a token: the input in F32 and its scale, the normed input, and what is handed on to projections."""
    return (4 + 2 * width) * elements + 4


def token_bytes(model: Model, layer: Layer, width: int) -> int:
    """Bytes per token of one block, attention by SDPA or flash: two norms, attention, feed-forward."""
    mixers = sum(_mixer_bytes(model, mixer, width) for mixer in layer.mixers)
    return 2 * _norm_bytes(model.n_embd, width) + mixers + _ffn_bytes(layer, model.n_embd, width)


def _rotation_bytes(layers: list[Layer], width: int) -> int:
    """Sines and cosines, which all blocks share."""
    return 2 * width * max((mixer.k_dim for layer in layers for mixer in layer.mixers if isinstance(mixer, Attention)), default=0)


def _mixer_bytes(model: Model, mixer: object, width: int) -> int:
    """Rotated queries and keys, values, the output, and one F32 per head; where queries and keys have norms, what these keep."""
    if isinstance(mixer, Attention):
        q, k, v = mixer.heads * mixer.k_dim, mixer.kv_heads * mixer.k_dim, mixer.kv_heads * mixer.v_dim
        normed = (4 + width) * (q + k) + 4 * (mixer.heads + mixer.kv_heads) if _has_qk_norm(model) else 0
        return width * (q + k + v + mixer.heads * mixer.v_dim) + 4 * mixer.heads + normed
    if isinstance(mixer, Latent):
        head = int(model.hparams.get("attention.key_length_mla") or mixer.width) + int(model.hparams.get("attention.value_length_mla") or mixer.width)
        return width * (2 * mixer.heads * head + mixer.width)
    if isinstance(mixer, Recurrent):
        return width * 4 * (mixer.conv_elements // 3)
    return 0


def _has_qk_norm(model: Model) -> bool:
    return any(piece.stem == "attn_q_norm" for piece in pieces(model))


def _ffn_bytes(layer: Layer, hidden: int, width: int) -> int:
    """Gate, up, the gate's activation and the product; of experts their inputs and outputs too."""
    if isinstance(layer.ffn, Experts):
        return width * (layer.ffn.used * (2 * hidden + 4 * layer.ffn.width) + 4 * layer.ffn.shared_width) + 12 * layer.ffn.count
    return width * 4 * layer.ffn.width if isinstance(layer.ffn, Dense) else 0


def _band(nbytes: int, share: float) -> Band:
    return Band(-round(share * nbytes), round(share * nbytes))
