#include "inference/chain_key.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace lectern::inference {

namespace {

ChainKey hash(const void* data, std::size_t size, const ChainKey& seed) {
  XXH3_state_t state;
  XXH3_INITSTATE(&state);
  XXH3_128bits_reset(&state);
  XXH3_128bits_update(&state, &seed, sizeof seed);
  XXH3_128bits_update(&state, data, size);
  const XXH128_hash_t digest = XXH3_128bits_digest(&state);
  return {digest.low64, digest.high64};
}

}  // namespace

ChainKey root_key(std::string_view identity) {
  return hash(identity.data(), identity.size(), {});
}

ChainKey key_after(const ChainKey& start, RowKind rows, std::span<const TokenId> tokens) {
  const auto kind = static_cast<std::uint32_t>(rows);
  return hash(tokens.data(), tokens.size_bytes(), hash(&kind, sizeof kind, start));
}

}  // namespace lectern::inference
