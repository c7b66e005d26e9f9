// extract, model list and fetch
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "app/cli_commands.h"
#include "app/coverage.h"
#include "app/model_store.h"
#include "app/paths.h"
#include "app/terminal_answer.h"
#include "documents/anchors.h"
#include "documents/extract_json.h"
#include "documents/reader_client.h"

namespace lectern::app::cli {

int extract(const Arguments& given, const CliStreams& streams, std::stop_token stop) {
  const CliArguments arguments("extract", given, {{"--json"}, {"--password"}});
  if (arguments.operands().size() != 1) throw CliUsageError("PATH: name one file; lectern-cli extract [--json] PATH");
  const std::string& path = arguments.operands()[0];
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) throw CliError(path + ": it is a folder; name one file of it");
  ProgressLine progress(streams);
  documents::ReadOptions options;
  options.password = arguments.value("--password").value_or("");
  options.progress = [&](int page, int pages) {
    progress.show("reading " + plain_for_terminal(path) + ": page " + std::to_string(page) + " of " +
                  std::to_string(pages));
  };
  const documents::Document document = documents::read_document(path, options, stop);
  progress.clear();
  if (arguments.has("--json")) {
    streams.out << documents::to_json(document).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
    return 0;
  }
  for (const documents::Page& page : document.pages) {
    streams.out << documents::marker_of(document, 1, page) << '\n' << plain_for_terminal(page.text);
    if (page.text.empty() || page.text.back() != '\n') streams.out << '\n';
    streams.out << '\n';
  }
  for (const std::string& warning : document.report.warnings)
    streams.err << plain_for_terminal(path + ": " + warning) << std::endl;
  return 0;
}

int model(const Arguments& given, const CliStreams& streams, std::stop_token stop) {
  const CliArguments arguments("model", given, {{"--json"}, {}});
  const std::vector<std::string>& operands = arguments.operands();
  const std::string action = operands.empty() ? "" : operands[0];
  if (action == "list" && operands.size() == 1) {
    const std::string folder = models_folder();
    const std::vector<std::string> files = list_models(folder);
    const std::vector<KnownModel> known = known_models();
    if (arguments.has("--json")) {
      nlohmann::ordered_json json;
      json["folder"] = folder;
      json["models"] = files;
      json["known"] = nlohmann::ordered_json::array();
      for (const KnownModel& entry : known) {
        json["known"].push_back({{"name", entry.name},
                                 {"title", entry.title},
                                 {"license", entry.license},
                                 {"file", entry.file},
                                 {"size_bytes", entry.size_bytes}});
      }
      streams.out << json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << '\n';
      return 0;
    }
    streams.out << "In " << folder << ":\n";
    for (const std::string& file : files) streams.out << "  " << plain_for_terminal(file) << '\n';
    if (files.empty()) streams.out << "  none\n";
    streams.out << "Can be fetched:\n";
    for (const KnownModel& entry : known) {
      streams.out << "  " << entry.name << "  " << entry.title << ", " << with_thousands(entry.size_bytes / 1'000'000)
                  << " MB, " << entry.license << '\n';
    }
    return 0;
  }
  if (action == "fetch") {
    if (operands.size() > 2) throw CliUsageError("model fetch: name one model; see lectern-cli model list");
    ProgressLine progress(streams);
    const std::string name = operands.size() == 2 ? operands[1] : default_model().name;
    const std::string file = fetch_model(
        name, models_folder(), [&](const std::string& line) { progress.show(line); }, stop);
    progress.clear();
    streams.out << file << '\n';
    return 0;
  }
  throw CliUsageError("model: use list, fetch [NAME], inspect FILE or synthesize");
}

}  // namespace lectern::app::cli
