// Pictures of the window's states, taken from the real window while it really works.
#pragma once

#include <QString>
#include <QStringList>

#include "app/workspace.h"

namespace lectern::ui {

struct ScreenshotOptions {
  QString folder;            // where the pictures go
  QStringList sample_paths;  // the document that is read
  QString question;          // asked of it
  QString damaged_file;      // a file that cannot be read, for the error
  int width = 1440, height = 900;
};

/// Plays the story empty, reading, answering, answered, a citation opened, error; in light and dark, and once in
/// Chinese. The workspace must have an empty library and no model open. Runs its own event loop: call it from main.
/// Returns the names of the pictures, and in `problem` one sentence if a state could not be reached (no model, for
/// example).
QStringList take_screenshots(app::Workspace& workspace, const ScreenshotOptions& options, QString& problem);

}  // namespace lectern::ui
