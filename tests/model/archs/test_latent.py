"""What no tensor list of a published latent-attention model can show: facts beside the config, layers of old files."""

from typing import Any

import pytest

from tonnage.model.archs import deepseek2, deepseek4, deepseek32, glm4moe, glm5_next, kimi_linear, llama, mimo2, minimax
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Checkpoint, Compressed, Dense, Experts, Indexer, Latent, Recurrent

MLA = {
    "hidden_size": 7168, "intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61, "num_attention_heads": 128,
    "num_key_value_heads": 128, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
    "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "vocab_size": 129280,
    "max_position_embeddings": 163840, "num_nextn_predict_layers": 1, "tie_word_embeddings": False,
}  # fmt: skip
INDEXED = MLA | {"index_n_heads": 64, "index_head_dim": 128, "index_topk": 2048}
GLM46 = {
    "model_type": "glm4_moe", "hidden_size": 5120, "intermediate_size": 12288, "num_hidden_layers": 92, "num_attention_heads": 96,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151552, "max_position_embeddings": 202752, "moe_intermediate_size": 1536,
    "n_routed_experts": 160, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3, "use_qk_norm": True,
    "attention_bias": True, "num_nextn_predict_layers": 1, "tie_word_embeddings": False,
}  # fmt: skip
GLM47_FLASH = {
    "model_type": "glm4_moe_lite", "hidden_size": 2048, "intermediate_size": 10240, "moe_intermediate_size": 1536, "num_hidden_layers": 47,
    "num_attention_heads": 20, "num_key_value_heads": 20, "n_routed_experts": 64, "n_shared_experts": 1, "num_experts_per_tok": 4,
    "mlp_layer_types": ["dense"] + ["sparse"] * 46, "q_lora_rank": 768, "kv_lora_rank": 512, "qk_nope_head_dim": 192,
    "qk_rope_head_dim": 64, "v_head_dim": 256, "vocab_size": 154880, "max_position_embeddings": 202752, "tie_word_embeddings": False,
}  # fmt: skip
V4 = {
    "model_type": "deepseek_v4", "hidden_size": 4096, "moe_intermediate_size": 2048, "num_hidden_layers": 43, "num_attention_heads": 64,
    "num_key_value_heads": 1, "head_dim": 512, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 6,
    "num_hash_layers": 3, "hc_mult": 4, "index_n_heads": 64, "index_head_dim": 128, "index_topk": 512, "o_groups": 8, "o_lora_rank": 1024,
    "q_lora_rank": 1024, "sliding_window": 128, "vocab_size": 129280, "max_position_embeddings": 1048576, "num_nextn_predict_layers": 1,
    "compress_ratios": [0, 0] + [4, 128] * 20 + [4, 0], "tie_word_embeddings": False,
}  # fmt: skip


def elements(checkpoint: Checkpoint) -> int:
    """Values of all tensors."""
    return sum(tensor.elements for tensor in checkpoint.tensors)


@pytest.mark.parametrize(
    ("convert", "config", "published"),
    [
        (deepseek2.convert, MLA | {"model_type": "deepseek_v3", "topk_method": "noaux_tc"}, 671_026_419_200),
        (deepseek32.convert, INDEXED | {"model_type": "deepseek_v32"}, 685_355_329_792),
        (deepseek2.convert, GLM47_FLASH, 31_221_488_576),
        (glm4moe.convert, GLM46 | {"_name_or_path": "zai-org/GLM-4.6"}, 356_785_898_816),
        (glm4moe.convert, GLM46 | {"_name_or_path": "zai-org/GLM-4.7"}, 358_337_791_296),
    ],
    ids=["V3 without its MTP block", "V3.2", "GLM-4.7-Flash", "GLM-4.6", "GLM-4.7"],
)
def test_a_checkpoint_holds_what_was_published(convert: Any, config: dict[str, Any], published: int) -> None:
    """The hub's parameter totals, which count MTP blocks and their copies of embedding and head."""
    assert published == elements(convert(Config(config)))


def test_hash_layers_choose_experts_by_a_table() -> None:
    """DeepSeek V4's first layers look experts up by token id; only later ones correct their choice by a bias."""
    tensors = {tensor.name: tensor for tensor in deepseek4.convert(Config(V4)).tensors}

    assert tensors["blk.2.ffn_gate_tid2eid.weight"][1:] == ((6, 129280), "i32")
    assert "blk.2.exp_probs_b.bias" not in tensors
    assert "blk.3.exp_probs_b.bias" in tensors


def test_compressed_layers_follow_their_ratios() -> None:
    """A ratio of 0 leaves the window alone; only ratio 4 has an indexer."""
    layers = deepseek4.layers(Hparams(deepseek4.convert(Config(V4)).hparams))

    assert [Compressed(64, 512, 128, ratio, index) for ratio, index in ((0, 0), (4, 128), (128, 0))] == [layers[i].mixers[0] for i in (1, 2, 3)]


