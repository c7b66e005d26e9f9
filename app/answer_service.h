// From a question to a saved, checked answer: prompt, engine, citations, coverage. Command line and window share it.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "app/database_writer.h"
#include "app/records.h"
#include "inference/engine.h"

namespace lectern::app {

/// GenerationRequest::conversation of a session; of session 0 that of none.
std::string conversation_of(std::int64_t session);

struct AskOptions {
  inference::SamplingOptions sampling;
  std::int64_t max_tokens = 512;
  double ingest_s = 0;  // for the report
};

/// Called on the thread that calls ask(), or on the engine's; return quickly.
struct AskObserver {
  std::function<void(std::int64_t question, std::int64_t answer)> started;
  std::function<void(std::int64_t read, std::int64_t total, double seconds_left)> reading;
  std::function<void(std::string_view text)> text;
};

/// As AskObserver, for the questions of a batch, by their places in it.
struct BatchObserver {
  std::function<void(std::size_t index, std::int64_t read, std::int64_t total, double seconds_left)> reading;
  std::function<void(std::size_t index, std::string_view text)> text;
  /// The answer is saved: complete, stopped or failed. Called on the thread that asks, in the order of the answers'
  /// ends; no more text of this question comes.
  std::function<void(std::size_t index, const Message& answer)> finished;
};

/// One thread at a time. Saves the question before it is asked, the partial answer at least every second, and the
/// finished answer with its citations. Throws lectern::Error or DatabaseError after having saved the message as failed.
class AnswerService {
 public:
  AnswerService(inference::Engine& engine, DatabaseWriter& writer);
  ~AnswerService();

  /// Asks after message `parent` (0: after the last message of the shown branch; below 0: as a first message beside the
  /// others).
  Message ask(std::int64_t session, const std::string& question, std::int64_t parent, const AskOptions& options,
              const AskObserver& observer, std::stop_token stop);
  /// Asks all of them as first messages beside each other, together: the engine reads the documents once and writes
  /// several answers at a time, each the same as if it were asked alone. All questions are saved before they are asked.
  /// Returns the answers in the order of the questions; one that fails says why in `problem` and does not stop the
  /// others. `options.ingest_s` goes with the first.
  std::vector<Message> ask_together(std::int64_t session, const std::vector<std::string>& questions,
                                    const AskOptions& options, const BatchObserver& observer, std::stop_token stop);
  /// Answers the question of `answer` again, as a branch beside it.
  Message regenerate(std::int64_t session, std::int64_t answer, const AskOptions& options, const AskObserver& observer,
                     std::stop_token stop);
  /// Reads the session's documents into the engine's context without asking (lectern-cli read).
  AnswerReport read(std::int64_t session, const AskObserver& observer, std::stop_token stop);
  /// The same with these documents, in this order, before or beside what the session has; session 0: for none.
  AnswerReport read(std::int64_t session, const std::vector<std::string>& fingerprints, const AskObserver& observer,
                    std::stop_token stop);

 private:
  struct LoadedDocument;
  struct Prepared;
  using Loaded = std::vector<std::shared_ptr<const LoadedDocument>>;
  Loaded load(std::int64_t session);
  Loaded load(std::int64_t session, const std::vector<std::string>& fingerprints);
  std::int64_t tokens_of(const LoadedDocument& document);
  Message answer(std::int64_t session, const Message& question, std::vector<Message> history, const AskOptions& options,
                 const AskObserver& observer, std::stop_token stop);
  Prepared prepare(const Message& question, std::vector<Message> history, const AskOptions& options);
  void save_failed(Message& answer, const std::string& problem);
  void prove(Message& answer, const Message& question, const Prepared& prepared, inference::GenerationResult result,
             double ingest_s);

  inference::Engine& engine_;
  DatabaseWriter& writer_;
  std::map<std::string, std::shared_ptr<const LoadedDocument>> loaded_;  // of the last session, by fingerprint
};

}  // namespace lectern::app
