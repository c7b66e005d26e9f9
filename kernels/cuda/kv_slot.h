// Which row of which strip a new token's keys and values go to.
#pragma once

#include "kernels/cuda/kv_device.h"

namespace lectern::kernels::cuda {

/// The slots of new tokens: one each, or (`consecutive`) the first of all.
struct SlotsOfTokens {
  const std::int32_t* slots = nullptr;
  int tokens_per_sequence = 0;
  bool consecutive = false;

  SlotsOfTokens() = default;
  SlotsOfTokens(ConstTensor tensor, std::int64_t tokens, const KvPages& pages)
      : slots(reinterpret_cast<const std::int32_t*>(tensor.data)),
        tokens_per_sequence(static_cast<int>(tokens / pages.sequences())),
        consecutive(tensor.dim(0) != tokens) {}

  /// The strip for a token's slot, and the slot within it; null if the token is left out.
  __device__ __forceinline__ std::byte* strip(const KvView& view, int token, int& in_page) const {
    // A sum beyond the largest integer becomes negative: no slot.
    const int slot =
        consecutive ? static_cast<int>(static_cast<unsigned>(slots[0]) + static_cast<unsigned>(token)) : slots[token];
    in_page = slot % static_cast<int>(kv_page_tokens);
    if (slot < 0) {
      if (slot != -1 || consecutive) view.report(kv_fault_beyond_table);
      return nullptr;
    }
    return view.strip(token / tokens_per_sequence, slot / static_cast<int>(kv_page_tokens));
  }
};

}  // namespace lectern::kernels::cuda
