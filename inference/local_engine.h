// The engine that computes on this machine: one thread, one model, one context store.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>

#include "inference/context_store.h"
#include "inference/disk/context_disk.h"
#include "inference/engine.h"

namespace lectern::inference {

struct LocalEngineOptions {
  std::filesystem::path file;          // a GGUF model
  std::optional<std::int64_t> window;  // tokens; nothing: the model's own up to 32,768, or what memory allows
  int threads = 0;                     // 0: one per physical core
  std::int64_t cache_budget_bytes = std::int64_t{2} << 30;  // kept readings; 0: nothing is kept
  /// Where readings are kept on the disk; empty: in memory alone. Several engines and programs may use one folder.
  std::filesystem::path kept_folder;
  std::optional<std::int64_t> kept_budget_bytes;  // nothing: 50 GB or a tenth of what is free, whichever is less
  std::int64_t drafts = 0;   // tokens that the model's own draft layer guesses at a time, 0 to 4; 0: none
  std::int64_t chunk = 512;  // tokens read per pass, >= 128: a stop takes effect within one
};

/// What a local engine can do beside Engine.
class LocalEngine : public Engine {
 public:
  virtual ContextStoreStats cache_stats() const = 0;
  /// Of the folder, or nothing where readings are kept in memory alone.
  virtual std::optional<ContextDiskStats> disk_stats() const = 0;
  /// Forgets all kept readings, after the request that runs now; on the disk those of all models.
  virtual void clear_cache() = 0;
};

/// Opens the model on the calling thread (seconds for large files) and starts the engine's thread. Destroying the
/// engine cancels what runs and waits: their futures hold `cancelled` results. Throws lectern::Error that names the
/// file.
std::unique_ptr<LocalEngine> open_local_engine(const LocalEngineOptions& options);

}  // namespace lectern::inference
