"""What no tensor list of a published Qwen or Tencent model can show: facts beside the config, and old files."""

from typing import Any

import pytest

from tonnage.model.archs import hunyuan, hy_v3, mellum, parts, qwen3, qwen3next, qwen4exp, qwen35
from tonnage.model.config import Config
from tonnage.model.hparams import Hparams
from tonnage.model.types import Attention, Checkpoint, Dense, Experts, Recurrent

QWEN3_06B = {
    "model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
    "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "max_position_embeddings": 40960, "tie_word_embeddings": True,
}  # fmt: skip
HYBRID = {
    "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "vocab_size": 512,
    "max_position_embeddings": 4096, "linear_num_value_heads": 8, "linear_num_key_heads": 4, "linear_key_head_dim": 32,
    "linear_value_head_dim": 32, "linear_conv_kernel_dim": 4, "num_experts": 8, "num_experts_per_tok": 2,
    "moe_intermediate_size": 64, "shared_expert_intermediate_size": 64,
}  # fmt: skip
FLASH_NEXT = HYBRID | {
    "model_type": "qwen4_exp_text", "hc_count": 4, "hc_lowrank": 16, "indexer_n_heads": 2, "indexer_head_dim": 64, "indexer_budget": 512,
    "indexer_compress_ratio": 4, "ple_layer_ids": [2], "ple_conv_kernel_size": 4, "ngram_size": 3, "heads_per_ngram": 2,
    "ngram_vocab_size_base": 100, "make_ngram_vocab_size_divisible_by": 128,
}  # fmt: skip
HUNYUAN = {
    "model_type": "hunyuan_v1_moe", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 128, "vocab_size": 512, "max_position_embeddings": 32768, "num_experts": 4,
    "moe_topk": [2, 2], "moe_intermediate_size": [128, 128], "num_shared_expert": [1, 1], "tie_word_embeddings": True,
}  # fmt: skip


def names(checkpoint: Checkpoint) -> set[str]:
    """The names of all tensors."""
    return {tensor.name for tensor in checkpoint.tensors}


@pytest.mark.parametrize(
    ("change", "stored"),
    [({}, True), ({"max_position_embeddings": 32768}, False), ({"num_hidden_layers": 27}, False), ({"tie_word_embeddings": False}, True)],
)
def test_a_tied_head_counts_only_where_the_upload_stores_it(change: dict[str, Any], stored: bool) -> None:
    """Qwen3-0.6B was published with its tied head stored; other tied models of the family hold one matrix."""
    assert stored == ("output.weight" in names(qwen3.convert(Config(QWEN3_06B | change))))


@pytest.mark.parametrize(("said", "blocks", "noted"), [({}, 5, True), ({"mtp_num_hidden_layers": 0}, 4, False)])
def test_qwen3_next_has_an_mtp_block_unless_told_otherwise(said: dict[str, int], blocks: int, noted: bool) -> None:
    """The config of Qwen3-Next does not name its MTP block; that of Qwen3-Coder-Next must say there is none."""
    checkpoint = qwen3next.convert(Config(HYBRID | {"model_type": "qwen3_next"} | said))

    assert (blocks, noted) == (checkpoint.hparams["block_count"], bool(checkpoint.notes))


def test_layer_types_decide_which_blocks_are_recurrent() -> None:
    """A config that lists its layers is followed, whatever the interval would say."""
    kinds = ["full_attention", "linear_attention", "linear_attention", "full_attention"]

    assert [False, True, True, False, False] == qwen35.linear_blocks(Config(HYBRID | {"layer_types": kinds}), n_nextn=1)


def test_files_without_a_list_of_recurrent_blocks_follow_the_interval() -> None:
    """Files of before the list: all but each fourth block of the trunk, and none of MTP."""
    hp = Hparams({"block_count": 9, "nextn_predict_layers": 1, "full_attention_interval": 4})

    assert [True, True, True, False, True, True, True, False, False] == qwen35.recurrent_blocks(hp)


