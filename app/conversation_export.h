// A session as a file for other people and programs, with its citations.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "app/database.h"
#include "app/records.h"

namespace lectern::app {

enum class ExportFormat { markdown, html, json };
/// "md", "html" or "json"; empty for anything else.
std::optional<ExportFormat> export_format(std::string_view name);

/// What an export is made from.
struct Conversation {
  SessionRow session;
  std::vector<DocumentRow>
      documents;  // in the order of the session; one that left the library has only its fingerprint
  std::vector<Message> messages;
};

/// The shown branch, or every message. Empty if there is no such session.
std::optional<Conversation> load_conversation(Database& database, std::int64_t session, bool all_branches);

/// UTF-8. HTML stands alone: no script, no link, nothing from the documents or the model is markup in it.
std::string export_conversation(const Conversation& conversation, ExportFormat format);

/// `sessions show --json`: the messages in order, [{id, parent, role, text, state, citations}].
std::string sessions_json(const std::vector<Message>& messages);

}  // namespace lectern::app
