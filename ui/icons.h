// The icons of the window: one set, 1.5 px strokes on a 16 px grid, drawn so that they are sharp at every scale.
#pragma once

#include <QColor>
#include <QIcon>

namespace lectern::ui {

enum class Glyph { sidebar, back, forward, minus, plus, find, close, up, down, document, folder, stop, more, pin };

/// Drawn in `colour`; disabled: paler.
QIcon icon(Glyph glyph, const QColor& colour);

}  // namespace lectern::ui
