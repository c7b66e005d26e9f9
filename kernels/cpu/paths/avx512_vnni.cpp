#include "kernels/cpu/paths/table.h"

namespace lectern::kernels::cpu {
namespace {
constexpr InnerLoops loops = table("avx512 vnni");
}
const InnerLoops& avx512_vnni_loops() {
  return loops;
}
}  // namespace lectern::kernels::cpu
