// The colours of Lectern, light and dark, and what follows from them: palette, style sheet, fonts.
#pragma once

#include <QColor>
#include <QFont>
#include <QString>

namespace lectern::ui {

enum class ThemeChoice { system, light, dark };

/// "system", "light" or "dark"; anything else is `system`.
ThemeChoice theme_choice(const QString& name);
QString name(ThemeChoice choice);

struct Theme {
  bool dark = false;
  QColor window, field, desk, page, hairline;
  QColor text, secondary, hint;
  QColor accent, accent_tint, on_accent;
  QColor cited_fill, cited_line;
  QColor verified, verified_fill;
  QColor elsewhere, elsewhere_fill;
  QColor absent, absent_fill;
  QColor hover;

  static const Theme& light();
  static const Theme& dark_theme();
  /// The theme that the application's palette was made from.
  static const Theme& current();
};

/// Sets style, palette, font and style sheet of the application. `system` looks at the palette the desktop gave, so
/// call it first before anything else has changed the palette.
void apply_theme(ThemeChoice choice);

/// The interface font, `pixels` high; figures in tabular numerals where the font has them.
QFont interface_font(int pixels, QFont::Weight weight = QFont::Normal);
QFont code_font(int pixels);

}  // namespace lectern::ui
