"""What an auditor's own language model costs, and the meter that refuses a call before it could cost too much."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from assay._util.yaml_models import Data, load_yaml
from assay.errors import BudgetExceeded, InvalidInput, PluginError

_MILLION = 1_000_000


class Price(Data):
    """What a model costs, as the person who pays for it says. None is built in: prices change, and are no fact here.

    Attributes:
        read: of a million tokens read.
        written: of a million tokens written.
    """

    read: float
    written: float

    def of(self, read: int, written: int) -> float:
        """Computes what so many tokens cost."""
        return (read * self.read + written * self.written) / _MILLION


def parse_price(text: str, model: str) -> Price:
    """Reads a price: `READ,WRITTEN` for a million tokens each, or a YAML file of `model: {read: …, written: …}`.

    Raises:
        InvalidInput: neither, negative, or a file that does not have the model.
    """
    if text.endswith((".yaml", ".yml")):
        table: dict[str, Price] = load_yaml(Path(text), PriceTable).models
        if model not in table:
            raise InvalidInput(f"{text}: no price of {model!r}. It has: {', '.join(sorted(table)) or 'none'}.")
        price: Price = table[model]
    else:
        try:
            read, written = map(float, text.split(","))
        except ValueError:
            raise InvalidInput(
                f"price {text!r}: give READ,WRITTEN, the price of a million tokens each (2.5,10), or a YAML file."
            ) from None
        price = Price(read=read, written=written)
    if not (0 <= price.read < float("inf") and 0 <= price.written < float("inf")):
        raise InvalidInput(f"price {text!r}: {price.read:g} and {price.written:g} must be 0 or more.")
    return price


class PriceTable(Data):
    """A file of prices.

    Attributes:
        models: name as Inspect knows it → its price.
    """

    models: dict[str, Price]


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What an audit spent on its auditor's language model.

    Attributes:
        model: its name; "" where there is none.
        reported: what the provider says answered, a dated version for one.
        calls: that were answered.
        input_tokens: read, what was read before included.
        output_tokens: written, thoughts included.
        money: what that cost by the given price; None without one.
        failed: calls that were not answered, retries included.
    """

    model: str = ""
    reported: str = ""
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    money: float | None = None
    failed: int = 0

    @property
    def tokens(self) -> int:
        """Returns the tokens read and written."""
        return self.input_tokens + self.output_tokens


@dataclass(eq=False, slots=True)
class HeldCall:
    """A call that is under way, with what is held for it."""

    tokens: int
    money: float


class LanguageModel(Protocol):
    """A language model that an auditor thinks with; every call of it is metered, and refused beyond the budget.

    Attributes:
        name: as Inspect knows it.
    """

    @property
    def name(self) -> str: ...

    @property
    def inspect(self) -> Any:
        """Returns it as Inspect's `Model`, which any agent of Inspect's takes."""
        ...

    @property
    def tokens_left(self) -> int:
        """Returns how many tokens it may still read and write, with what money is left."""
        ...

    def shared(self, tokens: int, money: float | None) -> AbstractContextManager[LanguageModel]:
        """Lends it to a part of the audit, which may spend so much and no more."""
        ...


@dataclass(slots=True)
class ModelMeter:
    """Counts what a language model reads and writes, and refuses a call that might not fit, before it is made.

    A call is held at its worst, all that is read and the longest reply, until it has been answered. So calls made at
    the same time cannot pass together where one alone would not. A call that fails costs nothing.

    Attributes:
        tokens: that may be read and written.
        money: that may be spent; None for no limit.
        price: None where none is given.
        parent: of a part of an audit, the meter of the whole.
        model, reported: as in `ModelUse`.
        refused: more was asked for than there was.
        fault: of the call that was answered last, None if it was answered well.
    """

    tokens: int
    money: float | None = None
    price: Price | None = None
    parent: ModelMeter | None = None
    model: str = ""
    reported: str = ""
    calls: int = 0
    read: int = 0
    written: int = 0
    failed: int = 0
    refused: bool = False
    fault: BaseException | None = None
    closed: bool = False
    _held: dict[HeldCall, None] = field(default_factory=dict)

    @contextmanager
    def call(self, read: int, written: int) -> Iterator[HeldCall]:
        """Holds a call's worst case while the block runs.

        Args:
            read: tokens of all that is sent.
            written: the longest reply.

        Raises:
            BudgetExceeded: it does not fit; nothing is held.
            PluginError: the audit has ended.
        """
        if self.closed:
            raise PluginError("a language model is asked after its audit has ended. Await all that is begun.")
        if read + written > self.tokens_left:
            self.refused = True
            raise BudgetExceeded(
                f"budget used up: {self.spent.tokens:,} of {self.tokens:,} auditor tokens"
                + (f", {self.spent.money:.4g} of {self.money:g} money" if self._limited else "")
                + f"; this may take {read + written:,} tokens"
            )
        held = HeldCall(read + written, self.price.of(read, written) if self.price else 0.0)
        meters = [self, *self._parents]
        for meter in meters:
            meter._held[held] = None
        try:
            yield held
        except BaseException as error:
            self.fault = error
            for meter in meters:
                meter.failed += 1
            raise
        finally:
            for meter in meters:
                meter._held.pop(held, None)

    def settle(self, read: int, written: int, reported: str) -> None:
        """Charges what a call cost."""
        for meter in (self, *self._parents):
            meter.calls += 1
            meter.read += max(0, read)
            meter.written += max(0, written)
            meter.reported = reported or meter.reported
            meter.fault = None

    def part(self, tokens: int, money: float | None) -> ModelMeter:
        """Makes the meter of a part of the audit, which is charged to the whole too."""
        return ModelMeter(tokens, money, self.price, self, self.model)

    @property
    def tokens_left(self) -> int:
        """Returns what may still be asked for, in this part and in the whole, with what is in flight held."""
        left = self.tokens - self.read - self.written - sum(held.tokens for held in self._held)
        if self._limited:
            assert self.price is not None and self.money is not None
            dearest = max(self.price.read, self.price.written)
            spare = self.money - self.price.of(self.read, self.written) - sum(held.money for held in self._held)
            left = min(left, int(spare * _MILLION / dearest)) if dearest else left
        return max(0, min([left, *([self.parent.tokens_left] if self.parent else [])]))

    @property
    def spent(self) -> ModelUse:
        """Returns what has been spent so far."""
        money = self.price.of(self.read, self.written) if self.price else None
        return ModelUse(self.model, self.reported, self.calls, self.read, self.written, money, self.failed)

    @property
    def exceeded(self) -> bool:
        """Returns whether more was spent than there was, or asked for and refused."""
        spent = self.spent
        dear = self._limited and self.money is not None and (spent.money or 0.0) > self.money
        return self.refused or spent.tokens > self.tokens or dear

    @property
    def _limited(self) -> bool:
        return self.price is not None and self.money is not None

    @property
    def _parents(self) -> list[ModelMeter]:
        return [self.parent, *self.parent._parents] if self.parent else []


def require_price(money: float | None, price: Price | None) -> None:
    """Refuses a limit on money where nothing says what a token costs.

    Raises:
        InvalidInput: there is a limit and no price.
    """
    if money is not None and price is None:
        raise InvalidInput("the budget limits money, and the model has no price. Give it with --price READ,WRITTEN.")
