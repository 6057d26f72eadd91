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
    metavar: str = ""
    """what help shows for the value"""
    many: bool = False
    """whether it may be given several times"""


FORMAT = Option("format", "form of the answer", ("--format", "-f"), ("table", "json", "csv", "md", "svg", "url"))
ROWS = FORMAT._replace(choices=("table", "json", "csv", "md"))
WORDS = FORMAT._replace(choices=("table", "json"))
JSON = Option("format", "the same as --format json", ("--json",), alone="json")
COLOUR = Option("colour", "colour on a terminal, always or never", ("--color", "--colour"), ("auto", "always", "never"))
HELP = Option("help", "this help", ("--help", "-h"), alone="yes")
LIST = Option("list", "the quants that a repo of GGUF files holds: exact sizes and verdicts", ("--list",), alone="yes")
FORMATS = Option("formats", "formats of safetensors (FP8, AWQ, MLX, ...) in place of recipes", ("--formats",), alone="yes")
FILE = Option("file", "TOML file of your own devices", ("--file",))
PROGRAM = Option("program", "the llama-fit-params to run, if it is not the one on PATH", ("--program",))
MATCH = Option("match", "devices that answer to these words alone", ("--match",))
ENGINES = Option("engines", "engines that are compared, separated by commas; all where it is not given", ("--engines",))
NAMES = Option("names", "names alone, one a line", ("--names",), alone="yes")


