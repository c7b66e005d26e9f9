// Files in memory that fail on demand: at any step, in any block of a write, by a kill, a power cut or flipped bits.
#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "inference/disk/file_system.h"

namespace lectern::test {

using inference::FileError;
using inference::FileSystem;
using inference::OpenFile;

/// Thread-safe. The index is a database in memory that lives as long as this.
class MemoryFileSystem : public FileSystem {
 public:
  enum class Step {
    create,
    open,
    lock,
    make_folder,
    rename,
    remove,
    sync_folder,
    list,
    read,
    write,
    sync,
    truncate,
    commit
  };
  using Path = std::filesystem::path;

  MemoryFileSystem() {
    static std::atomic<int> count = 0;
    database_ = "file:/kept-" + std::to_string(++count) + "?vfs=memdb";
    sqlite3_open_v2(database_.c_str(), &keeper_, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI, nullptr);
  }
  ~MemoryFileSystem() override { sqlite3_close_v2(keeper_); }
  MemoryFileSystem(const MemoryFileSystem&) = delete;
  MemoryFileSystem& operator=(const MemoryFileSystem&) = delete;

  // ---- what tests do with it

  /// Called before every step, a write counting once for each block; what it throws is the step's error.
  void set_hook(std::function<void(Step, const Path&)> hook) {
    const std::lock_guard lock(mutex_);
    hook_ = std::move(hook);
  }
  /// Called with what a read gives, before the caller sees it.
  void set_read_hook(std::function<void(const Path&, std::span<std::byte>)> hook) {
    const std::lock_guard lock(mutex_);
    read_hook_ = std::move(hook);
  }
  /// The process dies before its `steps`th next step: from there on nothing it does has an effect. 0: it lives.
  void kill_after(std::int64_t steps) {
    const std::lock_guard lock(mutex_);
    steps_left_ = steps;
    is_dead_ = false;
  }
  bool is_dead() {
    const std::lock_guard lock(mutex_);
    return is_dead_;
  }
  /// A new process starts.
  void revive() {
    const std::lock_guard lock(mutex_);
    steps_left_ = 0;
    is_dead_ = false;
    for (auto& [path, node] : nodes_) node->is_locked = false;
  }
  /// As revive(), after a power cut: of what was not synced any block may be old or new, any name missing.
  void cut_power(std::mt19937& random) {
    revive();
    const std::lock_guard lock(mutex_);
    for (auto at = nodes_.begin(); at != nodes_.end();) {
      Node& node = *at->second;
      if (!node.name_is_synced && random() % 2 == 0) {
        at = nodes_.erase(at);
        continue;
      }
      if (!node.is_synced) {
        std::vector<std::byte> old = node.synced;
        if (random() % 2 == 0) node.content.resize(node.content.size() / 4096 * (random() % 2));
        old.resize(node.content.size());
        for (std::size_t block = 0; block < node.content.size(); block += 4096)
          if (random() % 2 == 0)
            std::copy_n(old.begin() + static_cast<std::ptrdiff_t>(block),
                        std::min<std::size_t>(4096, old.size() - block),
                        node.content.begin() + static_cast<std::ptrdiff_t>(block));
      }
      ++at;
    }
  }
  std::int64_t steps() {
    const std::lock_guard lock(mutex_);
    return steps_;
  }
  std::vector<Path> files(const std::string& ending = ".extent") {
    const std::lock_guard lock(mutex_);
    std::vector<Path> found;
    for (const auto& [path, node] : nodes_)
      if (path.ends_with(ending)) found.emplace_back(path);
    return found;
  }
  /// A file's bytes, to look at or to damage.
  std::vector<std::byte>& content(const Path& file) {
    const std::lock_guard lock(mutex_);
    return nodes_.at(file.string())->content;
  }
  bool is_there(const Path& file) {
    const std::lock_guard lock(mutex_);
    return nodes_.contains(file.string());
  }
  std::int64_t clock_s = 1'000'000'000;
  Space free_space{std::int64_t{1} << 40, std::int64_t{1} << 41};

  // ---- FileSystem

