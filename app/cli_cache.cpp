// cache: what is kept on disk, whether it can be read back, and forgetting it. No model is needed.
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "app/cli_commands.h"
#include "app/coverage.h"
#include "app/database.h"
#include "app/kept_readings.h"
#include "app/library.h"
#include "app/migrations.h"
#include "app/paths.h"
#include "app/settings.h"
#include "app/terminal_answer.h"

namespace lectern::app::cli {

namespace {

using Json = nlohmann::ordered_json;

std::string counted(std::int64_t count, const char* one, const char* many) {
  return with_thousands(count) + ' ' + (count == 1 ? one : many);
}

std::vector<std::string> documents_named(const std::string& name) {
  std::error_code ignored;
  if (!std::filesystem::exists(library_file(), ignored)) return {};
  Database database(library_file(), Database::Mode::read_write);
  migrate(database, migrations());
  const std::filesystem::path path = std::filesystem::absolute(name, ignored).lexically_normal();
  return Library(database).fingerprints_of(name, path.has_filename() ? path.string() : path.parent_path().string());
}

int stats(bool json, const CliStreams& streams) {
  const inference::ContextDiskStats now = inference::context_folder_stats(
      kept_folder(), inference::system_files(), kept_budget(load_settings(settings_file()).settings));
  if (json) {
    streams.out << Json{{"folder", kept_folder().string()},
                        {"readings", now.extents},
                        {"documents", now.documents},
                        {"tokens", now.tokens},
                        {"states", now.states},
                        {"bytes", now.bytes},
                        {"budget_bytes", now.budget_bytes},
                        {"written_bytes_today", now.written_bytes_today},
                        {"quarantined", now.quarantined},
                        {"problem", now.problem}}
                       .dump(-1, ' ', false, Json::error_handler_t::replace)
                << '\n';
  } else {
    streams.out << plain_for_terminal(kept_folder().string()) << ": " << counted(now.tokens, "token", "tokens")
                << " of " << counted(now.documents, "document or message", "documents and messages") << " kept in "
                << counted(now.extents, "file", "files") << ", " << with_thousands(now.bytes) << " of "
                << with_thousands(now.budget_bytes) << " bytes, " << counted(now.states, "state", "states") << '\n';
    if (now.quarantined > 0) streams.out << counted(now.quarantined, "damaged file", "damaged files") << " set aside\n";
  }
  if (!now.problem.empty()) streams.err << "lectern-cli: " << plain_for_terminal(now.problem) << std::endl;
  return now.problem.empty() ? 0 : 1;
}

int verify(bool json, const CliStreams& streams) {
  const inference::VerifyReport report = inference::verify_context_folder(kept_folder(), inference::system_files());
  if (json) {
    streams.out << Json{{"folder", kept_folder().string()},
                        {"readings", report.extents},
                        {"bytes", report.bytes},
                        {"damaged", report.damaged},
                        {"orphans", report.orphans},
                        {"other_versions", report.other_versions},
                        {"problem", report.problem}}
                       .dump(-1, ' ', false, Json::error_handler_t::replace)
                << '\n';
  } else {
    streams.out << plain_for_terminal(kept_folder().string()) << ": " << counted(report.extents, "file", "files")
                << ", " << with_thousands(report.bytes) << " bytes read back, "
                << counted(static_cast<std::int64_t>(report.damaged.size()), "damaged", "damaged") << '\n';
    if (report.orphans > 0)
      streams.out << counted(report.orphans, "unfinished file is", "unfinished files are")
                  << " there; the next start removes them\n";
    if (report.other_versions > 0)
      streams.out << counted(report.other_versions, "file is", "files are") << " of another version of the program\n";
  }
  for (const std::string& damaged : report.damaged)
    streams.err << "lectern-cli: " << plain_for_terminal(damaged)
                << "; it will be read again from its document when it is needed" << std::endl;
  if (!report.problem.empty()) streams.err << "lectern-cli: " << plain_for_terminal(report.problem) << std::endl;
  return report.damaged.empty() && report.problem.empty() ? 0 : 1;
}

int clear(const std::optional<std::string>& document, const CliStreams& streams) {
  ForgottenReadings forgotten;
  if (!document) {
    forgotten = forget_all_readings(kept_folder());
  } else {
    std::vector<std::string> found = documents_named(*document);
    const bool is_known = !found.empty();
    if (!is_known) found = {*document};  // a fingerprint that the library has forgotten
    forgotten = forget_readings(kept_folder(), found);
    if (!is_known && forgotten.bytes == 0 && forgotten.problem.empty())
      throw CliError(plain_for_terminal(*document) +
                     ": there is no such document in the library, and nothing is kept under this "
                     "fingerprint; name it by path, name or fingerprint");
  }
  streams.out << "removed " << with_thousands(forgotten.bytes) << " bytes from "
              << plain_for_terminal(kept_folder().string()) << '\n';
  if (!forgotten.problem.empty()) throw CliError(forgotten.problem);
  return 0;
}

}  // namespace

int cache(const Arguments& given, const CliStreams& streams) {
  const CliArguments arguments("cache", given, {{"--json"}, {}});
  const std::vector<std::string>& operands = arguments.operands();
  const std::string action = operands.empty() ? "" : operands[0];
  const bool json = arguments.has("--json");
  if (action == "stats" && operands.size() == 1) return stats(json, streams);
  if (action == "verify" && operands.size() == 1) return verify(json, streams);
  if (action == "clear" && operands.size() <= 2)
    return clear(operands.size() == 2 ? std::optional(operands[1]) : std::nullopt, streams);
  throw CliUsageError("cache: use stats, verify or clear [DOCUMENT]");
}

}  // namespace lectern::app::cli
