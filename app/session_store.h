// Sessions: ordered documents and a tree of messages. The state of the model is not here: it is a cache.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/database.h"
#include "app/records.h"

namespace lectern::app {

/// Works on one connection; writing functions need a read_write one.
class SessionStore {
 public:
  explicit SessionStore(Database& database) : database_(database) {}

  std::int64_t create(const std::string& name);
  std::vector<SessionRow> list(
      const std::string& search = {}) const;  // newest change first; search over names and messages
  /// By number, by the given name, or by its first question.
  std::optional<SessionRow> find(const std::string& id_or_name) const;
  std::optional<SessionRow> find(std::int64_t session) const;
  void rename(std::int64_t session, const std::string& name);
  void pin(std::int64_t session, bool pinned);
  void remove(std::int64_t session);

  std::vector<std::string> documents(std::int64_t session) const;  // fingerprints, in order
  void set_documents(std::int64_t session, const std::vector<std::string>& fingerprints);

  /// Saves a new message and makes its branch the one that is shown; returns its id.
  std::int64_t add_message(const Message& message);
  /// A partial answer: text so far (called at least every second while it streams). One that another process took for
  /// interrupted (mark_interrupted) becomes partial again.
  void save_partial(std::int64_t message, const std::string& text);
  /// The finished message: text, state, token ids, citations, report.
  void finish_message(const Message& message);
  std::optional<Message> message(std::int64_t id) const;
  std::vector<Message> branch(std::int64_t session) const;        // from the first message to the shown end
  std::vector<Message> all_messages(std::int64_t session) const;  // every branch, by id
  /// The newest first, at most `limit`: of answers that a model finished.
  std::vector<AnswerReport> newest_reports(int limit) const;
  void show_branch(std::int64_t session, std::int64_t last_message);
  std::vector<std::int64_t> first_questions(std::int64_t session) const;  // one for each conversation beside the others
  std::int64_t newest_after(std::int64_t message) const;                  // of all that follow it, or itself
  /// Answers left `partial` by a process that died become `stopped`. Call once when the program starts as the only
  /// writer of that session.
  int mark_interrupted(std::int64_t session);

  std::string remembered(std::int64_t session, const std::string& key) const;
  void remember(std::int64_t session, const std::string& key, const std::string& value);

 private:
  Database& database_;
};

}  // namespace lectern::app
