// The command line, without main: what it prints goes to the two streams, so that tests can run it inside their own
// process.
#pragma once

#include <iosfwd>
#include <stop_token>
#include <string>
#include <vector>

namespace lectern::app {

struct CliStreams {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool err_is_terminal = false;  // progress on one line that is written over
};

/// Runs one command line (without the program's name). 0: done; 1: the task failed; 2: a wrong call. Never throws.
/// `stop` ends reading and answering; what was generated is kept.
int run_cli(const std::vector<std::string>& arguments, const CliStreams& streams, std::stop_token stop);

}  // namespace lectern::app
