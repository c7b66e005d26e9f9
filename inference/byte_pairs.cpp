// Words are short: up to 48 bytes a scan for the best pair after each merge is fastest, quadratic but in the
// first-level cache. Longer pieces (a megabyte of one letter is a legal text) go through a heap of candidate merges
// over a linked list of symbols; a candidate whose symbols changed in the meantime is recognised when it comes up and
// dropped.
#include "inference/byte_pairs.h"

#include <cassert>
#include <limits>
#include <queue>

namespace lectern::inference {

namespace {

constexpr std::uint64_t no_pair = std::numeric_limits<std::uint64_t>::max();
constexpr std::int64_t longest_short_piece = 48;

std::uint64_t pair_of(TokenId left, TokenId right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) | static_cast<std::uint32_t>(right);
}

std::size_t hash(std::uint64_t pair) {
  pair *= 0x9E3779B97F4A7C15ULL;  // the golden ratio: Knuth's multiplicative hash
  return static_cast<std::size_t>(pair ^ (pair >> 32));
}

}  // namespace

BytePairs::BytePairs(const std::array<TokenId, 256>& of_byte, std::int64_t merges) : of_byte_(of_byte) {
  std::size_t places = 16;
  while (places < static_cast<std::size_t>(merges) * 2) places *= 2;
  merges_.assign(places, Merge{no_pair, 0, no_token});
}

void BytePairs::add(TokenId left, TokenId right, TokenId joined) {
  const std::uint64_t pair = pair_of(left, right);
  std::size_t place = hash(pair) & (merges_.size() - 1);
  while (merges_[place].pair != no_pair && merges_[place].pair != pair) place = (place + 1) & (merges_.size() - 1);
  merges_[place] = {pair, added_++, joined};
  assert(static_cast<std::size_t>(added_) < merges_.size());
}

const BytePairs::Merge* BytePairs::find(TokenId left, TokenId right) const {
  const std::uint64_t pair = pair_of(left, right);
  for (std::size_t place = hash(pair) & (merges_.size() - 1);; place = (place + 1) & (merges_.size() - 1)) {
    if (merges_[place].pair == pair) return &merges_[place];
    if (merges_[place].pair == no_pair) return nullptr;
  }
}

void BytePairs::encode(std::string_view piece, std::vector<TokenId>& ids) const {
  if (static_cast<std::int64_t>(piece.size()) <= longest_short_piece)
    encode_short(piece, ids);
  else
    encode_long(piece, ids);
}

void BytePairs::encode_short(std::string_view piece, std::vector<TokenId>& ids) const {
  constexpr std::int32_t never = std::numeric_limits<std::int32_t>::max();
  TokenId symbols[longest_short_piece];
  const Merge* with_next[longest_short_piece];  // the merge of symbol i with i + 1
  std::size_t count = 0;
  for (const char c : piece)
    if (const TokenId id = of_byte_[static_cast<unsigned char>(c)]; id != no_token) symbols[count++] = id;
  for (std::size_t i = 0; i + 1 < count; ++i) with_next[i] = find(symbols[i], symbols[i + 1]);

  while (count > 1) {
    std::int32_t best_rank = never;
    std::size_t best = 0;
    for (std::size_t i = 0; i + 1 < count; ++i)
      if (with_next[i] != nullptr && with_next[i]->rank < best_rank) {
        best_rank = with_next[i]->rank;
        best = i;
      }
    if (best_rank == never) break;
    symbols[best] = with_next[best]->joined;
    --count;
    for (std::size_t i = best + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      if (i + 1 < count) with_next[i] = with_next[i + 1];
    }
    if (best > 0) with_next[best - 1] = find(symbols[best - 1], symbols[best]);
    if (best + 1 < count) with_next[best] = find(symbols[best], symbols[best + 1]);
  }
  ids.insert(ids.end(), symbols, symbols + count);
}

void BytePairs::encode_long(std::string_view piece, std::vector<TokenId>& ids) const {
  constexpr std::int64_t none = -1;
  struct Symbol {
    TokenId id;
    std::int64_t previous, next;
  };
  std::vector<Symbol> symbols;
  symbols.reserve(piece.size());
  for (const char c : piece) {
    const TokenId id = of_byte_[static_cast<unsigned char>(c)];
    if (id == no_token) continue;
    const auto index = static_cast<std::int64_t>(symbols.size());
    symbols.push_back({id, index - 1, index + 1});
  }
  if (symbols.empty()) return;
  symbols.back().next = none;
  const auto symbol = [&](std::int64_t index) -> Symbol& { return symbols[static_cast<std::size_t>(index)]; };

  struct Candidate {
    std::int32_t rank;
    std::int64_t left;
    TokenId left_id, right_id, joined;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : left > other.left; }
  };
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto consider = [&](std::int64_t left) {
    if (left == none || symbol(left).next == none) return;
    const TokenId left_id = symbol(left).id, right_id = symbol(symbol(left).next).id;
    if (const Merge* merge = find(left_id, right_id))
      candidates.push({merge->rank, left, left_id, right_id, merge->joined});
  };
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(symbols.size()); ++i) consider(i);

  while (!candidates.empty()) {
    const Candidate candidate = candidates.top();
    candidates.pop();
    Symbol& left = symbol(candidate.left);
    if (left.id != candidate.left_id || left.next == none || symbol(left.next).id != candidate.right_id) continue;
    Symbol& right = symbol(left.next);
    left.id = candidate.joined;
    right.id = no_token;
    left.next = right.next;
    if (left.next != none) symbol(left.next).previous = candidate.left;
    consider(left.previous);
    consider(candidate.left);
  }
  for (std::int64_t i = 0; i != none; i = symbol(i).next) ids.push_back(symbol(i).id);
}

}  // namespace lectern::inference
