"""The key bar: the keys that work now, on one line, or on two when they do not fit."""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget


@runtime_checkable
class NamesKeys(Protocol):
    """A screen that changes the labels of some keys with its state."""

    def key_label(self, binding: Binding) -> str | None:
        """The label of this key now; None: the binding's own; empty: not shown."""
        ...


class ShownKey(NamedTuple):
    """One key of the bar: as displayed, its label, whether it works now, its name for Textual."""

    display: str
    label: str
    enabled: bool
    key: str

    @property
    def width(self) -> int:
        return len(self.display) + len(self.label) + 3


class KeyBar(Widget):
    """The key bar. Shows the active bindings with `show=True`: first those of the focused widget, then those of the
    screen and the app. A click acts like the key."""

    DEFAULT_CSS = """
    KeyBar { dock: bottom; height: 1; width: 1fr; padding: 0 1; background: $footer-background;
             color: $footer-foreground; }
    """

    _lines: reactive[tuple[tuple[ShownKey, ...], ...]] = reactive(())
    _behind = reactive(False)
    """Whether a dialog is over this screen: its keys do nothing now."""

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)
        self.app.screen_change_signal.subscribe(self, self._screen_changed)
        self.show_keys()

    def on_resize(self) -> None:
        self.show_keys()

    def _bindings_changed(self, screen: Screen[object]) -> None:
        if self.is_attached and screen is self.screen:
            self.show_keys()

    def _screen_changed(self, screen: Screen[object]) -> None:
        if self.is_attached:
            self._behind = screen is not self.screen

    def show_keys(self) -> None:
        """Reads the active bindings again."""
        own: list[ShownKey] = []
        common: list[ShownKey] = []
        seen: set[str] = set()
        for node, binding, enabled, _ in self.screen.active_bindings.values():
            if not binding.show or binding.action in seen:
                continue
            seen.add(binding.action)
            label: str | None = None
            if isinstance(self.screen, NamesKeys):
                label = self.screen.key_label(binding)
            label = binding.description if label is None else label
            if label:
                where = common if node is self.screen or node is self.app else own
                where.append(ShownKey(self.app.get_key_display(binding), label, enabled, binding.key))
        width = max(self.app.size.width - 2, 10)
        if _width(own) + 2 + _width(common) <= width or not own:
            self._lines = (tuple(own + common),)
            return
        fitting = len(own)
        while fitting > 1 and _width(own[:fitting]) > width + 2:  # two blanks stand behind the last word
            fitting -= 1
        self._lines = (tuple(own[:fitting]), tuple(own[fitting:] + common))

    def watch__lines(self) -> None:
        # Not `height: auto`: Textual keeps the height it worked out when another layout is under way (8.2.8).
        self.styles.height = max(1, len(self._lines))

    def render(self) -> Content:
        if self._behind:
            return Content("")
        lines, room = [], max(self.content_size.width, 1)
        for line in self._lines:
            parts: list[Content] = []
            for key, label, enabled, _ in line:
                parts.append(Content.styled(key, "bold $footer-key-foreground" if enabled else "dim"))
                parts.append(Content.styled(f" {label}  ", "" if enabled else "dim"))
            whole = Content.assemble(*parts)
            if whole.cell_length > room:
                whole = whole.rstrip().truncate(room, ellipsis=True)
            lines.append(whole)
        return Content("\n").join(lines)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if self._behind or offset is None or offset.y >= len(self._lines):
            return
        start = 0
        for shown in self._lines[offset.y]:
            if start <= offset.x < start + shown.width:
                if shown.enabled:
                    self.app.simulate_key(shown.key)
                return
            start += shown.width


def _width(keys: list[ShownKey]) -> int:
    return sum(shown.width for shown in keys)