  std::unique_ptr<OpenFile> create(const Path& file) override {
    const std::lock_guard lock(mutex_);
    step(Step::create, file);
    if (nodes_.contains(file.string())) throw FileError(FileError::Kind::exists, file.string() + ": is there already");
    return opened(file, nodes_[file.string()] = std::make_shared<Node>(), true);
  }
  std::unique_ptr<OpenFile> open(const Path& file) override {
    const std::lock_guard lock(mutex_);
    step(Step::open, file);
    return opened(file, find(file), false);
  }
  std::unique_ptr<OpenFile> lock(const Path& file) override {
    const std::lock_guard lock(mutex_);
    step(Step::lock, file);
    auto& node = nodes_[file.string()];
    if (!node) node = std::make_shared<Node>();
    return opened(file, node, false);  // one thread at a time opens folders in these tests
  }
  void make_folder(const Path& folder) override {
    const std::lock_guard lock(mutex_);
    step(Step::make_folder, folder);
  }
  void rename(const Path& from, const Path& to) override {
    const std::lock_guard lock(mutex_);
    step(Step::rename, from);
    auto node = find(from);
    nodes_.erase(from.string());
    nodes_[to.string()] = std::move(node);
  }
  void remove(const Path& file) override {
    const std::lock_guard lock(mutex_);
    step(Step::remove, file);
    nodes_.erase(file.string());
  }
  void sync_folder(const Path& folder) override {
    const std::lock_guard lock(mutex_);
    step(Step::sync_folder, folder);
    for (auto& [path, node] : nodes_)
      if (Path(path).parent_path() == folder) node->name_is_synced = true;
  }
  std::vector<Entry> list(const Path& folder) override {
    const std::lock_guard lock(mutex_);
    step(Step::list, folder);
    std::vector<Entry> entries;
    const std::string start = folder.string() + "/";
    for (auto at = nodes_.lower_bound(start); at != nodes_.end() && at->first.starts_with(start); ++at)
      if (at->first.find('/', start.size()) == std::string::npos)
        entries.push_back({at->first.substr(start.size()), static_cast<std::int64_t>(at->second->content.size())});
    return entries;
  }
  Space space(const Path&) override { return free_space; }
  std::int64_t now_s() override { return clock_s; }
  std::string database(const Path&) override { return database_; }
  void before_commit() override {
    const std::lock_guard lock(mutex_);
    step(Step::commit, {});
  }

 private:
  struct Node {
    std::vector<std::byte> content, synced;
    bool is_synced = true, name_is_synced = false, is_locked = false;
  };

  class File : public OpenFile {
   public:
    File(MemoryFileSystem& system, Path path, std::shared_ptr<Node> node, bool locked)
        : system_(system), path_(std::move(path)), node_(std::move(node)), holds_lock_(locked) {
      if (locked) node_->is_locked = true;
    }
    ~File() override {
      const std::lock_guard lock(system_.mutex_);
      if (holds_lock_) node_->is_locked = false;
    }
    void read(std::int64_t offset, std::span<const std::span<std::byte>> into) override {
      const std::lock_guard lock(system_.mutex_);
      system_.step(Step::read, path_);
      auto at = static_cast<std::size_t>(offset);
      for (const auto& piece : into) {
        if (at + piece.size() > node_->content.size())
          throw FileError(FileError::Kind::shorter, path_.string() + ": the file ends too early");
        std::memcpy(piece.data(), node_->content.data() + at, piece.size());
        if (system_.read_hook_) system_.read_hook_(path_, piece);
        at += piece.size();
      }
    }
    void write(std::int64_t offset, std::span<const std::byte> bytes) override {
      const std::lock_guard lock(system_.mutex_);
      for (std::size_t block = 0; block < bytes.size(); block += 4096) {
        system_.step(Step::write, path_);
        const auto at = static_cast<std::size_t>(offset) + block;
        const std::size_t size = std::min<std::size_t>(4096, bytes.size() - block);
        if (node_->content.size() < at + size) node_->content.resize(at + size);
        std::memcpy(node_->content.data() + at, bytes.data() + block, size);
        node_->is_synced = false;
      }
    }
    void sync() override {
      const std::lock_guard lock(system_.mutex_);
      system_.step(Step::sync, path_);
      node_->synced = node_->content;
      node_->is_synced = true;
    }
    void truncate(std::int64_t bytes) override {
      const std::lock_guard lock(system_.mutex_);
      system_.step(Step::truncate, path_);
      node_->content.resize(static_cast<std::size_t>(bytes));
    }
    std::int64_t bytes() override {
      const std::lock_guard lock(system_.mutex_);
      return static_cast<std::int64_t>(node_->content.size());
    }
    bool try_lock() override {
      const std::lock_guard lock(system_.mutex_);
      if (node_->is_locked) return false;
      return node_->is_locked = holds_lock_ = true;
    }

   private:
    MemoryFileSystem& system_;
    Path path_;
    std::shared_ptr<Node> node_;
    bool holds_lock_;
  };

  std::unique_ptr<OpenFile> opened(const Path& path, std::shared_ptr<Node> node, bool locked) {
    return std::make_unique<File>(*this, path, std::move(node), locked);
  }
  std::shared_ptr<Node> find(const Path& file) {
    const auto at = nodes_.find(file.string());
    if (at == nodes_.end()) throw FileError(FileError::Kind::missing, file.string() + ": is not there");
    return at->second;
  }
  void step(Step step, const Path& path) {
    ++steps_;
    if (steps_left_ > 0 && --steps_left_ == 0) is_dead_ = true;
    if (is_dead_) throw FileError(FileError::Kind::other, "the process is dead");
    if (hook_) hook_(step, path);
  }

  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Node>> nodes_;
  std::function<void(Step, const Path&)> hook_;
  std::function<void(const Path&, std::span<std::byte>)> read_hook_;
  std::int64_t steps_ = 0, steps_left_ = 0;
  bool is_dead_ = false;
  std::string database_;
  sqlite3* keeper_ = nullptr;
};

}  // namespace lectern::test
