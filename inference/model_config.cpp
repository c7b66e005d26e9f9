#include "inference/model_config.h"

#include <algorithm>

namespace lectern::inference {

std::int64_t ModelConfig::attention_layers() const {
  return std::ranges::count(layers, LayerKind::attention, &LayerConfig::mixer);
}
std::int64_t ModelConfig::delta_layers() const {
  return std::ranges::count(layers, LayerKind::delta, &LayerConfig::mixer);
}

}  // namespace lectern::inference
