"""The snippet that an answer is about."""

from tonnage.engines.transformers.settings import Settings
from tonnage.engines.transformers.training import Plan
from tonnage.model.types import Model

_QUANTISED = {"nf4": "BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_use_double_quant=True)", "int8": "BitsAndBytesConfig(load_in_8bit=True)"}


def snippet(model: Model, settings: Settings) -> str:
    """A program that loads the model and answers one prompt of the whole context."""
    quantised = _QUANTISED.get(settings.storage.name)
    imported = "AutoModelForCausalLM, AutoTokenizer" + (", BitsAndBytesConfig" if quantised else "")
    options = [f"'{model.name}'", "dtype='auto'", "device_map='auto'", f"attn_implementation='{settings.attention}'"]
    options += [f"quantization_config={quantised}"] if quantised else []
    return f'python -c "from transformers import {imported}; model = AutoModelForCausalLM.from_pretrained({", ".join(options)})"'


def training(model: Model, plan: Plan) -> str:
    """trl's command line; the dataset is the user's."""
    launch = "accelerate launch " + " ".join(_sharding(plan)) + " -m trl sft" if plan.devices > 1 else "trl sft"
    words = [launch, f"--model_name_or_path {model.name}", f"--max_length {plan.sequence}", f"--per_device_train_batch_size {plan.batch}"]
    words += [f"--optim {'adamw_torch' if plan.optimizer == 'adamw' else plan.optimizer}"]
    words += ["--gradient_checkpointing"] if plan.checkpointing else ["--no_gradient_checkpointing"]
    words += [f"--use_peft --lora_r {plan.rank} --lora_target_modules all-linear"] if plan.kind != "full" else []
    words += ["--load_in_4bit"] if plan.kind == "qlora" else []
    return " ".join([*words, "--dtype float32 --bf16" if plan.dtype == "mixed" else f"--dtype {_TYPES[plan.dtype]}", "--dataset_name DATASET"])


_TYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}


def _sharding(plan: Plan) -> list[str]:
    words = [f"--num_processes {plan.devices}"]
    if plan.shard.startswith("zero"):
        return [*words, f"--use_deepspeed --zero_stage {plan.shard.removeprefix('zero')}"]
    return [*words, "--use_fsdp"] if plan.shard == "fsdp" else [*words, "--multi_gpu"]
