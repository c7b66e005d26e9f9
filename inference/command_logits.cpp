// logits and perplexity: what a model says about given tokens.
#include <cmath>
#include <cstdio>
#include <ostream>

#include "inference/engine_command_list.h"
#include "inference/engine_options.h"
#include "inference/model_files.h"
#include "inference/model_run.h"
#include "inference/npy_file.h"
#include "kernels/error.h"

namespace lectern::inference::commands {

namespace {

constexpr std::int64_t most_tokens = std::int64_t{1} << 22;
constexpr std::int64_t chunk = 512;
constexpr int most_threads = 1024;

std::int64_t window_for(const Model& model, std::int64_t tokens) {
  if (tokens > model.config().context_length)
    throw Error(ErrorKind::bad_request, model.path() + ": " + std::to_string(tokens) +
                                            " tokens are more than the window of " +
                                            std::to_string(model.config().context_length) + " the model was made for");
  return tokens;
}

/// -log softmax(logits)[id], in double.
double surprise(const float* logits, std::int64_t vocabulary, TokenId id) {
  double highest = -INFINITY;
  for (std::int64_t index = 0; index < vocabulary; ++index)
    highest = std::max(highest, static_cast<double>(logits[index]));
  double sum = 0;
  for (std::int64_t index = 0; index < vocabulary; ++index)
    sum += std::exp(static_cast<double>(logits[index]) - highest);
  return highest + std::log(sum) - static_cast<double>(logits[id]);
}

}  // namespace

void logits(Arguments args, std::ostream&, std::ostream&) {
  static constexpr std::string_view valued[] = {"--model", "--tokens", "--output", "--split", "--threads"};
  const EngineOptions options(args, valued, {});
  if (!options.positional().empty())
    throw UsageError("logits: \"" + options.positional()[0] + "\" is one argument too many");
  const std::string output = options.required_text("--output");
  const std::vector<std::int64_t> split = options.integers("--split", 1, most_tokens);
  const std::vector<TokenId> tokens = read_ids(options.required_text("--tokens"));
  const int threads = static_cast<int>(options.integer("--threads", 1, most_threads).value_or(0));

  const Model model(find_model(options.text("--model").value_or("")));
  const auto count = static_cast<std::int64_t>(tokens.size());
  ModelRun run(model, window_for(model, count), std::min(chunk, count), threads);
  NpyWriter writer(output, count, model.config().vocabulary);
  run.read(tokens, split, [&](kernels::ConstTensor hidden) {
    each_row_of_logits(run.forward(), hidden, [&](std::int64_t, std::int64_t rows, const float* values) {
      writer.write({values, static_cast<std::size_t>(rows * model.config().vocabulary)});
    });
  });
  writer.close();
}

void perplexity(Arguments args, std::ostream& out, std::ostream&) {
  static constexpr std::string_view valued[] = {"--model", "--context", "--threads"};
  const EngineOptions options(args, valued, {});
  if (options.positional().size() != 1) throw UsageError("perplexity: give one text file");
  const std::int64_t context = options.integer("--context", 2, most_tokens).value_or(512);
  const int threads = static_cast<int>(options.integer("--threads", 1, most_threads).value_or(0));
  const std::string text = read_text(options.positional()[0]);

  const Model model(find_model(options.text("--model").value_or("")));
  const std::vector<TokenId> tokens = model.required_tokenizer().encode(text, SpecialTokens::plain_text);
  if (tokens.size() < 2) throw Error(ErrorKind::bad_request, options.positional()[0] + ": holds fewer than two tokens");
  const std::int64_t vocabulary = model.config().vocabulary;
  ModelRun run(model, window_for(model, context), std::min(chunk, context), threads);

  double sum = 0;
  std::int64_t scored = 0;
  for (std::size_t start = 0; start < tokens.size(); start += static_cast<std::size_t>(context)) {
    const std::span window =
        std::span(tokens).subspan(start, std::min(static_cast<std::size_t>(context), tokens.size() - start));
    std::vector<double> surprises(window.size());
    std::size_t done = 0;
    run.restart();
    run.read(window, {}, [&](kernels::ConstTensor hidden) {
      each_row_of_logits(run.forward(), hidden, [&](std::int64_t first, std::int64_t rows, const float* values) {
        run.stream().pool().parallel_for(rows, 1, [&](std::int64_t from, std::int64_t to, int) {
          for (std::int64_t row = from; row < to; ++row) {
            const std::size_t next = done + static_cast<std::size_t>(first + row) + 1;
            if (next < window.size()) surprises[next] = surprise(values + row * vocabulary, vocabulary, window[next]);
          }
        });
      });
      done += static_cast<std::size_t>(hidden.dim(0));
    });
    for (std::size_t index = 1; index < window.size(); ++index) sum += surprises[index];
    scored += static_cast<std::int64_t>(window.size()) - 1;
  }
  char line[96];
  std::snprintf(line, sizeof line, "perplexity %.4f over %lld tokens\n", std::exp(sum / static_cast<double>(scored)),
                static_cast<long long>(scored));
  out << line;
}

}  // namespace lectern::inference::commands
