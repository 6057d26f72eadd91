"""What the command line can be asked to do: one row a verb, its handler imported when it is called."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TextIO

from tonnage.errors import QuestionError


class Option(NamedTuple):
    """An option of the face itself, no key of a question."""

    name: str
    help: str
    spellings: tuple[str, ...]
    choices: tuple[str, ...] = ()
    """all that it may be"""
    alone: str | None = None
    """the value it stands for without one; None where a value follows"""


FORMAT = Option("format", "form of the answer", ("--format", "-f"), ("table", "json", "csv", "md", "url"))
ROWS = FORMAT._replace(choices=("table", "json", "csv", "md"))
WORDS = FORMAT._replace(choices=("table", "json"))
JSON = Option("format", "the same as --format json", ("--json",), alone="json")
COLOUR = Option("colour", "colour on a terminal, always or never", ("--color", "--colour"), ("auto", "always", "never"))
HELP = Option("help", "this help", ("--help", "-h"), alone="yes")
LIST = Option("list", "the quants that a repo of GGUF files holds: exact sizes and verdicts", ("--list",), alone="yes")
FORMATS = Option("formats", "formats of safetensors (FP8, AWQ, MLX, ...) in place of recipes", ("--formats",), alone="yes")
MATCH = Option("match", "devices that answer to these words alone", ("--match",))
ENGINES = Option("engines", "engines that are compared, separated by commas; all where it is not given", ("--engines",))
NAMES = Option("names", "names alone, one a line", ("--names",), alone="yes")


class Verb(NamedTuple):
    """One thing that can be asked."""

    name: str
    usage: str
    help: str
    module: str
    options: tuple[Option, ...]
    takes_question: bool = True
    """whether every key of a question is an option"""
    examples: tuple[str, ...] = ()


VERBS = (
    Verb(
        "estimate",
        "MODEL [options]",
        "the memory that a model takes, device by device; `-` reads questions as JSON lines",
        "tonnage.verbs.estimate",
        (FORMAT, JSON, LIST, COLOUR, HELP),
        examples=(
            "tonnage estimate qwen3.5-122b-a10b --quant Q4_K_M --context 256K",
            "tonnage estimate ./model-00001-of-00003.gguf -c 32K --slots 4 --device 24GB",
            "tonnage estimate unsloth/Qwen3.5-122B-A10B-GGUF:Q4_K_M -d 24GB",
            "tonnage estimate unsloth/Qwen3.5-122B-A10B-GGUF --list",
            "tonnage estimate ollama:qwen3:8b",
            "tonnage estimate - < questions.jsonl",
        ),
    ),
    Verb(
        "explain",
        "MODEL [options] PART",
        "why a part has its size: the rule, the numbers put in, and where the rule stands",
        "tonnage.verbs.explain",
        (WORDS, JSON, COLOUR, HELP),
        examples=("tonnage explain qwen3.5-122b-a10b -q Q4_K_M -c 256K kv",),
    ),
    Verb(
        "models",
        "[WORD]",
        "the built-in models, or those with WORD in their name",
        "tonnage.verbs.models",
        (ROWS, JSON, NAMES, COLOUR, HELP),
        takes_question=False,
        examples=("tonnage models qwen3.5",),
    ),
    Verb(
        "quants",
        "MODEL [options]",
        "the sizes of a model in every recipe of the quantiser",
        "tonnage.verbs.quants",
        (ROWS, JSON, FORMATS, COLOUR, HELP),
        examples=("tonnage quants qwen3.5-122b-a10b --context 32K", "tonnage quants qwen3-32b --formats"),
    ),
    Verb(
        "fit",
        "MODEL [options]",
        "every device of the catalogue: whether it holds the model, what is to spare, and what would make it fit",
        "tonnage.verbs.fit",
        (ROWS, JSON, MATCH, COLOUR, HELP),
        examples=("tonnage fit qwen3.5-122b-a10b -q Q4_K_M -c 256K", "tonnage fit qwen3-32b --match geforce"),
    ),
    Verb(
        "compare",
        "MODEL [options]",
        "engines side by side: what each needs, what it takes, the tokens that its cache holds, users at that context",
        "tonnage.verbs.compare",
        (ROWS, JSON, ENGINES, COLOUR, HELP),
        examples=(
            'tonnage compare qwen3.5-122b-a10b -c 128K --device "2x H100"',
            "tonnage compare llama-3.1-8b-instruct -d 24GB --engines vllm,sglang",
        ),
    ),
    Verb(
        "max-context",
        "MODEL --device DEVICE [options]",
        "the largest context that fits, for each type of cache",
        "tonnage.verbs.max_context",
        (ROWS, JSON, COLOUR, HELP),
        examples=("tonnage max-context qwen3.5-122b-a10b -q Q4_K_M -d 80GB",),
    ),
    Verb(
        "max-users",
        "MODEL --device DEVICE [options]",
        "how many requests at a time can each hold the context",
        "tonnage.verbs.max_users",
        (ROWS, JSON, COLOUR, HELP),
        examples=("tonnage max-users llama-3.1-8b -q Q4_K_M -c 32K -d 24GB",),
    ),
    Verb(
        "best-quant",
        "MODEL --device DEVICE [options]",
        "the recipe that keeps the most bits of those that fit",
        "tonnage.verbs.best_quant",
        (ROWS, JSON, COLOUR, HELP),
        examples=("tonnage best-quant qwen3-32b -c 32K -d 24GB",),
    ),
    Verb(
        "cache",
        "show|clear",
        "the headers of remote files that are kept on disk",
        "tonnage.verbs.cache",
        (ROWS, JSON, COLOUR, HELP),
        takes_question=False,
        examples=("tonnage cache show", "tonnage cache clear"),
    ),
    Verb(
        "schema",
        "question|answer",
        "the JSON Schema of questions or answers",
        "tonnage.verbs.schema",
        (HELP,),
        takes_question=False,
        examples=("tonnage schema question",),
    ),
    Verb(
        "completion",
        "bash|zsh|fish",
        "a script that completes commands in a shell",
        "tonnage.verbs.completion",
        (HELP,),
        takes_question=False,
        examples=('eval "$(tonnage completion bash)"',),
    ),
)


class Call(NamedTuple):
    """A verb with the words that it was given."""

    verb: Verb
    words: tuple[str, ...]
    """the words that are no options"""
    pairs: tuple[tuple[str, Any], ...]
    """keys of a question, with their values as they were written"""
    face: Mapping[str, Any]
    """options of the face"""
    out: TextIO
    errors: TextIO

    @property
    def format(self) -> str:
        """The form of the answer."""
        return str(self.face.get("format", "table"))

    def print(self, text: str) -> None:
        """Print to standard output."""
        self.out.write(text + "\n")

    def words_between(self, least: int, most: int) -> tuple[str, ...]:
        """The words, if they are as many as the verb takes."""
        if not least <= len(self.words) <= most:
            raise QuestionError(f"usage: tonnage {self.verb.name} {self.verb.usage}")
        return self.words
