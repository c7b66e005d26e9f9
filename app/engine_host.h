// The model and its answers for the window: calls in, queued signals out.
#pragma once

#include <QObject>
#include <QString>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "app/answer_service.h"
#include "app/database_writer.h"
#include "app/records.h"
#include "app/workspace.h"
#include "inference/engine.h"

namespace lectern::app {

/// Opens a model file; may take seconds; throws lectern::Error.
using EngineOpener = std::function<std::shared_ptr<inference::Engine>(const std::string& file)>;

/// Belongs to the GUI thread; nothing waits. The writer must outlive it. Questions are answered one at a time, in
/// order. While there are none, the documents that measure() was last called with are read ahead.
class EngineHost : public QObject {
  Q_OBJECT
 public:
  EngineHost(DatabaseWriter& writer, EngineOpener opener, QObject* parent = nullptr);
  ~EngineHost() override;  // stops what runs; what was written is kept

  /// Opens this model in place of the one that is open, after the answer that is being written.
  void open(const std::string& file);
  /// No model can be opened: `problem` says why and what to do.
  void fail(const QString& problem);
  EngineState engine() const;

  /// As AnswerService::ask.
  void ask(std::int64_t session, const QString& question, std::int64_t parent, const AskOptions& options);
  void regenerate(std::int64_t session, std::int64_t answer, const AskOptions& options);
  /// All requests of the session, those that wait too; without any: reading ahead for it, until measure() is called
  /// with other documents or another session, or a model is opened.
  void stop(std::int64_t session);
  bool is_busy(std::int64_t session) const;
  /// `room`: tokens that the answer needs. context_measured follows.
  void measure(std::int64_t session, const std::vector<std::string>& fingerprints, std::int64_t room);
  /// documents_priced follows.
  void price(std::int64_t session, const std::vector<std::string>& from, const std::vector<std::string>& to);
  /// On at first.
  void set_read_ahead(bool on);
  /// Forgets what was computed with these segments (Segment::id), as Engine::forget_document; nothing without a model.
  void forget(const std::vector<std::string>& ids);

 Q_SIGNALS:
  void engine_changed();
  void answer_started(std::int64_t session, std::int64_t question, std::int64_t answer);
  void reading_progress(std::int64_t session, std::int64_t read, std::int64_t total, double seconds_left);
  void answer_text(std::int64_t session, std::int64_t answer, const QString& text);
  /// Also for a question that could not be asked (no model): then the message has no id and says why.
  void answer_finished(std::int64_t session, const lectern::app::Message& answer);
  void context_measured(std::int64_t session, const lectern::app::ContextUse& use);
  void reading_ahead(std::int64_t session, const lectern::app::ReadingAhead& reading);
  void documents_priced(std::int64_t session, const std::vector<std::string>& to,
                        const lectern::app::DocumentsPrice& price);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lectern::app
