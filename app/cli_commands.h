// The commands behind run_cli, one function each. They throw CliUsageError (2) or anything else (1).
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "app/cli.h"
#include "app/cli_arguments.h"
#include "app/records.h"
#include "app/settings.h"
#include "inference/engine.h"

namespace lectern::app::cli {

using Arguments = std::vector<std::string>;  // without the command's name

int ask(const Arguments& arguments, const CliStreams& streams, std::stop_token stop);
int read(const Arguments& arguments, const CliStreams& streams, std::stop_token stop);
int sessions(const Arguments& arguments, const CliStreams& streams);
int extract(const Arguments& arguments, const CliStreams& streams, std::stop_token stop);
int model(const Arguments& arguments, const CliStreams& streams, std::stop_token stop);
int cache(const Arguments& arguments, const CliStreams& streams);

/// Text for `--help` of the program (empty command) or of one command; empty for an unknown command.
std::string help(const std::string& command);

/// The model that is meant by --model or the settings, opened. Throws lectern::Error.
std::unique_ptr<inference::Engine> open_engine(const std::string& model, const Settings& settings,
                                               std::optional<std::int64_t> window);

/// One line on stderr that is written over on a terminal, else repeated every two seconds at most.
class ProgressLine {
 public:
  explicit ProgressLine(const CliStreams& streams) : streams_(streams) {}
  ~ProgressLine() { clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  void show(const std::string& text);
  void clear();

 private:
  const CliStreams& streams_;
  std::int64_t shown_ms_ = 0;
  bool on_screen_ = false;
};

/// ", 2 min left"; empty if it is not known.
std::string time_left(double seconds);

}  // namespace lectern::app::cli
