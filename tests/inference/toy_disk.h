// The disk of the context store in a few lines, with one value a token, which can lose, refuse and damage what it
// holds.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "inference/disk/extent_store.h"

namespace lectern::inference::samples {

inline const kernels::KvShape toy_kv{1, 2, kernels::DType::f32};

inline DeltaShape toy_state(bool hybrid) {
  DeltaShape shape;
  shape.hidden = 1;
  if (hybrid) {
    shape.layers = 1;
    shape.value_heads = shape.key_dim = shape.value_dim = 1;
    shape.conv_rows = 1;
    shape.conv_channels = 1;
  }
  return shape;
}

/// A disk in memory, which can lose, refuse and damage what it holds.
class ToyDisk final : public ExtentStore {
 public:
  explicit ToyDisk(bool hybrid) : shape_(toy_state(hybrid)) {}

  void save(const Extent& extent, std::span<const TokenId> tokens, std::span<const PageRef> pages,
            const DeltaSnapshot& state) override {
    EXPECT_EQ(static_cast<std::int64_t>(tokens.size()), extent.end - extent.begin);
    EXPECT_EQ(state.position, extent.end);
    EXPECT_FALSE(extent.parts.empty());
    if (refuses) return;
    for (const auto& [number, kept] : kept_)
      if (kept.extent.key == extent.key && kept.extent.has_state) return;
    std::erase_if(kept_, [&](const auto& kept) { return kept.second.extent.key == extent.key; });
    Kept kept;
    static_cast<Extent&>(kept.extent) = extent;
    kept.extent.number = ++numbers_;
    kept.extent.has_state = true;
    kept.tokens.assign(tokens.begin(), tokens.end());
    for (std::int64_t token = extent.begin; token < extent.end; ++token)
      kept.rows.push_back(row(pages[static_cast<std::size_t>(token / 256)].data(), token));
    kept.hidden = state.hidden[0];
    kept_.emplace(kept.extent.number, std::move(kept));
  }
  bool holds(const ChainKey& key) override {
    return std::any_of(kept_.begin(), kept_.end(), [&](const auto& kept) { return kept.second.extent.key == key; });
  }
  std::vector<StoredExtent> following(const ChainKey& parent) override {
    std::vector<StoredExtent> found;
    for (const auto& [number, kept] : kept_)
      if (kept.extent.parent == parent) found.push_back(kept.extent);
    return found;
  }
  std::unique_ptr<ContextRestore> restore(std::span<const StoredExtent> path, std::span<const TokenId> tokens,
                                          const RestoreTarget& target) override {
    EXPECT_TRUE(path.back().has_state);
    EXPECT_EQ(static_cast<std::int64_t>(tokens.size()), path.back().end - path.front().begin);
    bool sound = true;
    for (const StoredExtent& extent : path) {
      const auto found = kept_.find(extent.number);
      if (found == kept_.end()) return nullptr;
      Kept& kept = found->second;
      const auto wanted =
          tokens.subspan(static_cast<std::size_t>(extent.begin - path.front().begin), kept.tokens.size());
      if (kept.damage == Damage::tokens || !std::equal(wanted.begin(), wanted.end(), kept.tokens.begin())) {
        drop(kept.extent.key, Forgotten::damaged);
        return nullptr;
      }
      if (kept.damage == Damage::rows) {
        drop(kept.extent.key, Forgotten::damaged);
        sound = false;
        break;
      }
      for (std::int64_t token = std::max(extent.begin, target.first); token < extent.end; ++token)
        row(target.kv->pages()[static_cast<std::size_t>(token / 256)].data(), token) =
            kept.rows[static_cast<std::size_t>(token - extent.begin)];
      if (extent.number != path.back().number) continue;
      target.snapshot->position = extent.end;
      target.snapshot->hidden = {kept.hidden};
      if (shape_.layers > 0) *reinterpret_cast<float*>(target.snapshot->state.recurrent(0).data) = kept.hidden;
    }
    return std::make_unique<Restored>(sound);
  }
  Clearings new_clearings() override { return {std::exchange(is_cleared, false), {}}; }
  std::optional<Forgotten> forgotten(const ChainKey& key) override {
    const auto found = gone_.find(key);
    return found == gone_.end() ? std::nullopt : std::optional(found->second);
  }

  enum class Damage { none, tokens, rows };
  void damage(std::size_t which, Damage how) {
    if (!kept_.empty())
      std::next(kept_.begin(), static_cast<std::ptrdiff_t>(which % kept_.size()))->second.damage = how;
  }
  void forget_state(std::size_t which) {
    if (kept_.empty()) return;
    std::next(kept_.begin(), static_cast<std::ptrdiff_t>(which % kept_.size()))->second.extent.has_state = false;
  }
  void evict(std::size_t which) {
    if (kept_.empty()) return;
    drop(std::next(kept_.begin(), static_cast<std::ptrdiff_t>(which % kept_.size()))->second.extent.key,
         Forgotten::evicted);
  }
  std::size_t size() const { return kept_.size(); }
  bool is_whole() const {
    return std::all_of(kept_.begin(), kept_.end(), [](const auto& kept) { return kept.second.damage == Damage::none; });
  }
  bool refuses = false;
  bool is_cleared = false;  // by somebody else
  bool is_stuck = false;    // it cannot put away what is damaged

 private:
  struct Kept {
    StoredExtent extent;
    std::vector<TokenId> tokens;
    std::vector<float> rows;
    float hidden = 0;
    Damage damage = Damage::none;
  };
  struct Restored final : ContextRestore {
    explicit Restored(bool sound_now) : sound(sound_now) {}
    bool wait_for_keys_and_values(std::int64_t) override { return sound; }
    bool wait_for_delta(std::int64_t) override { return sound; }
    bool finish() override { return sound; }
    std::int64_t bytes() const override { return 0; }
    bool sound;
  };
  static float& row(std::byte* page, std::int64_t token) {
    return reinterpret_cast<float*>(page)[token % 256 * toy_kv.head_dim];
  }
  /// With all that was computed after it.
  void drop(ChainKey key, Forgotten why) {  // a copy: the key may be that of what goes
    if (is_stuck) return;
    gone_[key] = why;
    std::vector<ChainKey> after;
    std::erase_if(kept_, [&](const auto& kept) { return kept.second.extent.key == key; });
    for (const auto& [number, kept] : kept_)
      if (kept.extent.parent == key) after.push_back(kept.extent.key);
    for (const ChainKey& next : after) drop(next, why);
  }

  DeltaShape shape_;
  std::int64_t numbers_ = 0;
  std::map<std::int64_t, Kept> kept_;
  std::map<ChainKey, Forgotten> gone_;
};

}  // namespace lectern::inference::samples
