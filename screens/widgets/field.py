"""A field of a form: label, control, and its problem. It edits one attribute of the draft."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, ScrollableContainer, Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Label, OptionList, RadioSet, Select, Static

from screens.widgets.glyphs import glyph
from screens.widgets.toggles import Dot
from screens.widgets.words import entry

LEAST_LIST = 5
"""Lines below a menu's line that are enough for its list."""
LONGEST_LIST = 12


class Characters(NamedTuple):
    """What can be typed: a regular expression, and what to say of everything else."""

    pattern: str
    words: str


@dataclass(frozen=True)
class FieldText:
    """The texts of a field. `hint` is the consequence of the value, not its definition; `example` is the
    placeholder; `allowed` is what can be typed at all."""

    label: str
    hint: str
    help: str
    example: str = ""
    allowed: Characters | None = None
    longest: int = 255


class Field(Vertical):
    """A widget for one value of the draft. `width` is the control's width in cells; 0 takes all the space and leaves
    none for a note.

    `key` is the problem key it answers for, as in `validate`.

    Subclasses compose a control in `control()`, and call `edit` when the value changes.
    """

    DEFAULT_CSS = """
    Field { height: auto; width: 1fr; }
    Field > .field-row { height: auto; width: 1fr; }
    Field > .field-row > .field-label { width: 14; color: $text-muted; }
    Field.-focused > .field-row > .field-label { color: $foreground; text-style: bold; }
    Field > .field-row > .field-note { width: 1fr; height: auto; padding-left: 2; color: $text-muted; }
    Field > .field-problem { display: none; height: auto; width: 1fr; padding-left: 14; color: $text-error; }
    Field.-refused > .field-problem { display: block; color: $text-warning; }
    Field.-problem > .field-problem { display: block; color: $text-error; }
    Field.-problem > .field-row > .field-label { color: $text-error; }
    Field.-warn > .field-row > .field-note { color: $text-warning; }
    Field.-good > .field-row > .field-note { color: $text-success; }
    """

    class Said(Message):
        """Base class of the field's messages."""

        def __init__(self, field: Field) -> None:
            super().__init__()
            self.field = field

        @property
        def control(self) -> Field:
            return self.field

    class Changed(Said):
        """The operator changed the value; the draft already holds it."""

    class Left(Said):
        """The focus left the field."""

    class Entered(Said):
        """Enter was pressed in a control that is no text input."""

        @property
        def control_widget(self) -> Widget:
            return self.field.control_widget

    def __init__(self, text: FieldText, key: str, target: object, attribute: str, *, width: int = 26) -> None:
        super().__init__()
        self.text = text
        self.key = key
        self.hint = text.hint
        self.help_text = text.help
        self.help_title = text.label
        self.edited = False
        self._target = target
        self._attribute = attribute
        self._width = width
        self._problem = ""
        self._refused = ""

    @property
    def edits(self) -> tuple[object, str]:
        """What it edits, and which attribute of it."""
        return self._target, self._attribute

    @property
    def value(self) -> str:
        """The value in the draft, as text."""
        value = getattr(self._target, self._attribute)
        return "" if value is None else str(value)

    @property
    def problem(self) -> str:
        """The problem that is shown; empty: none."""
        return self._problem

    @property
    def control_widget(self) -> Widget:
        """The widget that gets the focus."""
        return self.query_one(".field-control")

    def control(self) -> Widget:
        """Builds the control with the draft's value."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        with Horizontal(classes="field-row"):
            yield Label(self.text.label, markup=False, classes="field-label")
            control = self.control()
            control.add_class("field-control")
            control.styles.width = self._width or "1fr"
            if self._width and isinstance(control, Input):
                control.styles.max_width = "40%"  # on few columns the note needs the room
            yield control
            if self._width:
                yield Static("", markup=False, classes="field-note")
        yield Static("", markup=False, classes="field-problem")

    def edit(self, value: str) -> None:
        """Puts a value typed or chosen by the operator into the draft."""
        if value == self.value:
            return
        self.keep(value)
        self.edited = True
        self.post_message(self.Changed(self))

    def keep(self, value: str) -> None:
        """Writes it there as the draft holds it."""
        setattr(self._target, self._attribute, value)

    def complain(self, problem: str) -> None:
        """Shows a problem and what to write instead; empty: no problem."""
        if problem == self._problem:
            return
        self._problem = problem
        self._tell()

    def refuse(self, why: str) -> None:
        """Says why what was typed did not go into the field, until it is left; empty: nothing was refused."""
        if why != self._refused:
            self._refused = why
            self._tell()

    def _tell(self) -> None:
        self.set_class(bool(self._problem), "-problem")
        self.set_class(bool(self._refused), "-refused")
        said = [f"{glyph('problem')} {self._problem}"] if self._problem else []
        said += [f"{glyph('warn')} {self._refused}"] if self._refused else []
        self.query_one(".field-problem", Static).update("\n".join(said))

    def note(self, text: str | Content, *, good: bool = False, warn: bool = False) -> None:
        """Shows the result of a background check beside the control."""
        self.set_class(good, "-good")
        self.set_class(warn, "-warn")
        self.query_one(".field-note", Static).update(text)

    def take_focus(self) -> None:
        self.control_widget.focus()

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.add_class("-focused")

    def on_descendant_blur(self, event: events.DescendantBlur) -> None:
        self.remove_class("-focused")
        self.refuse("")
        self.post_message(self.Left(self))


class TypedLine(Input):
    """A line of text that says why it does not take something."""

    class Refused(Message):
        """What was typed or pasted did not go in."""

    def insert_text_at_cursor(self, text: str) -> None:
        """Blanks around what is pasted come from where it was copied; a blank that is typed is told of."""
        super().insert_text_at_cursor(text.strip() or text)

    def restricted(self) -> None:
        self.post_message(self.Refused())


class TextField(Field):
    """A text field of one line."""

    def control(self) -> TypedLine:
        allowed = self.text.allowed
        return TypedLine(
            self.value,
            placeholder=f"e.g. {self.text.example}" if self.text.example else "",
            restrict=allowed.pattern if allowed else None,
            max_length=self.text.longest,
            compact=True,
            select_on_focus=False,
        )

    @on(TypedLine.Refused)
    def turned_away(self, event: TypedLine.Refused) -> None:
        event.stop()
        full = len(self.value) >= self.text.longest
        words = self.text.allowed.words if self.text.allowed and not full else ""
        self.refuse(words or f"At most {self.text.longest} characters fit here.")

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        event.stop()
        self.edit(event.value)

    def put(self, value: str) -> None:
        """Sets the value as if it were typed."""
        self.query_one(Input).value = value


class Menu(Select[str]):
    """A drop-down list. Enter goes to the next field, as in every other field; space and arrows open it."""

    BINDINGS = [
        Binding(
            "down,space,up", "show_overlay", "Choose", id="menu.open", tooltip="Open the list", key_display="space"
        ),
        Binding("enter", "enter", "Next field", id="menu.next", tooltip="Go to the next field", show=False),
    ]
    _inherit_bindings = False

    class Entered(Message):
        """Enter was pressed while the list was closed."""

    DEFAULT_CSS = """
    Menu > SelectCurrent { height: 1; }
    Menu > SelectCurrent > Static#label { text-wrap: nowrap; text-overflow: ellipsis; }
    Menu > SelectOverlay { text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def action_enter(self) -> None:
        self.post_message(self.Entered())

    def on_mount(self) -> None:
        # The pane may scroll or change its height while the list is open: where the list goes is decided again.
        self.screen.screen_layout_refresh_signal.subscribe(self, lambda _: self._place())

    def watch_expanded(self, expanded: bool) -> None:
        self._place()

    def _place(self) -> None:
        """The list stays within the pane, so that the frame, the hint and the keys are not painted over: below the
        line, or above it where there is more room."""
        inside = next((one for one in self.ancestors if isinstance(one, ScrollableContainer)), None)
        if not self.expanded or inside is None:
            return
        overlay = self.query_one("SelectOverlay", OptionList)
        # The key bar may take a line more when the list opens.
        below = inside.content_region.bottom - self.region.bottom - 1
        above = self.region.y - inside.content_region.y
        if below >= min(LEAST_LIST, overlay.option_count) or below >= above:
            overlay.styles.max_height, overlay.styles.offset = max(min(below, LONGEST_LIST), 1), (0, 0)
        else:
            height = min(above, LONGEST_LIST, overlay.option_count)
            overlay.styles.max_height, overlay.styles.offset = height, (0, -height - 1)


class ChoiceField(Field):
    """A field with a drop-down list of values. `options` are (shown, value)."""

    DEFAULT_CSS = """
    ChoiceField Menu { height: 1; }
    """

    def __init__(
        self,
        text: FieldText,
        key: str,
        target: object,
        attribute: str,
        options: Sequence[tuple[str, str]],
        *,
        width: int = 26,
    ) -> None:
        super().__init__(text, key, target, attribute, width=width)
        self._options = list(options)

    def control(self) -> Menu:
        return Menu(self._entries(), value=self.value, allow_blank=False, compact=True)

    def offer(self, options: Sequence[tuple[str, str]]) -> None:
        """Replaces the options. The value stays, even if it is not among them."""
        self._options = list(options)
        menu = self.query_one(Menu)
        with menu.prevent(Select.Changed):
            menu.set_options(self._entries())
            menu.value = self.value
        # A select whose value stays the same keeps the words it had.
        shown = next(label for label, value in self._entries() if value == self.value)
        menu.query_one("SelectCurrent #label", Static).update(shown)

    def _entries(self) -> list[tuple[Text, str]]:
        return [(entry(label), value) for label, value in self._with_value()]

    def _with_value(self) -> list[tuple[str, str]]:
        """The options plus the draft's value, so that a new list never changes what was entered."""
        options = self._options
        if self.value not in {value for _, value in options}:
            shown = self.value or self.text.example
            options = [(shown, self.value), *options]
        return options

    @on(Select.Changed)
    def chosen(self, event: Select.Changed) -> None:
        event.stop()
        if isinstance(event.value, str):
            self.edit(event.value)

    @on(Menu.Entered)
    def entered(self, event: Menu.Entered) -> None:
        event.stop()
        self.post_message(self.Entered(self))


class Radio(RadioSet):
    """Radio buttons. Enter goes to the next field; arrows move, space selects."""

    BINDINGS = [
        Binding("up,left", "previous_button", "Previous", id="radio.previous", tooltip="Previous choice", show=False),
        Binding("down,right", "next_button", "Next", id="radio.next", tooltip="Next choice", show=False),
        Binding("space", "toggle_button", "Choose", id="radio.choose", tooltip="Select the choice under the cursor"),
        Binding("enter", "enter", "Next field", id="radio.enter", tooltip="Go to the next field", show=False),
    ]
    _inherit_bindings = False

    class Entered(Message):
        """Enter was pressed."""

    def action_enter(self) -> None:
        self.post_message(self.Entered())


class RadioField(Field):
    """A field with radio buttons for two or three values. `options` are (shown, value)."""

    DEFAULT_CSS = """
    RadioField Radio { border: none; padding: 0; background: transparent; height: auto; }
    RadioField > .field-row > .field-note { display: none; }
    """

    def __init__(
        self,
        text: FieldText,
        key: str,
        target: object,
        attribute: str,
        options: Sequence[tuple[str, str]],
        *,
        width: int = 0,
    ) -> None:
        super().__init__(text, key, target, attribute, width=width)
        self._options = list(options)

    def control(self) -> Radio:
        return Radio(*(Dot(shown, value=value == self.value) for shown, value in self._options), compact=True)

    @on(RadioSet.Changed)
    def chosen(self, event: RadioSet.Changed) -> None:
        event.stop()
        self.edit(self._options[event.index][1])

    @on(Radio.Entered)
    def entered(self, event: Radio.Entered) -> None:
        event.stop()
        self.post_message(self.Entered(self))


class YesNoField(RadioField):
    """A field for a question with two answers, as they are shown; the draft holds true or false."""

    def __init__(self, text: FieldText, key: str, target: object, attribute: str, *, yes: str, no: str) -> None:
        super().__init__(text, key, target, attribute, [(yes, "True"), (no, "False")])

    def keep(self, value: str) -> None:
        setattr(self._target, self._attribute, value == "True")

    def show(self) -> None:
        """Shows what the draft holds, after somebody else changed it."""
        dot = self.query(Dot)[0 if getattr(self._target, self._attribute) else 1]
        dot.value = True
