// Chains whose keys, values and states are numbers made from all tokens before them, so that whatever is read back in
// the wrong place, or for another chain, shows.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "inference/disk/context_disk.h"

namespace lectern::inference::samples {

inline KeptShape hybrid_shape() {
  KeptShape shape;
  shape.layers = 2;
  shape.kv = {2, 4, kernels::DType::bf16};
  shape.delta = {3, 2, 2, 4, 3, 8, 5};
  return shape;
}
inline KeptShape attention_shape() {
  KeptShape shape;
  shape.layers = 3;
  shape.kv = {1, 4, kernels::DType::f32};
  shape.delta.hidden = 4;
  return shape;
}
/// Strips that are no multiple of a block, one layer of a kind.
inline KeptShape odd_shape() {
  KeptShape shape;
  shape.layers = 1;
  shape.kv = {1, 3, kernels::DType::bf16};
  shape.delta = {1, 1, 3, 5, 1, 7, 1};
  return shape;
}

inline ReadingIdentity identity(const std::string& build = "build") {
  return {"model", "settings", build};
}

inline std::string document(std::int64_t number) {
  std::string name = std::to_string(number);  // g++ 12 takes "d" + std::to_string() for an overlapping copy
  name.insert(name.begin(), 'd');
  return name;
}

struct SampleSegment {
  std::string id;
  std::vector<TokenId> tokens;
  RowKind rows = RowKind::prefill;
};
inline SampleSegment segment(const std::string& id, int tokens, int seed, RowKind rows = RowKind::prefill) {
  SampleSegment made{id, {}, rows};
  for (int index = 0; index < tokens; ++index) made.tokens.push_back((seed * 31 + index * 7 + index / 50) % 997);
  return made;
}

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  std::uint64_t value = (a ^ b * 0x9E3779B97F4A7C15U) * 0xBF58476D1CE4E5B9U;
  return value ^ value >> 29;
}

/// Segments and the places where states are kept: the end of each, and what cut() adds.
class Chain {
 public:
  Chain(const ReadingIdentity& identity, std::vector<SampleSegment> segments) : segments_(std::move(segments)) {
    root_ = root_key(identity.text());
    std::uint64_t fold = 1;
    for (const SampleSegment& segment : segments_) {
      fold = mix(fold, 7777777);
      for (TokenId id : segment.tokens) {
        tokens_.push_back(id);
        folds_.push_back(fold = mix(fold, static_cast<std::uint64_t>(id) + 13));
      }
    }
    std::int64_t end = 0;
    for (const SampleSegment& segment : segments_) {
      end += static_cast<std::int64_t>(segment.tokens.size());
      cut(end, StatePlace::document_end);
    }
  }
  Chain& cut(std::int64_t end, StatePlace place) {
    std::erase_if(cuts_, [&](const auto& at) { return at.first == end; });
    cuts_.emplace_back(end, place);
    std::sort(cuts_.begin(), cuts_.end());
    return *this;
  }
  std::int64_t length() const { return static_cast<std::int64_t>(tokens_.size()); }
  const std::vector<TokenId>& tokens() const { return tokens_; }
  std::uint64_t fold(std::int64_t token) const { return folds_[static_cast<std::size_t>(token)]; }
  ChainKey root() const { return root_; }

  std::vector<Extent> extents() const {
    std::vector<Extent> extents;
    std::int64_t begin = 0;
    ChainKey parent = root_;
    for (const auto& [end, place] : cuts_) {
      Extent extent;
      extent.parent = parent;
      extent.begin = begin;
      extent.end = end;
      extent.place = place;
      std::int64_t start = 0;
      ChainKey key = root_;
      for (const SampleSegment& segment : segments_) {
        const auto size = static_cast<std::int64_t>(segment.tokens.size());
        const std::int64_t inside = std::min(end - start, size);
        if (inside <= 0) break;
        key = key_after(key, segment.rows, std::span(segment.tokens).first(static_cast<std::size_t>(inside)));
        if (start + size > begin) extent.parts.push_back({start, segment.rows, segment.id});
        start += size;
      }
      extent.key = key;
      extents.push_back(extent);
      begin = end;
      parent = key;
    }
    return extents;
  }

 private:
  std::vector<SampleSegment> segments_;
  std::vector<TokenId> tokens_;
  std::vector<std::uint64_t> folds_;
  std::vector<std::pair<std::int64_t, StatePlace>> cuts_;
  ChainKey root_;
};

/// What a model would have in memory.
class Memory {
 public:
  explicit Memory(const KeptShape& shape) : shape_(shape), pool_(shape.layers, shape.kv, std::int64_t{1} << 32) {}
  const KeptShape& shape() const { return shape_; }
  KvPagePool& pool() { return pool_; }

