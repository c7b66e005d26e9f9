// save() copies into an image of the file and returns; one writer thread seals the images (checksums), writes, syncs
// and commits them in the order in which they were saved, so that parents come before children. A child whose parent
// failed is refused at its commit.
#include "inference/disk/context_disk.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <exception>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "inference/disk/context_restore.h"

namespace lectern::inference {

namespace {

constexpr std::int64_t retry_s = 30;
constexpr std::chrono::seconds longest_wait{10};
constexpr int most_names = 8;

bool is_plausible(const KeptShape& shape, const Extent& extent, std::span<const TokenId> tokens,
                  std::span<const PageRef> pages, const DeltaSnapshot& state) {
  const auto pages_needed = (extent.end + kernels::kv_page_tokens - 1) / kernels::kv_page_tokens;
  return extent.begin >= 0 && extent.begin < extent.end &&
         static_cast<std::int64_t>(tokens.size()) == extent.end - extent.begin &&
         static_cast<std::int64_t>(pages.size()) >= pages_needed && state.position == extent.end &&
         state.bytes() == shape.delta.bytes() && state.is_finite();
}

}  // namespace

struct ContextDisk::State {
  State(const ContextDiskOptions& wanted, ReadingIdentity reader, const KeptShape& kept, FileSystem& files)
      : options(wanted),
        identity(std::move(reader)),
        root(root_key(identity.text())),
        shape(kept),
        folder(wanted.folder, files),
        names(std::random_device{}()) {
    writer = std::jthread([this](const std::stop_token& stop) { write_behind(stop); });
  }

  struct Queued {
    ExtentImage image;
    std::int64_t generation = 0;
  };

  bool is_paused() {  // with the mutex
    const std::int64_t now = folder.files().now_s();
    return now >= failed_s && now < failed_s + retry_s;
  }
  const Extent* queued(const ChainKey& key) {  // with the mutex
    if (writing && writing->image.header().extent.key == key) return &writing->image.header().extent;
    for (const Queued& item : queue)
      if (item.image.header().extent.key == key) return &item.image.header().extent;
    return nullptr;
  }

  void save(const Extent& extent, std::span<const TokenId> tokens, std::span<const PageRef> pages,
            const DeltaSnapshot& state) {
    if (!is_plausible(shape, extent, tokens, pages, state)) return;
    bool follows_queued = false;
    {
      const std::lock_guard lock(mutex);
      if (is_paused() || queued(extent.key)) return;
      const Extent* parent = queued(extent.parent);
      follows_queued = parent != nullptr && parent->end == extent.begin;
    }
    const auto wanted = folder.wants(identity, root, extent);
    if (wanted == ContextFolder::Wanted::kept_already || wanted == ContextFolder::Wanted::unknown) return;
    if (wanted == ContextFolder::Wanted::parent_missing && !follows_queued) {
      // It may have been committed between the two questions.
      if (folder.wants(identity, root, extent) != ContextFolder::Wanted::yes) return folder.note_not_kept(extent.key);
    }
    const auto generation = noted_generation ? noted_generation : folder.generation();
    if (!generation) return;
    ExtentHeader header{identity, root, extent, shape, {tokens.begin(), tokens.end()}, folder.files().now_s()};
    const ExtentLayout layout(shape, extent.begin, extent.end, header_bytes_of(header));
    {
      std::unique_lock lock(mutex);
      const auto fits = [&] { return queued_bytes == 0 || queued_bytes + layout.file_bytes <= options.queue_bytes; };
      if (!changed.wait_for(lock, longest_wait, [&] { return fits() || is_paused(); }) || is_paused()) return;
    }
    Queued item{ExtentImage(std::move(header), pages, state), *generation};
    const std::lock_guard lock(mutex);
    queued_bytes += item.image.bytes();
    queue.push_back(std::move(item));
    changed.notify_all();
  }

  void write_behind(const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    for (;;) {
      changed.wait(lock, stop, [&] { return !queue.empty(); });
      if (queue.empty()) return;
      writing.emplace(std::move(queue.front()));
      queue.pop_front();
      lock.unlock();
      std::string problem;
      bool failed = false;
      try {
        failed = write(*writing) == ContextFolder::Committed::failed;
      } catch (const std::exception& error) {
        problem = error.what();
        failed = true;
      }
      if (!problem.empty()) folder.set_write_problem(problem);
      const std::int64_t now = folder.files().now_s();
      lock.lock();
      queued_bytes -= writing->image.bytes();
      writing.reset();
      if (failed) {
        failed_s = now;
        queue.clear();
        queued_bytes = 0;
      }
      changed.notify_all();
    }
  }

  /// Throws what goes wrong with the file. What is not wanted or has no room is let go; the folder says why.
  ContextFolder::Committed write(Queued& item) {
    ExtentImage& image = item.image;
    const auto room = folder.room_for(image.bytes(), options.budget_bytes, options.daily_write_bytes);
    if (!room.enough) {
      folder.note_not_kept(image.header().extent.key);
      return ContextFolder::Committed::unwanted;
    }
    image.seal();
    std::string name;
    std::unique_ptr<OpenFile> file = create(image, name);
    auto committed = ContextFolder::Committed::failed;
    try {
      image.write(*file);
      file->sync();
      folder.files().sync_folder(folder.extents());
      ExtentRow row;
      row.extent = image.header().extent;
      row.has_state = true;
      row.file = name;
      row.row_bytes = image.layout().row_bytes;
      row.file_bytes = image.layout().file_bytes;
      committed = folder.commit(identity, root, row, item.generation, room.budget_bytes);
    } catch (...) {
      remove(name);
      throw;
    }
    if (committed != ContextFolder::Committed::kept) remove(name);
    return committed;
  }

