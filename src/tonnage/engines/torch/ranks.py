"""How many ranks share a model, and how: tensor, pipeline, data and expert parallelism."""

from tonnage.errors import QuestionError
from tonnage.frozen import dataclass
from tonnage.hardware.devices import find_all
from tonnage.question import Question

ALL = -1


@dataclass(frozen=True, slots=True)
class Ranks:
    """`tp` ranks share each layer, `pp` groups of them share the layers out, `dp` replicas serve side by side."""

    tp: int = 1
    pp: int = 1
    dp: int = 1
    ep: bool = False
    """experts are shared out whole among the tp x dp ranks of a stage"""

    @property
    def experts(self) -> int:
        """Ranks that share the experts out whole; 1 where they are cut as all else."""
        return self.tp * self.dp if self.ep else 1

    @property
    def count(self) -> int:
        """Devices that are taken."""
        return self.tp * self.pp * self.dp


def ranks_of(question: Question) -> Ranks:
    """As asked; where it names several devices and no tensor parallelism, all of them share each layer.

    Raises QuestionError where more devices are needed than are named.
    """
    named = len(find_all(question.device or ()))
    pp, dp = question.pipeline_parallel or 1, question.data_parallel or 1
    tp = question.tensor_parallel or max(named // (pp * dp), 1)
    ranks = Ranks(tp, pp, dp, question.expert_parallel not in (None, 0, 1))
    if question.expert_parallel not in (None, 0, 1, ALL, tp * dp):
        raise QuestionError(f"expert_parallel={question.expert_parallel}: experts are shared among all {tp * dp} ranks of a stage, or not at all")
    if named and ranks.count > named:
        raise QuestionError(f"tensor_parallel={tp} x pipeline_parallel={pp} x data_parallel={dp} takes {ranks.count} devices, {named} are named")
    return ranks


def stages(layers: int, pp: int) -> tuple[range, ...]:
    """The layers of every stage: as even as can be, what is left over from the last stage but one backwards (get_pp_indices)."""
    if pp > layers:
        raise QuestionError(f"pipeline_parallel={pp}: the model has {layers} layers")
    share, rest = divmod(layers, pp)
    sizes = [share + (0 < pp - 1 - i <= rest) for i in range(pp)] if rest else [share] * pp
    starts = [sum(sizes[:i]) for i in range(pp)]
    return tuple(range(start, start + size) for start, size in zip(starts, sizes, strict=True))
