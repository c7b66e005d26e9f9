// The commands that need the engine alone: tokenize, logits, generate, perplexity, model inspect|list, bench.
#pragma once

#include <iosfwd>
#include <span>
#include <string>
#include <string_view>

namespace lectern::inference {

/// True if `command` is one of them.
bool is_engine_command(std::string_view command);
/// Runs args[0] with the rest of `args`. Results go to `out`; an error is one line on `err`: "PROGRAM: SUBJECT: what is
/// wrong and what to do". Returns the exit status: 0, 1 for a failed task, 2 for a wrong call. Never throws.
int run_engine_command(std::span<const std::string> args, std::ostream& out, std::ostream& err,
                       std::string_view program = "lectern-engine");
/// One line per command, for --help.
std::string_view engine_command_help();

}  // namespace lectern::inference