def test_an_ngram_table_has_a_prime_of_rows_per_head() -> None:
    """Four heads of base 100 hold 101 + 103 + 107 + 109 rows, padded to a multiple of 128."""
    table = next(t for t in qwen4exp.convert(Config(FLASH_NEXT)).tensors if t.name == "per_layer_token_embd.weight")

    assert (64, 512) == table.shape


def test_an_ngram_layer_remembers_inputs_of_its_dilated_convolution() -> None:
    """(kernel - 1) x n-gram size x streams x embedding, beside the delta net's own memory."""
    layers = qwen4exp.layers(Hparams(qwen4exp.convert(Config(FLASH_NEXT)).hparams))

    assert Recurrent("short_conv", 3 * 3 * 4 * 256, 0) == layers[1].mixers[1]
    assert [1, 2, 1, 1] == [len(layer.mixers) for layer in layers]


@pytest.mark.parametrize(("ratio", "width"), [(4, 128), (0, 64)])
def test_an_indexer_keeps_a_pooled_key_beside_each_raw_one(ratio: int, width: int) -> None:
    """QSA pools keys by blocks; without a compress ratio there is nothing to pool."""
    attention = qwen4exp.layers(Hparams(qwen4exp.convert(Config(FLASH_NEXT | {"indexer_compress_ratio": ratio})).hparams))[3].mixers[0]

    assert isinstance(attention, Attention)
    assert attention.indexer is not None
    assert width == attention.indexer.k_width


@pytest.mark.parametrize(
    ("pattern", "windows"),
    [(None, [7, 7, 7, 0, 7]), (2, [7, 0, 7, 0, 7]), (1, [0, 0, 0, 0, 0]), (0, [7, 7, 7, 7, 7]), ([True, False, False, True, True], [7, 0, 0, 7, 7])],
)
def test_windows_follow_the_pattern_of_the_file(pattern: Any, windows: list[int]) -> None:
    """A list says it block by block, a number is a period, and the family's own period stands in for neither."""
    hp = Hparams({"block_count": 5, "attention.sliding_window": 7} | ({} if pattern is None else {"attention.sliding_window_pattern": pattern}))

    assert windows == [parts.windows(hp, 4)(i) for i in range(5)]


def test_a_mellum_file_without_window_attends_fully() -> None:
    """No `attention.sliding_window`: every layer is full, though the family has a pattern."""
    hp = Hparams({"block_count": 2, "embedding_length": 256, "attention.head_count": 4, "attention.head_count_kv": 2, "feed_forward_length": 512})

    assert [0, 0] == [mixer.window for layer in mellum.layers(hp) for mixer in layer.mixers if isinstance(mixer, Attention)]


@pytest.mark.parametrize(("rope", "context"), [({}, 32768), ({"rope_scaling": {"type": "dynamic", "alpha": 1000.0}}, 262144)])
def test_hunyuan_with_dynamic_rope_is_written_with_256k(rope: dict[str, Any], context: int) -> None:
    """The converter takes the config's 32K to be wrong where the rope is "dynamic"."""
    assert context == hunyuan.convert(Config(HUNYUAN | rope)).hparams["context_length"]


def test_hunyuan_lists_per_layer_are_one_number() -> None:
    """Published configs repeat experts' width, count and use for every layer."""
    hparams = hunyuan.convert(Config(HUNYUAN)).hparams

    assert (128, 2, 1) == (hparams["expert_feed_forward_length"], hparams["expert_used_count"], hparams["expert_shared_count"])


def test_hy3_files_have_one_dense_block_that_no_key_names() -> None:
    """The converter writes no `leading_dense_block_count` for Hy3."""
    hp = Hparams({
        "block_count": 3, "embedding_length": 256, "attention.head_count": 2, "attention.head_count_kv": 1, "feed_forward_length": 512,
        "expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 128, "expert_shared_feed_forward_length": 128,
        "nextn_predict_layers": 1,
    })  # fmt: skip
    experts = Experts(4, 2, 128, 128)

    assert [(Dense(512), False), (experts, False), (experts, True)] == [(layer.ffn, layer.nextn) for layer in hy_v3.layers(hp)]