@pytest.mark.parametrize(
    ("context", "types", "stored"),
    [(202752, None, 78), (1 << 20, None, 21), (1 << 20, [1] * 10 + [0] * 68, 10)],
    ids=["GLM-5: all", "GLM-5.2's first files: the loader's list", "later files: theirs"],
)
def test_only_full_indexers_keep_keys(context: int, types: list[int] | None, stored: int) -> None:
    """Shared layers reuse the choice of the one before, and multi-token prediction attends without an indexer."""
    keys = {
        "block_count": 79, "nextn_predict_layers": 1, "context_length": context, "attention.head_count": 64, "embedding_length": 6144,
        "attention.key_length": 576, "attention.kv_lora_rank": 512, "attention.indexer.key_length": 128, "attention.indexer.top_k": 2048,
        "feed_forward_length": 12288,
    }  # fmt: skip
    layers = deepseek32.layers(Hparams(keys | ({"attention.indexer.types": types} if types else {})))

    assert stored == sum(layer.mixers == (Latent(64, 576, 512, Indexer(128)),) for layer in layers)
    assert (True, (Latent(64, 576, 512),)) == (layers[78].nextn, layers[78].mixers)


def test_a_block_sparse_indexer_keeps_a_value_too() -> None:
    """MiniMax M3's indexer cache has the main cache's shape of one head, in the layers with experts."""
    keys = {
        "block_count": 4, "embedding_length": 6144, "attention.head_count": 64, "attention.head_count_kv": 4, "attention.key_length": 128,
        "attention.value_length": 128, "attention.indexer.key_length": 64, "leading_dense_block_count": 3, "feed_forward_length": 12288,
    }  # fmt: skip
    layers = minimax.layers(Hparams(keys))

    assert [None, None, None, Indexer(64, 128)] == [layer.mixers[0].indexer for layer in layers]  # type: ignore[union-attr]


def test_layers_without_kv_heads_are_recurrent() -> None:
    """Kimi delta attention: three convolution tails and a square state per head; GLM-5.3-Flash pools three indexer rows besides."""
    keys = {
        "block_count": 2, "embedding_length": 2304, "attention.head_count": 32, "attention.head_count_kv": [0, 1], "kda.head_dim": 128,
        "ssm.conv_kernel": 4, "attention.key_length": 576, "attention.kv_lora_rank": 512, "attention.indexer.key_length": 128,
        "feed_forward_length": 9216,
    }  # fmt: skip
    delta = Recurrent("kda", 3 * 3 * 32 * 128, 32 * 128 * 128)

    assert [delta, Latent(32, 576, 512)] == [layer.mixers[0] for layer in kimi_linear.layers(Hparams(keys))]
    assert [delta, Latent(32, 576, 512, Indexer(384))] == [layer.mixers[0] for layer in glm5_next.layers(Hparams(keys))]


def test_mimo_has_experts_between_its_first_and_its_drafting_blocks() -> None:
    """No metadata key says which blocks are dense; windows and KV heads come from arrays."""
    keys = {
        "block_count": 6, "nextn_predict_layers": 3, "embedding_length": 4096, "attention.head_count": 64, "feed_forward_length": 16384,
        "attention.head_count_kv": [4, 8, 8, 8, 8, 8], "attention.key_length": 192, "attention.value_length": 128,
        "attention.sliding_window": 128, "attention.sliding_window_pattern": [0, 1, 1, 1, 1, 1], "expert_count": 256,
        "expert_used_count": 8, "expert_feed_forward_length": 2048,
    }  # fmt: skip
    layers = mimo2.layers(Hparams(keys))

    assert [Dense(16384), *[Experts(256, 8, 2048)] * 2, *[Dense(16384)] * 3] == [layer.ffn for layer in layers]
    assert [(layer.mixers[0].kv_heads, layer.mixers[0].window) for layer in layers[:2]] == [(4, 0), (8, 128)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("outer", "inner", "architecture"),
    [("mistral3", "mistral", "mistral3"), ("mistral3", "ministral3", "mistral3"), ("ministral3", None, "mistral3"), ("mistral", None, "llama")],
)
def test_wrapped_mistrals_have_an_architecture_of_their_own(outer: str, inner: str | None, architecture: str) -> None:
    """The converter goes by the checkpoint's class: with vision, or Ministral 3."""
    text = {
        "model_type": inner or outer, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2,
        "vocab_size": 32, "max_position_embeddings": 64,
    }  # fmt: skip
    raw = {"model_type": outer, "text_config": text} if inner else text

    assert architecture == llama.convert(Config(raw)).architecture
