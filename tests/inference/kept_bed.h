// A model with a store and a disk, as one process has them, and chains to read.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <memory>
#include <vector>

#include "inference/disk/context_disk.h"
#include "inference/model.h"
#include "inference/prefill.h"

namespace lectern::inference::samples {

/// Model, store and disk of one process; another one on the same folder is a restart.
struct Bed {
  Bed(const Model& opened, const std::filesystem::path& folder)
      : model(opened),
        stream(2),
        forward(model.config(), model.weights(), stream, 512, 16384),
        shape(delta_shape(model.config())),
        pool(model.config().attention_layers(), kv_shape(model.config()), std::int64_t{1} << 28) {
    if (folder.empty()) return;
    ContextDiskOptions options;
    options.folder = folder;
    const ReadingIdentity identity{"model", "settings", "build"};
    disk =
        std::make_unique<ContextDisk>(options, identity, KeptShape{pool.layers(), pool.shape(), shape}, system_files());
    store = std::make_unique<ContextStore>(pool, shape, identity.text(), std::int64_t{1} << 27);
    store->set_disk(disk.get());
  }
  ReadOutcome read(PromptChain chain, Sequence& sequence) {
    return read_prompt(forward, store.get(), pool, sequence, chain, {}, nullptr);
  }

  const Model& model;
  kernels::Stream stream;
  Forward forward;
  DeltaShape shape;
  KvPagePool pool;
  std::unique_ptr<ContextDisk> disk;
  std::unique_ptr<ContextStore> store;
};

inline PromptChain chain_of(std::initializer_list<std::int64_t> lengths) {
  PromptChain chain;
  unsigned seed = 7;
  for (const std::int64_t length : lengths) {
    ChainSegment segment;
    for (std::int64_t index = 0; index < length; ++index) {
      seed = seed * 1664525U + 1013904223U;
      segment.tokens.push_back(static_cast<TokenId>((seed >> 8) % 256));
    }
    segment.id = std::to_string(length);
    chain.segments.push_back(std::move(segment));
    chain.labels.push_back({SegmentLabel::Kind::document, true});
  }
  return chain;
}

inline std::vector<std::byte> rows_of(const KvPagePool& pool, const Sequence& sequence) {
  const kernels::KvShape shape = pool.shape();
  const std::int64_t row = kernels::row_bytes(shape.type, shape.head_dim);
  std::vector<std::byte> rows;
  std::vector<std::byte*> strips(sequence.kv.pages().size());
  for (std::int64_t layer = 0; layer < pool.layers(); ++layer) {
    const auto pages = sequence.kv.strips(layer, strips);
    for (std::int64_t token = 0; token < sequence.position(); ++token)
      for (std::int64_t block = 0; block < 2 * shape.heads; ++block) {
        const std::byte* at = pages[static_cast<std::size_t>(token / kernels::kv_page_tokens)] +
                              (block * kernels::kv_page_tokens + token % kernels::kv_page_tokens) * row;
        rows.insert(rows.end(), at, at + row);
      }
  }
  return rows;
}

}  // namespace lectern::inference::samples
