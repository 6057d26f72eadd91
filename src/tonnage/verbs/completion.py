"""`tonnage completion`: scripts made from the tables of verbs and keys.

They are static: only names of models are asked for while typing, by `tonnage models --names`.
"""

from collections.abc import Callable, Mapping

from tonnage.errors import QuestionError, nearest
from tonnage.keys import KEYS, OPTIONS, Key
from tonnage.verbs import VERBS, Call, Verb

_FILES = ("FILE", "MODEL")


def run(call: Call) -> int:
    """Print the script for a shell."""
    (shell,) = call.words_between(1, 1)
    if shell not in SHELLS:
        raise QuestionError(f"no completion for {shell!r}: there are {', '.join(SHELLS)}", nearest(shell, SHELLS))
    call.print(SHELLS[shell]())
    return 0


def options_of(verb: Verb) -> list[str]:
    """Every option of a verb, in order."""
    face = [spelling for option in verb.options for spelling in option.spellings]
    return sorted({*face, *(OPTIONS if verb.takes_question else ())})


def values() -> dict[str, tuple[str, ...]]:
    """Option -> the values that it may have; no entry where anything may follow."""
    found = {option: _words(KEYS[name]) for option, (name, alone) in OPTIONS.items() if alone is None}
    for verb in VERBS:
        found |= {spelling: option.choices for option in verb.options for spelling in option.spellings if option.alone is None}
    return {option: choices for option, choices in sorted(found.items()) if choices}


def _words(key: Key) -> tuple[str, ...]:
    """Choices, and words that stand for none of them."""
    return key.choices if key.kind == "choice" else key.choices + tuple(word for word in key.words if word.isalpha())


def _file_options() -> list[str]:
    return sorted(option for option, (name, alone) in OPTIONS.items() if alone is None and KEYS[name].metavar in _FILES)


_BASH = """\
# bash completion for tonnage: eval "$(tonnage completion bash)"
_tonnage() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} verb=${{COMP_WORDS[1]}}
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{verbs} --help --version" -- "$word"))
        return
    fi
    case $before in
{values}
        {files}) COMPREPLY=($(compgen -f -- "$word")); return ;;
    esac
    case $word in
        -*)
            case $verb in
{options}
            esac ;;
        *)
            case $verb in
                schema) COMPREPLY=($(compgen -W "question answer" -- "$word")) ;;
                completion) COMPREPLY=($(compgen -W "bash zsh fish" -- "$word")) ;;
                *) COMPREPLY=($(compgen -W "$(tonnage models --names 2>/dev/null)" -- "$word") $(compgen -f -- "$word")) ;;
            esac ;;
    esac
}}
complete -o filenames -F _tonnage tonnage"""


def bash() -> str:
    """For bash."""
    cases = "\n".join(f'        {option}) COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$word")); return ;;' for option, words in values().items())
    options = "\n".join(f'                {v.name}) COMPREPLY=($(compgen -W "{" ".join(options_of(v))}" -- "$word")) ;;' for v in VERBS)
    return _BASH.format(verbs=" ".join(v.name for v in VERBS), values=cases, files="|".join(_file_options()), options=options)


_ZSH = """\
#compdef tonnage
# zsh completion for tonnage: tonnage completion zsh > "${{fpath[1]}}/_tonnage"
_tonnage() {{
    local word=$words[CURRENT] before=$words[CURRENT-1] verb=$words[2]
    if (( CURRENT == 2 )); then
        local -a verbs=(
{verbs}
        )
        _describe 'verb' verbs
        return
    fi
    case $before in
{values}
        {files}) _files; return ;;
    esac
    if [[ $word == -* ]]; then
        case $verb in
{options}
        esac
        return
    fi
    case $verb in
        schema) compadd question answer ;;
        completion) compadd bash zsh fish ;;
        *) compadd -- ${{(f)"$(tonnage models --names 2>/dev/null)"}}; _files ;;
    esac
}}
compdef _tonnage tonnage"""


def zsh() -> str:
    """For zsh."""
    verbs = "\n".join(f"            {_quoted(v.name + ':' + v.help.replace(':', ','))}" for v in VERBS)
    cases = "\n".join(f"        {option}) compadd -- {' '.join(words)}; return ;;" for option, words in values().items())
    options = "\n".join(f"            {v.name}) compadd -- {' '.join(options_of(v))} ;;" for v in VERBS)
    return _ZSH.format(verbs=verbs, values=cases, files="|".join(_file_options()), options=options)


def fish() -> str:
    """For fish."""
    lines = ["# fish completion for tonnage: tonnage completion fish | source", "complete -c tonnage -f"]
    lines += [f"complete -c tonnage -n __fish_use_subcommand -a {v.name} -d {_quoted(v.help)}" for v in VERBS]
    asking = " ".join(v.name for v in VERBS if v.takes_question)
    seen = f"'__fish_seen_subcommand_from {asking}'"
    lines.append(f"complete -c tonnage -n {seen} -F -a '(tonnage models --names 2>/dev/null)'")
    known = values()
    for option, (name, alone) in OPTIONS.items():
        if option.startswith("--"):
            takes = "" if alone is not None else f" -r -a {_quoted(' '.join(known[option]))}" if option in known else " -r"
            lines.append(f"complete -c tonnage -n {seen} -l {option[2:]}{takes} -d {_quoted(KEYS[name].help)}")
    for verb in VERBS:
        for option_row in verb.options:
            for spelling in (s for s in option_row.spellings if s.startswith("--")):
                takes = "" if option_row.alone else f" -r -a {_quoted(' '.join(option_row.choices))}"
                within = f"'__fish_seen_subcommand_from {verb.name}'"
                lines.append(f"complete -c tonnage -n {within} -l {spelling[2:]}{takes} -d {_quoted(option_row.help)}")
    lines.append("complete -c tonnage -n '__fish_seen_subcommand_from schema' -a 'question answer'")
    lines.append("complete -c tonnage -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


SHELLS: Mapping[str, Callable[[], str]] = {"bash": bash, "zsh": zsh, "fish": fish}