  KvSequence rows(const Chain& chain) {
    KvSequence sequence(pool_);
    sequence.reserve(chain.length());
    for (std::int64_t token = 0; token < chain.length(); ++token) for_row(sequence, chain, token, true);
    sequence.advance(chain.length());
    return sequence;
  }
  /// Rows [first, end) that are not the chain's.
  std::int64_t wrong_rows(const KvSequence& sequence, const Chain& chain, std::int64_t first, std::int64_t end) {
    std::int64_t wrong = 0;
    for (std::int64_t token = first; token < end; ++token)
      if (!for_row(sequence, chain, token, false)) ++wrong;
    return wrong;
  }
  DeltaSnapshot state(const Chain& chain, std::int64_t position) const {
    DeltaSnapshot snapshot(shape_.delta);
    snapshot.position = position;
    snapshot.rows = position % 2 == 0 ? RowKind::prefill : RowKind::decode;
    const std::uint64_t fold = mix(chain.fold(position - 1), 99);
    std::uint64_t count = 0;
    const auto next = [&] { return static_cast<float>(mix(fold, ++count) >> 40) / 1024.0F; };
    for (std::int64_t layer = 0; layer < shape_.delta.layers; ++layer) {
      auto* recurrent = reinterpret_cast<float*>(snapshot.state.recurrent(layer).data);
      std::generate_n(recurrent, shape_.delta.recurrent_values(), next);
      std::generate_n(reinterpret_cast<float*>(snapshot.state.conv(layer).data), shape_.delta.conv_values(), next);
    }
    std::generate(snapshot.hidden.begin(), snapshot.hidden.end(), next);
    return snapshot;
  }

 private:
  /// Writes a row or compares it.
  bool for_row(const KvSequence& sequence, const Chain& chain, std::int64_t token, bool write) {
    const std::int64_t row = kernels::row_bytes(shape_.kv.type, shape_.kv.head_dim);
    std::byte expected[64];
    for (std::int64_t layer = 0; layer < shape_.layers; ++layer)
      for (std::int64_t block = 0; block < 2 * shape_.kv.heads; ++block) {
        for (std::int64_t at = 0; at < row; at += 8) {
          const std::uint64_t value =
              mix(chain.fold(token), static_cast<std::uint64_t>((layer * 100 + block) * 100 + at + 1));
          std::memcpy(expected + at, &value, 8);
        }
        std::byte* memory = sequence.pages()[static_cast<std::size_t>(token / 256)].data() +
                            layer * shape_.kv.strip_bytes() + (block * 256 + token % 256) * row;
        if (write)
          std::memcpy(memory, expected, static_cast<std::size_t>(row));
        else if (std::memcmp(memory, expected, static_cast<std::size_t>(row)) != 0)
          return false;
      }
    return true;
  }

  KeptShape shape_;
  KvPagePool pool_;
};

inline void save(ContextDisk& disk, Memory& memory, const Chain& chain) {
  const KvSequence sequence = memory.rows(chain);
  for (const Extent& extent : chain.extents())
    disk.save(extent,
              std::span(chain.tokens())
                  .subspan(static_cast<std::size_t>(extent.begin), static_cast<std::size_t>(extent.end - extent.begin)),
              sequence.pages(), memory.state(chain, extent.end));
}

/// The extents of the chain that are kept, root first, up to the last one with a state.
inline std::vector<StoredExtent> kept_path(ContextDisk& disk, const Chain& chain) {
  std::vector<StoredExtent> path;
  std::size_t usable = 0;
  for (const Extent& extent : chain.extents()) {
    const auto following = disk.following(extent.parent);
    const auto at = std::find_if(following.begin(), following.end(),
                                 [&](const StoredExtent& stored) { return stored.key == extent.key; });
    if (at == following.end()) break;
    path.push_back(*at);
    if (at->has_state) usable = path.size();
  }
  path.resize(usable);
  return path;
}

struct ReadBack {
  std::int64_t position = 0;  // 0: a miss
  std::int64_t wrong = 0;     // rows and states that are not the chain's
};

/// Restores the longest kept prefix, rows from `first` on, and compares everything.
inline ReadBack read_back(ContextDisk& disk, Memory& memory, const Chain& chain, std::int64_t first = 0) {
  ReadBack result;
  const std::vector<StoredExtent> path = kept_path(disk, chain);
  if (path.empty()) return result;
  const std::int64_t end = path.back().end;
  KvSequence sequence(memory.pool());
  sequence.reserve(end);
  for (const PageRef& page : sequence.pages())
    if (memory.pool().page_bytes() > 0)
      std::memset(page.data(), 0xEE, static_cast<std::size_t>(memory.pool().page_bytes()));
  DeltaSnapshot snapshot(memory.shape().delta);
  const std::span<const TokenId> tokens = std::span(chain.tokens()).first(static_cast<std::size_t>(end));
  auto restore = disk.restore(path, tokens, {&sequence, first, &snapshot});
  if (!restore || !restore->finish()) return result;
  sequence.advance(end);
  result.position = end;
  result.wrong = memory.wrong_rows(sequence, chain, std::min(first, end), end);
  // What was there already is left alone.
  for (std::int64_t token = 0; token < std::min(first, end); ++token)
    if (memory.shape().layers > 0 &&
        sequence.pages()[static_cast<std::size_t>(token / 256)]
                .data()[token % 256 * kernels::row_bytes(memory.shape().kv.type, memory.shape().kv.head_dim)] !=
            std::byte{0xEE})
      ++result.wrong;
  const DeltaSnapshot expected = memory.state(chain, end);
  if (!(expected.state == snapshot.state) || expected.hidden != snapshot.hidden || expected.rows != snapshot.rows ||
      snapshot.position != end)
    ++result.wrong;
  return result;
}

}  // namespace lectern::inference::samples
