// Finds the command and turns whatever it throws into one line and an exit status.
#include "app/cli.h"

#include <chrono>
#include <istream>
#include <ostream>

#include "app/cli_arguments.h"
#include "app/cli_commands.h"
#include "inference/engine_commands.h"

namespace lectern::app {

namespace {

constexpr const char* program_name = "lectern-cli";

std::string one_line(std::string text) {
  for (char& c : text) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return text;
}

int run_command(const std::string& command, const std::vector<std::string>& rest, const CliStreams& streams,
                std::stop_token stop) {
  if (command == "ask") return cli::ask(rest, streams, stop);
  if (command == "read") return cli::read(rest, streams, stop);
  if (command == "sessions") return cli::sessions(rest, streams);
  if (command == "extract") return cli::extract(rest, streams, stop);
  if (command == "cache") return cli::cache(rest, streams);
  if (command == "model" && (rest.empty() || rest[0] == "list" || rest[0] == "fetch"))
    return cli::model(rest, streams, stop);
  if (inference::is_engine_command(command)) {
    std::vector<std::string> arguments = {command};
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    return inference::run_engine_command(arguments, streams.out, streams.err, program_name);
  }
  throw CliUsageError(command + ": there is no such command; see lectern-cli --help");
}

}  // namespace

int run_cli(const std::vector<std::string>& arguments, const CliStreams& streams, std::stop_token stop) {
  int status = 0;
  try {
    if (arguments.empty()) throw CliUsageError("command: it is missing; see lectern-cli --help");
    const std::string& command = arguments[0];
    const std::vector<std::string> rest(arguments.begin() + 1, arguments.end());
    std::string help;
    if (command == "--help" || command == "-h" || command == "help") {
      help = cli::help(rest.empty() ? std::string() : rest[0]);
    } else if (!rest.empty() && (rest[0] == "--help" || rest[0] == "-h")) {
      help = cli::help(command);
    }
    if (!help.empty()) {
      streams.out << help;
    } else {
      status = run_command(command, rest, streams, stop);
    }
    streams.out.flush();
    if (!streams.out) throw CliError("standard output: writing failed; is the disk full or the reader gone?");
  } catch (const CliUsageError& error) {
    streams.err << program_name << ": " << one_line(error.what()) << std::endl;
    status = 2;
  } catch (const std::bad_alloc&) {
    streams.err << program_name << ": memory: there is not enough; close other programs or use a smaller model"
                << std::endl;
    status = 1;
  } catch (const std::exception& error) {
    streams.err << program_name << ": " << one_line(error.what()) << std::endl;
    status = 1;
  }
  return status;
}

namespace cli {

void ProgressLine::show(const std::string& text) {
  const std::int64_t now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch())
          .count();
  if (now - shown_ms_ < (streams_.err_is_terminal ? 100 : 2000)) return;
  shown_ms_ = now;
  if (streams_.err_is_terminal) {
    streams_.err << "\r\x1b[K" << text << std::flush;
    on_screen_ = true;
  } else {
    streams_.err << text << std::endl;
  }
}

void ProgressLine::clear() {
  if (on_screen_) streams_.err << "\r\x1b[K" << std::flush;
  on_screen_ = false;
}

std::string time_left(double seconds) {
  if (seconds < 0) return {};
  if (seconds < 90) return ", " + std::to_string(static_cast<std::int64_t>(seconds + 0.5)) + " s left";
  return ", " + std::to_string(static_cast<std::int64_t>(seconds / 60 + 0.5)) + " min left";
}

}  // namespace cli
}  // namespace lectern::app