  std::unique_ptr<OpenFile> create(const ExtentImage& image, std::string& name) {
    for (int attempt = 1;; ++attempt) {
      const ChainKey& key = image.header().extent.key;
      char text[64];
      std::snprintf(text, sizeof text, "%016llx%016llx-%08llx.extent", static_cast<unsigned long long>(key.high),
                    static_cast<unsigned long long>(key.low), static_cast<unsigned long long>(names() & 0xFFFFFFFFU));
      name = text;
      try {
        return folder.files().create(folder.extent_path(name));
      } catch (const FileError& error) {
        if (error.what_failed() != FileError::Kind::exists || attempt == most_names) throw;
      }
    }
  }

  void remove(const std::string& name) {
    try {
      folder.files().remove(folder.extent_path(name));
    } catch (const FileError&) {  // an orphan, until the next start
    }
  }

  void flush() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return queue.empty() && !writing; });
  }

  ContextDiskOptions options;
  ReadingIdentity identity;
  ChainKey root;
  KeptShape shape;
  ContextFolder folder;
  std::mt19937_64 names;  // the writer's

  std::mutex mutex;
  std::condition_variable_any changed;
  std::deque<Queued> queue;
  std::optional<Queued> writing;  // changed with the mutex; the writer alone looks into it without
  std::int64_t queued_bytes = 0;  // of both
  std::int64_t failed_s = INT64_MIN / 2;
  std::optional<std::int64_t> noted_generation;  // of new_clearings(), the engine's thread
  std::jthread writer;                           // last: it ends before what it uses
};

ContextDisk::ContextDisk(const ContextDiskOptions& options, const ReadingIdentity& identity, const KeptShape& shape,
                         FileSystem& files)
    : state_(std::make_unique<State>(options, identity, shape, files)) {}

ContextDisk::~ContextDisk() {
  flush();
}

void ContextDisk::save(const Extent& extent, std::span<const TokenId> tokens, std::span<const PageRef> pages,
                       const DeltaSnapshot& state) {
  try {
    state_->save(extent, tokens, pages, state);
  } catch (const std::bad_alloc&) {
    state_->folder.set_write_problem(state_->folder.path().string() + ": there is no memory for a copy of the reading");
  }
}

bool ContextDisk::holds(const ChainKey& key) {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->queued(key)) return true;
  }
  return state_->folder.holds(state_->identity, key);
}

std::vector<StoredExtent> ContextDisk::following(const ChainKey& parent) {
  std::vector<StoredExtent> extents;
  for (ExtentRow& row : state_->folder.following(state_->identity, parent)) {
    StoredExtent extent;
    static_cast<Extent&>(extent) = std::move(row.extent);
    extent.number = row.number;
    extent.has_state = row.has_state;
    extents.push_back(std::move(extent));
  }
  return extents;
}

std::unique_ptr<ContextRestore> ContextDisk::restore(std::span<const StoredExtent> path,
                                                     std::span<const TokenId> tokens, const RestoreTarget& target) {
  try {
    return start_restore(state_->folder, state_->identity, state_->root, state_->shape, path, tokens, target);
  } catch (const std::exception&) {  // no memory, no thread: a miss
    return nullptr;
  }
}

void ContextDisk::flush() {
  state_->flush();
}

std::optional<std::int64_t> ContextDisk::clear() {
  {
    const std::lock_guard lock(state_->mutex);
    for (const State::Queued& item : state_->queue) state_->queued_bytes -= item.image.bytes();
    state_->queue.clear();
    state_->changed.notify_all();
  }
  flush();
  return state_->folder.clear();
}

std::optional<std::int64_t> ContextDisk::clear_document(std::string_view id) {
  flush();
  return state_->folder.clear_document(id);
}

ContextDiskStats ContextDisk::stats() {
  return state_->folder.stats(state_->options.budget_bytes);
}
Clearings ContextDisk::new_clearings() {
  const auto now = state_->folder.generation();
  if (!now) return {};
  const auto before = std::exchange(state_->noted_generation, now);
  if (!before || before == now) return {};
  return state_->folder.clearings_since(*before);
}

std::vector<std::int64_t> ContextDisk::places_of(const std::string& document) {
  return state_->folder.places_of(document);
}

std::optional<Forgotten> ContextDisk::forgotten(const ChainKey& key) {
  return state_->folder.forgotten(key);
}

bool ContextDisk::is_usable() {
  return state_->folder.generation().has_value();
}

void ContextDisk::remember_reading(const std::string& conversation, std::span<const ReadPart> documents,
                                   std::span<const std::uint64_t> contents) {
  state_->folder.remember_reading(state_->identity, conversation, documents, contents);
}
std::vector<ReadPart> ContextDisk::last_reading(const std::string& conversation) {
  return state_->folder.last_reading(conversation);
}
std::optional<ReadingIdentity> ContextDisk::reader_of(std::uint64_t content) {
  return state_->folder.reader_of(content, state_->identity);
}

}  // namespace lectern::inference
