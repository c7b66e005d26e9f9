// model inspect and model list.
#include <filesystem>
#include <ostream>

#include <nlohmann/json.hpp>

#include "inference/engine_command_list.h"
#include "inference/engine_options.h"
#include "inference/model_files.h"
#include "inference/model_inspect.h"
#include "inference/model_source.h"
#include "kernels/error.h"

namespace lectern::inference::commands {

namespace {

void list(bool as_json, std::ostream& out) {
  nlohmann::json all = nlohmann::json::array();
  for (const auto& path : list_models()) {
    nlohmann::json entry{{"name", path.stem().string()}, {"file", path.string()}};
    std::string line = path.filename().string();
    try {
      const ModelSource file(path);
      const ModelConfig config = file.read_config();
      entry["architecture"] = config.architecture;
      entry["quantization"] = config.quantization;
      entry["parameters"] = config.parameters;
      entry["context_length"] = config.context_length;
      entry["size_bytes"] = file.size_bytes();
      line += "  " + config.architecture + "  " + config.quantization + "  " +
              std::to_string(config.parameters / 1000000) + " M parameters  window " +
              std::to_string(config.context_length) + "  " + std::to_string(file.size_bytes() / (1 << 20)) + " MiB";
    } catch (const Error& error) {  // one bad file does not hide the others
      entry["error"] = error.what();
      line += "  cannot be used: " + std::string(error.what());
    }
    all.push_back(entry);
    if (!as_json) out << line << '\n';
  }
  if (as_json)
    out << all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) << '\n';
  else if (all.empty())
    out << "no models in " << models_folder().string() << "; run installer/run once\n";
}

}  // namespace

void model(Arguments args, std::ostream& out, std::ostream& err) {
  if (args.empty()) throw UsageError("model: inspect FILE, list or synthesize must follow");
  if (args[0] == "synthesize") return synthesize(args.subspan(1), out, err);
  static constexpr std::string_view flags[] = {"--json"};
  const EngineOptions options(args.subspan(1), {}, flags);
  if (args[0] == "list") {
    if (!options.positional().empty()) throw UsageError("model list: takes no argument");
    list(options.has("--json"), out);
  } else if (args[0] == "inspect") {
    if (options.positional().size() > 1) throw UsageError("model inspect: give one file or folder");
    const ModelSource file(find_model(options.positional().empty() ? "" : options.positional()[0]));
    out << (options.has("--json") ? inspect_json(file) : inspect_text(file));
  } else {
    throw UsageError("model " + args[0] + ": there is no such command here; use inspect, list or synthesize");
  }
}

}  // namespace lectern::inference::commands
