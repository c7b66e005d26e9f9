#include "settings.h"

#include <cstdlib>
#include <stdexcept>

namespace emu {

Settings& settings() {
  static Settings& instance = *[] {
    auto* fresh = new Settings;
    if (const char* order = std::getenv("LECTERN_CUDA_ORDER")) set_order(*fresh, order);
    if (const char* resident = std::getenv("LECTERN_CUDA_RESIDENT")) fresh->resident_blocks = std::atoi(resident);
    return fresh;
  }();
  return instance;
}

std::string describe(const Settings& settings) {
  switch (settings.order) {
    case Order::natural: return "natural";
    case Order::reverse: return "reverse";
    case Order::random: break;
  }
  return "random:" + std::to_string(settings.seed);
}

void set_order(Settings& settings, const std::string& text) {
  if (text == "natural" || text == "reverse") {
    settings.order = text == "natural" ? Order::natural : Order::reverse;
    settings.seed = 0;
    return;
  }
  if (!text.starts_with("random:") || text.size() == 7 || text.find_first_not_of("0123456789", 7) != std::string::npos)
    throw std::invalid_argument("LECTERN_CUDA_ORDER is natural, reverse or random:SEED, not " + text);
  settings.order = Order::random;
  settings.seed = std::stoull(text.substr(7));
}

}  // namespace emu
