// Merging of byte pairs within one piece of text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "inference/types.h"

namespace lectern::inference {

/// The merges of a vocabulary. Immutable after the last `add`; then every const member may be called from any thread.
class BytePairs {
 public:
  static constexpr TokenId no_token = -1;

  /// `of_byte[b]`: the token of byte b, or no_token: such bytes are left out of the text, as the reference does.
  BytePairs(const std::array<TokenId, 256>& of_byte, std::int64_t merges);

  /// The next merge, best first: `left` and `right` become `joined`.
  void add(TokenId left, TokenId right, TokenId joined);

  /// Appends the tokens of `piece`: of all neighbours that can be merged always those with the best merge first, the
  /// leftmost among equals. n log n in the size of the piece.
  void encode(std::string_view piece, std::vector<TokenId>& ids) const;

 private:
  struct Merge {
    std::uint64_t pair;  // left and right; no_pair: a free place
    std::int32_t rank;
    TokenId joined;
  };
  const Merge* find(TokenId left, TokenId right) const;
  void encode_short(std::string_view piece, std::vector<TokenId>& ids) const;
  void encode_long(std::string_view piece, std::vector<TokenId>& ids) const;

  std::array<TokenId, 256> of_byte_;
  std::vector<Merge> merges_;  // hash table with open addressing, a power of two in size
  std::int32_t added_ = 0;
};

}  // namespace lectern::inference
