#include "inference/engine_commands.h"

#include <new>
#include <ostream>

#include "inference/engine_command_list.h"
#include "inference/engine_options.h"
#include "kernels/error.h"

namespace lectern::inference {

namespace {

struct Command {
  std::string_view name;
  void (*run)(commands::Arguments, std::ostream&, std::ostream&);
};

constexpr Command all_commands[] = {
    {"tokenize", commands::tokenize},     {"logits", commands::logits}, {"generate", commands::generate},
    {"perplexity", commands::perplexity}, {"model", commands::model},   {"bench", commands::bench},
};

/// Messages from elsewhere become one line.
std::string one_line(std::string text) {
  for (char& c : text)
    if (c == '\n' || c == '\r') c = ' ';
  return text;
}

}  // namespace

bool is_engine_command(std::string_view command) {
  for (const Command& known : all_commands)
    if (known.name == command) return true;
  return false;
}

std::string_view engine_command_help() {
  return "  tokenize   [--model M] [--special] [--json] [FILE]        token ids of a text\n"
         "  logits     [--model M] --tokens FILE --output F.npy [--split 1,7,64]\n"
         "  generate   [--model M] --prompt-file F [--max-tokens N] [--temperature T] [--top-k N] [--top-p P]\n"
         "             [--min-p P] [--repetition-penalty R] [--seed N] [--stop TEXT] [--context N]\n"
         "             [--draft 0..4] (with the model's own draft layer) [--verbose]\n"
         "  perplexity [--model M] [--context N] FILE\n"
         "  model      inspect [--json] FILE | list [--json]\n"
         "  model      synthesize --preset NAME --quant F32|BF16|Q8_0|Q4_K --seed N [--layers N] [--mtp 0|1]\n"
         "             [--tokenizer FILE] OUT.gguf\n"
         "  bench      [--model M] [--prompt 512,2048] [--generate 128] [--depth 0,4096] [--json]\n"
         "             --forks 41: so many questions of --prompt tokens, asked one by one and together\n"
         "  --threads N goes with every command that computes.\n";
}

int run_engine_command(std::span<const std::string> args, std::ostream& out, std::ostream& err,
                       std::string_view program) {
  try {
    if (args.empty())
      throw UsageError("command: one of tokenize, logits, generate, perplexity, model, bench must be given");
    for (const Command& command : all_commands) {
      if (command.name != args[0]) continue;
      command.run(args.subspan(1), out, err);
      out.flush();
      if (!out) throw Error(ErrorKind::io, "standard output: writing failed");
      return 0;
    }
    throw UsageError(args[0] +
                     ": there is no such command; use tokenize, logits, generate, perplexity, model or bench");
  } catch (const UsageError& error) {
    err << program << ": " << one_line(error.what()) << '\n';
    return 2;
  } catch (const std::bad_alloc&) {
    err << program << ": memory: the system has no more; close other programs or use a smaller model or window\n";
  } catch (const std::exception& error) {
    err << program << ": " << one_line(error.what()) << '\n';
  }
  return 1;
}

}  // namespace lectern::inference
