// The language of the interface.
#pragma once

#include <QString>

namespace lectern::ui {

/// "en", "zh_CN", or empty for the system's. Call once, before widgets are made. Returns the language that was
/// installed.
QString install_language(const QString& language);

}  // namespace lectern::ui
