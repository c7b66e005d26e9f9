// sessions list | show | search | export | delete
#include <nlohmann/json.hpp>
#include <ostream>

#include "app/answer_json.h"
#include "app/cli_commands.h"
#include "app/conversation_export.h"
#include "app/database_writer.h"
#include "app/kept_readings.h"
#include "app/paths.h"
#include "app/records_json.h"
#include "app/session_store.h"
#include "app/terminal_answer.h"

namespace lectern::app::cli {

namespace {

void print_rows(const std::vector<SessionRow>& rows, bool json, std::ostream& out) {
  if (json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const SessionRow& row : rows) {
      list.push_back({{"id", row.id},
                      {"name", row.name},
                      {"messages", row.messages},
                      {"pinned", row.pinned},
                      {"changed_ms", row.changed_ms}});
    }
    out << one_line(list) << '\n';
    return;
  }
  for (const SessionRow& row : rows) {
    std::string name = plain_for_terminal(row.name);
    for (char& c : name) c = c == '\n' || c == '\t' ? ' ' : c;
    out << row.id << '\t' << row.messages << (row.messages == 1 ? " message\t" : " messages\t") << name << '\n';
  }
}

void print_messages(const std::vector<Message>& messages, std::ostream& out) {
  for (const Message& message : messages) {
    if (message.role == inference::Role::user) {
      out << "> " << plain_for_terminal(message.text) << "\n\n";
      continue;
    }
    out << plain_for_terminal(message.text);
    if (message.text.empty() || message.text.back() != '\n') out << '\n';
    if (message.state == MessageState::partial) out << "(partial: the program that wrote it did not finish)\n";
    if (message.state == MessageState::stopped) out << "(stopped)\n";
    if (message.state == MessageState::failed) out << "(failed: " << plain_for_terminal(message.problem) << ")\n";
    out << answer_footer(message) << '\n';
  }
}

}  // namespace

int sessions(const Arguments& given, const CliStreams& streams) {
  const CliArguments arguments("sessions", given, {{"--json"}, {"--format"}});
  const std::vector<std::string>& operands = arguments.operands();
  const std::string action = operands.empty() ? "" : operands[0];
  const bool json = arguments.has("--json");
  const auto expect = [&](std::size_t count, const char* what) {
    if (operands.size() != count) {
      throw CliUsageError("sessions " + action + ": " +
                          (operands.size() < count ? what + std::string(" is missing") : "too many arguments") +
                          "; see lectern-cli sessions --help");
    }
  };
  if (action != "list" && action != "show" && action != "search" && action != "export" && action != "delete") {
    throw CliUsageError("sessions: use list, show, search, export or delete; see lectern-cli sessions --help");
  }
  if (arguments.value("--format") && action != "export") throw CliUsageError("--format: it goes with sessions export");
  if (action == "list") expect(1, "nothing");
  if (action == "search") expect(2, "TEXT");
  if (action == "show" || action == "export" || action == "delete") expect(2, "ID");
  std::optional<ExportFormat> format;
  if (action == "export") {
    format = export_format(arguments.value("--format").value_or("md"));
    if (!format) throw CliUsageError("--format: \"" + *arguments.value("--format") + "\" is none of md, html and json");
  }

  DatabaseWriter writer(library_file());
  return writer.call([&](Database& database) {
    SessionStore store(database);
    if (action == "list") {
      print_rows(store.list(), json, streams.out);
      return 0;
    }
    if (action == "search") {
      const std::vector<SessionRow> rows = store.list(operands[1]);
      print_rows(rows, json, streams.out);
      return 0;
    }
    const std::optional<SessionRow> session = store.find(operands[1]);
    if (!session) throw CliError(operands[1] + ": there is no such session; see lectern-cli sessions list");
    if (action == "show") {
      const std::vector<Message> messages = store.all_messages(session->id);
      if (json) {
        nlohmann::ordered_json list = nlohmann::ordered_json::array();
        for (const Message& message : messages) list.push_back(message_json(message));
        streams.out << one_line(list) << '\n';
      } else {
        print_messages(messages, streams.out);
      }
    } else if (action == "export") {
      const auto conversation = load_conversation(database, session->id, *format == ExportFormat::json);
      if (conversation) streams.out << export_conversation(*conversation, *format);
    } else {
      const std::vector<std::string> ids = segment_ids(store, session->id);
      store.remove(session->id);
      const ForgottenReadings forgotten = forget_readings(kept_folder(), ids);
      streams.err << "session " << session->id << " deleted" << std::endl;
      if (!forgotten.problem.empty()) throw CliError("kept readings: " + forgotten.problem);
    }
    return 0;
  });
}

}  // namespace lectern::app::cli
