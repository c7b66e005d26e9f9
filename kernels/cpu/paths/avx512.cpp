#include "kernels/cpu/paths/table.h"

namespace lectern::kernels::cpu {
namespace {
constexpr InnerLoops loops = table();
}
const InnerLoops& avx512_loops() {
  return loops;
}
}  // namespace lectern::kernels::cpu