EVERY = Option("every", "a row for the experts of every number of layers in RAM: bytes, reads and modelled speed", ("--every",), alone="yes")
AS_FIT = Option("as_llama_fit", "what llama.cpp's own --fit decides", ("--as-llama-fit",), alone="yes")


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
            "tonnage estimate qwen3-32b -q Q4_K_M --device 'RTX 4090' --ram '64GB DDR5-6000 x2'",
            "tonnage estimate qwen3-32b --device this",
            "tonnage estimate unsloth/Qwen3.5-122B-A10B-GGUF:Q4_K_M -d 24GB",
            "tonnage estimate unsloth/Qwen3.5-122B-A10B-GGUF --list",
            "tonnage estimate ollama:qwen3:8b",
            "tonnage estimate - < questions.jsonl",
        ),
    ),
    Verb(
        "plan",
        "MODEL [options]",
        "what goes where on the devices given, so that a token takes the least time; with the commands",
        "tonnage.verbs.plan",
        (ROWS, JSON, AS_FIT, EVERY, COLOUR, HELP),
        examples=(
            "tonnage plan qwen3.5-122b-a10b -q Q4_K_M -c 128K --device 24GB --ram 96GB",
            "tonnage plan qwen3-30b-a3b -c 128K -d 16GB -d 8GB --as-llama-fit",
            "tonnage plan qwen3.5-122b-a10b -q Q4_K_M -c 32K -d 48GB --every",
            'tonnage plan qwen3.5-122b-a10b --engine vllm --users 40 -c 32K -d "8x H100"',
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
        "check-engine",
        "FILE.gguf [options]",
        "what your own llama-fit-params measures for a file, beside what Tonnage says; no weights are read",
        "tonnage.verbs.check_engine",
        (ROWS, JSON, PROGRAM, COLOUR, HELP),
        examples=("tonnage check-engine ./model.gguf -c 32K --program ./build/bin/llama-fit-params",),
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
        "devices",
        "[WORD]",
        "the devices that --device knows, or those that answer to WORD: memory, what of it can be used, bandwidth",
        "tonnage.verbs.devices",
        (ROWS, JSON, FILE, COLOUR, HELP),
        takes_question=False,
        examples=("tonnage devices 4090", "tonnage devices m4 max", "tonnage devices --json"),
    ),
    Verb(
        "detect",
        "",
        "what this machine has: GPUs, what is free on them and who holds it, and host memory",
        "tonnage.verbs.detect",
        (ROWS, JSON, COLOUR, HELP),
        takes_question=False,
        examples=("tonnage detect", "tonnage detect --json"),
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
        "speed",
        "MODEL --device DEVICE [options]",
        "tokens per second at several depths, with a band and what limits them",
        "tonnage.verbs.speed",
        (ROWS, JSON, COLOUR, HELP),
        examples=(
            'tonnage speed qwen3.5-122b-a10b -q Q4_K_M -d "2x RTX 3090" --ram "96GB DDR5-6000 x2" --n-cpu-moe 36',
            "tonnage speed qwen3.6-27b -q Q4_K_M -d 'RTX 3090' --depth 32K --prompt 4K",
        ),
    ),
    Verb(
        "cost",
        "MODEL --device DEVICE [options]",
        "what a million tokens, a day and a month cost, by electricity or rent",
        "tonnage.verbs.cost",
        (ROWS, JSON, COLOUR, HELP),
        examples=(
            'tonnage cost qwen3-32b -q Q4_K_M -d "RTX 4090" --price 0.30/kWh --hours 8',
            "tonnage cost qwen3-32b -q Q4_K_M -d 'RTX 4090' --rent 0.79/h --token-price 0.60",
        ),
    ),
    Verb(
        "reads",
        "[MODEL] [options]",
        "where each token's bytes come from, to scale; without a model, how far each level of memory is away",
        "tonnage.verbs.reads",
        (
            Option("size", "without a model: bytes that are read from each level; 1MB if not given", ("--size",), metavar="SIZE"),
            ROWS,
            JSON,
            COLOUR,
            HELP,
        ),
        examples=(
            'tonnage reads qwen3.5-122b-a10b -q Q4_K_M -d "RTX 4090" --ram "96GB DDR5-6000 x2" --cpu-moe',
            "tonnage reads --size 1GB",
        ),
    ),
    Verb(
        "ram",
        "[KIT ...]",
        "RAM timings as nanoseconds and rates, kits side by side; without a kit all that are known",
        "tonnage.verbs.ram",
        (
            Option("reads", "bytes of experts in RAM that one token reads, for tokens per second", ("--reads",), metavar="SIZE"),
            ROWS,
            JSON,
            COLOUR,
            HELP,
        ),
        takes_question=False,
        examples=('tonnage ram "DDR5-6000 CL30-38-38-96" "DDR4-3200 CL16"', "tonnage ram DDR5-6000", "tonnage ram 'DDR5-6000 x2' --reads 3.2GB"),
    ),
    Verb(
        "power",
        "--watts W [options]",
        "what electricity costs in a day, a month and a year, and for a million tokens",
        "tonnage.verbs.power",
        (
            Option("watts", "power under load", ("--watts",), metavar="WATTS"),
            Option("hours", "hours of load per day; 24 if not given", ("--hours",), metavar="X"),
            Option("country", "whose price, by name or code; may be repeated", ("--country",), metavar="COUNTRY"),
            Option("price", "price of a kilowatt-hour, in place of a country's", ("--price",), metavar="PRICE"),
            Option("currency", "what the price is in", ("--currency",), metavar="WORD"),
            Option("tariff", "whose tariff a country's row tells", ("--tariff",), ("household", "business")),
            Option("idle_watts", "power for the rest of the day; 0 if not given", ("--idle-watts",), metavar="WATTS"),
            Option("psu", "efficiency of the power supply, such as 0.9; 1 if watts are those of the wall", ("--psu",), metavar="X"),
            Option("decode", "tokens generated per second, for the price of a million", ("--decode",), metavar="X"),
            Option("prefill", "prompt tokens per second, for the price of a million", ("--prefill",), metavar="X"),
            ROWS,
            JSON,
            COLOUR,
            HELP,
        ),
        takes_question=False,
        examples=(
            "tonnage power --watts 450 --hours 5 --country Germany",
            "tonnage power --watts 350 --price 0.30/kWh --decode 30",
            "tonnage power --watts 350 --country DE --country US --idle-watts 20 --psu 0.9",
        ),
    ),
    Verb(
        "transfer",
        "SIZE [--over LINK ...]",
        "how long bytes take over links, side by side",
        "tonnage.verbs.transfer",
        (
            Option("over", "a link, a rate such as 500MB/s, or links in a row: 'NVMe Gen4 > PCIe 4.0 x16'", ("--over",), metavar="LINK", many=True),
            Option("files", "how many files the bytes are in", ("--files",), metavar="N"),
            ROWS,
            JSON,
            COLOUR,
            HELP,
        ),
        takes_question=False,
        examples=(
            'tonnage transfer 76.5GB --over "PCIe 4.0 x16" --over "NVMe Gen4"',
            "tonnage transfer 20GiB --over 'NVMe Gen4 > PCIe 3.0 x4' --over 300Mb/s",
        ),
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
        "serve",
        "[--port N] [--workers N]",
        "the pages of the calculator on this machine, or in public; needs the extra `serve`",
        "tonnage.verbs.serve",
        (
            Option("port", "port to listen at; 8765 if not given", ("--port",), metavar="N"),
            Option("host", "address to listen at; 127.0.0.1 if not given", ("--host",), metavar="ADDRESS"),
            Option("workers", "processes that answer; 1 if not given", ("--workers",), metavar="N"),
            Option("rate", "requests per second that one client may make of one worker; 20 if not given, 0 for no limit", ("--rate",), metavar="X"),
            Option("origin", "the public address, for canonical links and the sitemap: https://tonnage.example", ("--origin",), metavar="URL"),
            Option("proxies", "addresses in front whose X-Forwarded-For is believed; 127.0.0.1 if not given", ("--proxies",), metavar="ADDRESSES"),
            Option("offline", "built-in models alone: nothing is read from the hub", ("--offline",), alone="yes"),
            HELP,
        ),
        takes_question=False,
        examples=("tonnage serve", "tonnage serve --host 0.0.0.0 --workers 2 --origin https://tonnage.example"),
    ),
    Verb(
        "site",
        "build DIR",
        "the pages as files for a host that runs nothing; questions are answered in the browser. Needs the extra `serve`, npm and node",
        "tonnage.verbs.site",
        (
            Option("origin", "the public address, for canonical links and the sitemap: https://tonnage.example", ("--origin",), metavar="URL"),
            Option("base", "path before every link, where the site stands in a folder", ("--base",), metavar="PATH"),
            Option("no_engine", "pages alone: questions of one's own are not answered", ("--no-engine",), alone="yes"),
            HELP,
        ),
        takes_question=False,
        examples=("tonnage site build public --origin https://tonnage.example",),
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
    access: Any = None
    """what of the machine and the network may be read for it; None for all"""

    def all_of(self, name: str) -> tuple[str, ...]:
        """Every value of an option that may be given several times."""
        return tuple(self.face.get(name, ()))

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
