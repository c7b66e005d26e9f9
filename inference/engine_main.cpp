// lectern-engine: the engine's commands as a program without Qt.
#include <iostream>
#include <string>
#include <vector>

#include "inference/engine_commands.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  const std::vector<std::string> args(argv + 1, argv + argc);
  if (!args.empty() && (args[0] == "--help" || args[0] == "-h" || args[0] == "help")) {
    std::cout << "lectern-engine COMMAND [OPTIONS]\n" << lectern::inference::engine_command_help();
    return 0;
  }
  return lectern::inference::run_engine_command(args, std::cout, std::cerr);
}
