// tokenize and generate.
#include <filesystem>
#include <ostream>

#include <nlohmann/json.hpp>

#include "inference/engine_command_list.h"
#include "inference/engine_options.h"
#include "inference/generation.h"
#include "inference/model_files.h"
#include "inference/model_run.h"
#include "inference/mtp_layer.h"
#include "inference/tokenizer_gguf.h"
#include "inference/tokenizer_json.h"
#include "inference/utf8.h"
#include "kernels/error.h"

namespace lectern::inference::commands {

namespace {

constexpr std::int64_t most_tokens = std::int64_t{1} << 22;
constexpr std::int64_t chunk = 512;
constexpr int most_threads = 1024;

/// A GGUF file, a Hugging Face folder or a bare tokenizer.json; weights are not touched.
Tokenizer open_tokenizer(const std::string& name) {
  std::error_code error;
  const std::filesystem::path path = find_model(name);
  if (std::filesystem::is_directory(path, error) || path.extension() == ".json")
    return Tokenizer(read_tokenizer_json(path).data);
  return Tokenizer(read_tokenizer_gguf(GgufFile(path)).data);
}

}  // namespace

void tokenize(Arguments args, std::ostream& out, std::ostream&) {
  static constexpr std::string_view valued[] = {"--model"};
  static constexpr std::string_view flags[] = {"--json", "--special"};
  const EngineOptions options(args, valued, flags);
  if (options.positional().size() > 1) throw UsageError("tokenize: give one file, or none for standard input");
  const Tokenizer tokenizer = open_tokenizer(options.text("--model").value_or(""));
  const std::string text = read_text(options.positional().empty() ? "-" : options.positional()[0]);
  const std::vector<TokenId> ids =
      tokenizer.encode(text, options.has("--special") ? SpecialTokens::recognised : SpecialTokens::plain_text);
  if (options.has("--json")) {
    nlohmann::json pieces = nlohmann::json::array();
    for (TokenId id : ids) pieces.push_back(to_valid_utf8(tokenizer.piece(id)));
    out << nlohmann::json{{"tokens", ids}, {"pieces", pieces}}.dump() << '\n';
    return;
  }
  for (std::size_t index = 0; index < ids.size(); ++index) out << (index == 0 ? "" : " ") << ids[index];
  out << '\n';
}

void generate(Arguments args, std::ostream& out, std::ostream& err) {
  static constexpr std::string_view valued[] = {
      "--model", "--prompt-file",        "--max-tokens", "--temperature", "--seed",    "--top-k", "--top-p",
      "--min-p", "--repetition-penalty", "--stop",       "--context",     "--threads", "--draft"};
  static constexpr std::string_view flags[] = {"--verbose"};
  const EngineOptions options(args, valued, flags);
  if (!options.positional().empty())
    throw UsageError("generate: \"" + options.positional()[0] +
                     "\" is one argument too many; the prompt comes from --prompt-file");
  GenerationSettings settings;
  settings.drafts = options.integer("--draft", 0, most_drafts).value_or(0);
  settings.max_tokens = options.integer("--max-tokens", 0, most_tokens).value_or(512);
  settings.sampling.temperature = static_cast<float>(options.number("--temperature", 0, 1000).value_or(0));
  settings.sampling.top_k = static_cast<int>(options.integer("--top-k", 0, most_tokens).value_or(0));
  settings.sampling.top_p = static_cast<float>(options.number("--top-p", 0, 1).value_or(1));
  settings.sampling.min_p = static_cast<float>(options.number("--min-p", 0, 1).value_or(0));
  settings.sampling.repetition_penalty =
      static_cast<float>(options.number("--repetition-penalty", 0, 1000).value_or(1));
  settings.sampling.seed = static_cast<std::uint64_t>(options.integer("--seed", 0, INT64_MAX).value_or(0));
  if (const auto stop = options.text("--stop")) settings.stop.push_back(*stop);
  const std::string prompt = read_text(options.required_text("--prompt-file"));

  const Model model(find_model(options.text("--model").value_or("")));
  if (settings.drafts > 0 && !model.weights().mtp)
    throw Error(ErrorKind::unsupported,
                model.path() + ": the model has no layer that drafts tokens (MTP); leave --draft out");
  const Tokenizer& tokenizer = model.required_tokenizer();
  std::vector<TokenId> tokens = tokenizer.encode(prompt, SpecialTokens::recognised);
  if (tokenizer.add_bos() && tokenizer.bos() && (tokens.empty() || tokens.front() != *tokenizer.bos()))
    tokens.insert(tokens.begin(), *tokenizer.bos());
  if (tokens.empty())
    throw Error(ErrorKind::bad_request, options.required_text("--prompt-file") + ": the prompt is empty");
  const std::int64_t window =
      choose_window(model, options.integer("--context", 1, most_tokens), chunk, available_memory(), settings.drafts);
  if (static_cast<std::int64_t>(tokens.size()) > window)
    throw Error(ErrorKind::bad_request, "prompt: its " + std::to_string(tokens.size()) +
                                            " tokens do not fit in the window of " + std::to_string(window) +
                                            "; use a larger --context or a shorter prompt");
  settings.usable_tokens = model.usable_tokens();

  ModelRun run(model, window, chunk, static_cast<int>(options.integer("--threads", 1, most_threads).value_or(0)));
  std::optional<MtpLayer> drafter;
  if (settings.drafts > 0)
    drafter.emplace(model.config(), model.weights(), run.stream(), settings.usable_tokens, chunk, window);
  std::vector<float> last;
  run.read(tokens, {}, [&](kernels::ConstTensor hidden) {
    if (drafter) drafter->read_prompt(tokens, hidden);
    const auto* row = reinterpret_cast<const float*>(hidden.data) + (hidden.dim(0) - 1) * hidden.columns();
    last.assign(row, row + hidden.columns());
  });
  GenerationCallbacks callbacks;
  callbacks.text = [&](std::string_view text) { out << text << std::flush; };
  StepTrace trace(model.config(), model.weights());
  inference::generate(run.forward(), run.sequence(), tokenizer, tokens, last, RowKind::prefill, settings, callbacks,
                      &trace, drafter ? &*drafter : nullptr);
  out << '\n';
  if (options.has("--verbose") || drafter) err << trace.line() << '\n';
}

}  // namespace lectern::inference::commands
