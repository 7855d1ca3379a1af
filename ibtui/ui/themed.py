"""An app with our themes: the one that fits the terminal first, the others once there is time."""

from __future__ import annotations

from textual.app import App

from ibtui import paths
from ibtui.ui import themes


class ThemedApp(App[int]):
    """Theme handling apart from everything else an app does."""

    _theme_trouble = ""

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own variables, for themes without them."""
        return themes.variables(self.current_theme)

    def choose_theme(self, wanted: str) -> None:
        """Before the first frame: one file is read, and a broken one is told later."""
        wanted = themes.fitting(wanted, self.console.color_system, no_color=self.no_color)
        if wanted not in self.available_themes:
            file = themes.find(wanted, paths.config_dir())
            try:
                if file is None:
                    raise ValueError(f"There is no theme {wanted!r}; ibtui-dark is used.")
                self.register_theme(themes.load(file))
            except ValueError as error:
                self._theme_trouble = str(error)
                wanted = themes.DEFAULT
                fallback = themes.find(wanted, paths.config_dir())
                if fallback is None or fallback == file:
                    wanted = "textual-dark"
                else:
                    self.register_theme(themes.load(fallback))
        self._begin_with(wanted)

    def _begin_with(self, name: str) -> None:
        """What setting `theme` does, without reading every style sheet twice more: none was read yet."""
        self.set_reactive(App.theme, name)
        theme = self.current_theme
        self.update_classes(
            {f"-theme-{name}": True, "-dark-mode": theme.dark, "-light-mode": not theme.dark}, update=False
        )
        self._refresh_truecolor_filter(self.ansi_theme)
        self.stylesheet.set_variables(self.get_css_variables())

    def load_themes(self) -> None:
        """After the first frame: the other themes, for the palette, and what was wrong with the first."""
        for found in themes.load_all(paths.config_dir()):
            if isinstance(found, ValueError):
                self.notify(str(found), severity="warning", markup=False)
            elif found.name != self.theme:
                self.register_theme(found)
        if self._theme_trouble and "Theme file" not in self._theme_trouble:
            self.notify(self._theme_trouble, severity="warning", markup=False)
