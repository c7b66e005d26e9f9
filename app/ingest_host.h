// Reading for the window: calls in, queued signals out.
#pragma once

#include <QObject>
#include <QString>
#include <QStringList>
#include <memory>
#include <vector>

#include "app/database_writer.h"
#include "app/records.h"

namespace lectern::app {

/// Belongs to the GUI thread; nothing waits. The writer must outlive it.
class IngestHost : public QObject {
  Q_OBJECT
 public:
  explicit IngestHost(DatabaseWriter& writer, QObject* parent = nullptr);
  ~IngestHost() override;  // stops reading; what was read is kept

  /// Files and folders, read after those asked for before. The password is used for them alone and is never stored.
  void add(const QStringList& paths, const QString& password = {});
  /// Forgets a failed row, or stops reading this file (of a folder: all of the folder).
  void dismiss(const QString& path);
  bool is_busy() const;
  /// What is being read, waits, or failed; what is ready stands in the library.
  std::vector<DocumentRow> rows() const;

 Q_SIGNALS:
  /// rows() or the library changed; several times a second while reading.
  void changed();
  void failed(const QString& path, const QString& problem, bool password_needed);
  void finished(const QString& path, const QString& fingerprint);
  /// "folder x: skipped 12 binary files"
  void noted(const QString& note);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lectern::app
