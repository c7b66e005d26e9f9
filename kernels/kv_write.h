// Stores new keys and values in KV pages.
#pragma once

#include "kernels/device.h"
#include "kernels/kv_page.h"

namespace lectern::kernels {

/// k, v [T, kv_heads, D] f32, rounded to the pages' type; token t goes to slot first_slot + t.
void kv_write(Stream& stream, ConstTensor k, ConstTensor v, KvShape shape, KvStrips strips, std::int64_t first_slot);

}  // namespace lectern::kernels
