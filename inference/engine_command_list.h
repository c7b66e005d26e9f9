// The functions behind engine_commands.h, one per command; each throws lectern::Error or UsageError.
#pragma once

#include <iosfwd>
#include <span>
#include <string>

namespace lectern::inference::commands {

using Arguments = std::span<const std::string>;  // without the command's own name

void tokenize(Arguments args, std::ostream& out, std::ostream& err);
void logits(Arguments args, std::ostream& out, std::ostream& err);
void generate(Arguments args, std::ostream& out, std::ostream& err);
void perplexity(Arguments args, std::ostream& out, std::ostream& err);
void model(Arguments args, std::ostream& out, std::ostream& err);
void synthesize(Arguments args, std::ostream& out, std::ostream& err);  // of model
void bench(Arguments args, std::ostream& out, std::ostream& err);

}  // namespace lectern::inference::commands
