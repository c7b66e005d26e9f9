// Pictures of pages for the window: rendered by lectern-reader processes on a thread of their own.
#pragma once

#include <QObject>
#include <QString>
#include <memory>

#include "app/workspace.h"

namespace lectern::app {

/// Belongs to the GUI thread; nothing waits. The signals are those of Workspace.
class PageHost : public QObject {
  Q_OBJECT
 public:
  explicit PageHost(QObject* parent = nullptr);
  ~PageHost() override;  // gives up what is being rendered

  /// What was asked for last is rendered first. A request replaces the waiting one of the same purpose. The file must
  /// still hold what the fingerprint says.
  void request(const QString& fingerprint, const QString& path, int page, double dpi, const QString& purpose);
  /// Of an encrypted document, for as long as the program runs; never stored.
  void set_password(const QString& path, const QString& password);
  /// Closes its process, so that the file can be changed or taken away.
  void forget(const QString& fingerprint);

 Q_SIGNALS:
  void page_rendered(const QString& fingerprint, int page, double dpi, const QString& purpose,
                     const lectern::app::PagePicture& picture);
  void page_failed(const QString& fingerprint, int page, const QString& purpose, const QString& problem);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lectern::app
