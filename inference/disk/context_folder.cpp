// Order of every change: files that are to be known are complete and synced before the transaction that names them;
// files that are not to be known any more are deleted or cut after the transaction that forgets them. Killed in
// between, the folder holds a file without a row, or a longer one than its row says; the next start removes or cuts it.
// A file that is being written is locked, so that a start of another process does not take it for such a one.
//
// One connection serves all threads of a process, under one mutex: transactions take microseconds (the log is not
// synced for each), and the alternative, a connection for each thread, has them wait for each other inside SQLite
// instead.
#include "inference/disk/context_folder.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "inference/disk/retention.h"

namespace lectern::inference {

namespace {

constexpr std::int64_t default_budget_bytes = std::int64_t{50} << 30;
constexpr std::int64_t retry_s = 20;
constexpr std::size_t most_quarantined = 8;
constexpr std::int64_t most_quarantined_bytes = std::int64_t{1} << 30;
constexpr std::int64_t day_s = 24 * 3600;

bool is_extent_file(const std::string& name) {
  return name.ends_with(".extent");
}

}  // namespace

ContextFolder::ContextFolder(std::filesystem::path folder, FileSystem& files)
    : folder_(std::move(folder)), files_(files) {
  const std::lock_guard lock(mutex_);
  open_index();
}
ContextFolder::~ContextFolder() = default;

template <class Action>
auto ContextFolder::with_index(Action action) -> std::optional<decltype(action(std::declval<ContextIndex&>()))> {
  const std::lock_guard lock(mutex_);
  if (!open_index()) return std::nullopt;
  try {
    auto result = action(*index_);
    index_problem_.clear();
    return result;
  } catch (const IndexError& error) {
    index_problem_ = error.what();
    is_full_ = error.what_failed() == IndexError::Kind::full;
    if (error.what_failed() == IndexError::Kind::damaged) {
      index_.reset();
      is_damaged_ = true;
      next_try_s_ = INT64_MIN;  // made again at the next call
    }
  } catch (const std::exception& error) {
    index_problem_ = error.what();
  }
  return std::nullopt;
}

bool ContextFolder::open_index() {
  if (index_) return true;
  const std::int64_t now = files_.now_s();
  if (now < next_try_s_ && now >= tried_s_) return false;
  tried_s_ = now;
  next_try_s_ = now + retry_s;
  try {
    open_or_make_index();
    index_problem_.clear();
    return true;
  } catch (const std::exception& error) {
    index_.reset();
    index_problem_ = error.what();
    const auto* in_index = dynamic_cast<const IndexError*>(&error);
    const auto* in_file = dynamic_cast<const FileError*>(&error);
    is_full_ = (in_index && in_index->what_failed() == IndexError::Kind::full) ||
               (in_file && in_file->what_failed() == FileError::Kind::full);
    return false;
  }
}

void ContextFolder::open_or_make_index() {
  files_.make_folder(folder_);
  for (const char* name : {"extents", "quarantine"}) files_.make_folder(folder_ / name);
  const auto alone = files_.lock(folder_ / "lock");  // two processes must not both set an index aside
  const std::filesystem::path path = folder_ / "index.sqlite";
  const auto open = [&] {
    try {
      files_.create(path);  // for its owner alone; SQLite gives its log the same rights
    } catch (const FileError& error) {
      if (error.what_failed() != FileError::Kind::exists) throw;
    }
    index_ = std::make_unique<ContextIndex>(files_.database(path), path.string(), Connection::Mode::read_write);
    Transaction transaction(index_->connection());
    if (index_->is_empty()) {
      index_->make();
      rebuild(*index_);
    } else {
      reconcile(*index_);
    }
    commit(transaction);
  };
  if (std::exchange(is_damaged_, false)) set_index_aside();  // though it may open without a word
  try {
    open();
  } catch (const IndexError& error) {
    if (error.what_failed() != IndexError::Kind::damaged) throw;
    index_.reset();
    set_index_aside();
    open();
  }
}

void ContextFolder::set_index_aside() {
  for (const char* name : {"index.sqlite", "index.sqlite-wal", "index.sqlite-shm"}) {
    const std::filesystem::path from = folder_ / name;
    try {
      files_.rename(from, folder_ / "quarantine" / name);
    } catch (const FileError& error) {
      if (error.what_failed() != FileError::Kind::missing) throw;
    }
  }
}

void ContextFolder::commit(Transaction& transaction) {
  files_.before_commit();
  transaction.commit();
}

// The index is new: every file whose header is sound and whose chain goes back to its root is taken up. What it holds
// behind the header is checked when it is read, as ever.
void ContextFolder::rebuild(ContextIndex& index) {
  std::map<std::pair<std::int64_t, ChainKey>, ExtentRow> found;
  std::map<std::int64_t, ChainKey> roots;
  std::vector<std::string> unwanted;
  for (const FileSystem::Entry& entry : files_.list(extents())) {
    if (!is_extent_file(entry.name)) continue;
    ReadHeader read;
    try {
      const auto file = files_.open(extent_path(entry.name));
      if (!file->try_lock()) continue;  // being written
      read = read_extent_header(*file);
    } catch (const FileError& error) {
      if (error.what_failed() == FileError::Kind::shorter) unwanted.push_back(entry.name);
      continue;
    }
    if (read.result == ReadHeader::Result::other_version) continue;
    const bool whole = read.layout && entry.bytes >= read.layout->file_bytes;
    if (read.result == ReadHeader::Result::damaged || !read.layout ||
        (!whole && entry.bytes != read.layout->row_bytes)) {
      unwanted.push_back(entry.name);
      continue;
    }
    ExtentRow row;
    row.identity = index.identity(read.header.identity);
    roots[row.identity] = read.header.root;
    row.extent = read.header.extent;
    row.has_state = whole;
    row.file = entry.name;
    row.row_bytes = read.layout->row_bytes;
    row.file_bytes = read.layout->file_bytes;
    row.last_used_s = read.header.saved_s;
    auto [at, is_new] = found.try_emplace({row.identity, row.extent.key}, row);
    if (is_new) continue;
    if (whole && !at->second.has_state) std::swap(at->second, row);
    unwanted.push_back(row.file);
  }
  std::vector<const ExtentRow*> order;
  for (const auto& [key, row] : found) order.push_back(&row);
  std::sort(order.begin(), order.end(),
            [](const ExtentRow* a, const ExtentRow* b) { return a->extent.begin < b->extent.begin; });
  std::vector<ExtentRow> kept;
  for (const ExtentRow* row : order) {  // parents end where their children begin, so they come first
    const auto parent = found.find({row->identity, row->extent.parent});
    const bool joins = row->extent.parent == roots[row->identity]
                           ? row->extent.begin == 0
                           : parent != found.end() && parent->second.extent.end == row->extent.begin &&
                                 index.find(row->identity, row->extent.parent).has_value();
    if (joins) {
      kept.push_back(*row);
      kept.back().number = index.insert(*row);
    } else {
      unwanted.push_back(row->file);
    }
  }
  std::reverse(kept.begin(), kept.end());
  for (const ExtentRow& row : kept)  // children first
    if (!row.has_state && !index.has_descendants(row)) {
      index.remove(row, Forgotten::damaged);
      unwanted.push_back(row.file);
    }
  for (const std::string& name : unwanted) remove_quietly(extent_path(name));
}

// Rows whose file is gone or too short go, with what follows; files without a row go, unless they are being written.
void ContextFolder::reconcile(ContextIndex& index) {
  std::map<std::string, std::int64_t> there;
  for (const FileSystem::Entry& entry : files_.list(extents()))
    if (is_extent_file(entry.name)) there.emplace(entry.name, entry.bytes);
  std::vector<ExtentRow> lost;
  std::vector<ExtentRow> rows = index.all();
  for (ExtentRow& row : rows) {
    const auto at = there.find(row.file);
    if (at == there.end() || at->second < row.row_bytes) {
      index.remove_with_descendants(row, Forgotten::damaged, lost);
      continue;
    }
    if (row.has_state && at->second < row.file_bytes) {  // cut by a process whose transaction this index has lost
      index.drop_state(row.number);
      row.has_state = false;
    }
    if (!row.has_state && at->second > row.row_bytes) {  // killed before it was cut
      try {
        files_.open(extent_path(row.file))->truncate(row.row_bytes);
      } catch (const FileError&) {
      }
    }
  }
  std::reverse(rows.begin(), rows.end());
  for (const ExtentRow& row : rows)
    if (!row.has_state && index.find(row.number) && !index.has_descendants(row)) {
      index.remove(row, Forgotten::damaged);
      lost.push_back(row);
    }
  // These have no row any more: if this transaction fails, the next start does the same again.
  remove_files(lost);
  for (const auto& [name, bytes] : there) {
    if (index.knows_file(name)) continue;
    try {
      const auto file = files_.open(extent_path(name));
      if (!file->try_lock()) continue;
      // The lock is given up after the writer's transaction, and this one holds the write lock: what is not known now
      // was never committed.
      if (bytes >= file_block && read_extent_header(*file).result == ReadHeader::Result::other_version) continue;
      files_.remove(extent_path(name));
    } catch (const FileError& error) {
      if (error.what_failed() == FileError::Kind::shorter || error.what_failed() == FileError::Kind::unreadable)
        remove_quietly(extent_path(name));
    }
  }
}

bool ContextFolder::remove_quietly(const std::filesystem::path& file) {
  try {
    files_.remove(file);
    return true;
  } catch (const FileError&) {  // it stays behind as an orphan
    return false;
  }
}

std::int64_t ContextFolder::remove_files(std::span<const ExtentRow> rows) {
  std::int64_t bytes = 0;
  for (const ExtentRow& row : rows)
    if (remove_quietly(extent_path(row.file))) bytes += row.bytes();
  return bytes;
}

void ContextFolder::quarantine(const ExtentRow& row) {
  const std::filesystem::path place = folder_ / "quarantine";
  try {
    files_.rename(extent_path(row.file), place / row.file);
    auto kept = files_.list(place);
    std::erase_if(kept, [&](const auto& entry) { return !is_extent_file(entry.name) || entry.name == row.file; });
    std::int64_t bytes = row.bytes();
    for (const FileSystem::Entry& entry : kept) bytes += entry.bytes;
    for (std::size_t index = 0; index < kept.size(); ++index) {
      if (kept.size() - index < most_quarantined && bytes <= most_quarantined_bytes) break;
      files_.remove(place / kept[index].name);
      bytes -= kept[index].bytes;
    }
  } catch (const FileError&) {
    remove_quietly(extent_path(row.file));
  }
}

void ContextFolder::empty_quarantine() {
  try {
    for (const FileSystem::Entry& entry : files_.list(folder_ / "quarantine"))
      if (is_extent_file(entry.name) || entry.name.starts_with("index.sqlite"))
        remove_quietly(folder_ / "quarantine" / entry.name);
  } catch (const FileError&) {
  }
}

std::vector<ExtentRow> ContextFolder::following(const ReadingIdentity& identity, const ChainKey& parent) {
  return with_index([&](ContextIndex& index) { return index.following(index.identity(identity), parent); })
      .value_or(std::vector<ExtentRow>());
}

std::optional<ExtentRow> ContextFolder::find(std::int64_t number) {
  return with_index([&](ContextIndex& index) { return index.find(number); }).value_or(std::nullopt);
}

bool ContextFolder::holds(const ReadingIdentity& identity, const ChainKey& key) {
  return with_index([&](ContextIndex& index) { return index.find(index.identity(identity), key).has_value(); })
      .value_or(false);
}

void ContextFolder::touch(std::span<const std::int64_t> numbers) {
  with_index([&](ContextIndex& index) {
    const std::int64_t now = files_.now_s();
    Transaction transaction(index.connection());
    for (std::int64_t number : numbers) index.touch(number, now);
    commit(transaction);
    return true;
  });
}

ContextFolder::Wanted ContextFolder::wants(const ReadingIdentity& identity, const ChainKey& root,
                                           const Extent& extent) {
  return with_index([&](ContextIndex& index) {
           const std::int64_t number = index.identity(identity);
           if (const auto kept = index.find(number, extent.key); kept && kept->has_state) return Wanted::kept_already;
           if (extent.parent == root) return extent.begin == 0 ? Wanted::yes : Wanted::parent_missing;
           const auto parent = index.find(number, extent.parent);
           return parent && parent->extent.end == extent.begin ? Wanted::yes : Wanted::parent_missing;
         })
      .value_or(Wanted::unknown);
}

std::optional<std::int64_t> ContextFolder::generation() {
  return with_index([](ContextIndex& index) { return index.generation(); });
}

Clearings ContextFolder::clearings_since(std::int64_t generation) {
  return with_index([&](ContextIndex& index) { return index.clearings_since(generation); }).value_or(Clearings());
}

std::vector<std::int64_t> ContextFolder::places_of(const std::string& document) {
  return with_index([&](ContextIndex& index) { return index.places_of(document); })
      .value_or(std::vector<std::int64_t>());
}

std::int64_t ContextFolder::budget(std::optional<std::int64_t> wanted, std::int64_t kept_bytes) {
  if (wanted) return *wanted;
  return std::min(default_budget_bytes, (files_.space(folder_).free_bytes + kept_bytes) / 10);
}

ContextFolder::Room ContextFolder::room_for(std::int64_t bytes, std::optional<std::int64_t> budget_bytes,
                                            std::int64_t daily_write_bytes) {
  return with_index([&](ContextIndex& index) {
           Room room;
           const auto refuse = [&](const std::string& why) {
             write_problem_ = folder_.string() + ": " + why;
             return room;
           };
           const FileSystem::Space space = files_.space(folder_);
           room.budget_bytes = budget(budget_bytes, index.bytes());
           if (space.free_bytes - bytes < space.total_bytes / 10)
             return refuse("less than a tenth of the disk would stay free; free some space to keep more readings");
           if (bytes > room.budget_bytes) return refuse("a reading is larger than what may be kept; raise the limit");
           if (index.written_on(files_.now_s() / day_s) + bytes > daily_write_bytes)
             return refuse("today's limit of writing is reached; readings are kept again from tomorrow on");
           room.enough = true;
           return room;
         })
      .value_or(Room());
}

ContextFolder::Committed ContextFolder::commit(const ReadingIdentity& identity, const ChainKey& root, ExtentRow row,
                                               std::int64_t generation, std::int64_t budget_bytes) {
  std::vector<ExtentRow> removed, thinned;
  const std::optional<bool> done = with_index([&](ContextIndex& index) {
    const std::int64_t now = files_.now_s();
    Transaction transaction(index.connection());
    row.identity = index.identity(identity);
    row.last_used_s = now;
    // An ancestor that was cleared is gone; its descendants find no parent.
    const Clearings clearings = index.clearings_since(generation);
    for (const ExtentPart& part : row.extent.parts)
      if (clearings.reaches(part.id)) return false;
    if (const auto kept = index.find(row.identity, row.extent.key)) {
      if (kept->has_state) return false;
      // Its state had been thinned: the new file takes its place.
      index.replace(*kept);
      removed.push_back(*kept);
    }
    row.number = index.insert(row);
    const std::vector<ExtentRow> path = index.path_to(row, root);
    if (path.empty() || path.front().extent.begin != 0) return false;  // an ancestor was evicted or cleared
    std::vector<PathExtent> chain;
    for (const ExtentRow& at : path) {
      index.touch(at.number, now);
      chain.push_back({at.number, at.extent.begin, at.extent.end, at.extent.place, at.has_state});
    }
    for (std::int64_t number : states_to_drop(chain)) {
      index.drop_state(number);
      for (const ExtentRow& at : path)
        if (at.number == number) thinned.push_back(at);
    }
    index.add_written(now / day_s, row.file_bytes);
    // The new one goes only if nothing else is left to go.
    for (std::int64_t bytes = index.bytes(); bytes > budget_bytes;) {
      const ExtentRow* least = nullptr;
      double least_worth = std::numeric_limits<double>::infinity();
      const std::vector<ExtentRow> leaves = index.leaves();
      for (const ExtentRow& leaf : leaves) {
        const double leaf_worth =
            worth(leaf.extent.place, leaf.extent.end - leaf.extent.begin, leaf.bytes(), leaf.last_used_s, now);
        if (leaf.number != row.number && leaf_worth < least_worth) least = &leaf, least_worth = leaf_worth;
      }
      if (least == nullptr) return false;
      ExtentRow leaf = *least;
      for (;;) {  // and its ancestors, up to one that has a state or other descendants
        index.remove(leaf, Forgotten::evicted);
        removed.push_back(leaf);
        const auto parent = index.find(leaf.identity, leaf.extent.parent);
        if (!parent || parent->has_state || index.has_descendants(*parent)) break;
        leaf = *parent;
      }
      bytes = index.bytes();
    }
    commit(transaction);
    return true;
  });
  {
    const std::lock_guard lock(mutex_);
    if (!done) write_problem_ = index_problem_;
    if (done.value_or(false)) write_problem_.clear();
  }
  if (!done) return Committed::failed;
  if (!*done) return Committed::unwanted;
  remove_files(removed);
  for (const ExtentRow& at : thinned) {
    try {
      files_.open(extent_path(at.file))->truncate(at.row_bytes);
    } catch (const FileError&) {  // cut at the next start
    }
  }
  return Committed::kept;
}

void ContextFolder::note_not_kept(const ChainKey& key) {
  with_index([&](ContextIndex& index) {
    Transaction transaction(index.connection());
    index.note_not_kept(key);
    commit(transaction);
    return true;
  });
}

void ContextFolder::damaged(std::int64_t number, const std::string& file) {
  std::vector<ExtentRow> removed;
  const bool done = with_index([&](ContextIndex& index) {
                      Transaction transaction(index.connection());
                      const auto row = index.find(number);
                      if (!row || row->file != file) return false;
                      index.remove_with_descendants(*row, Forgotten::damaged, removed);
                      // Ancestors that had no state of their own are of no use now.
                      auto parent = index.find(row->identity, row->extent.parent);
                      while (parent && !parent->has_state && !index.has_descendants(*parent)) {
                        index.remove(*parent, Forgotten::damaged);
                        removed.push_back(*parent);
                        parent = index.find(parent->identity, parent->extent.parent);
                      }
                      commit(transaction);
                      return true;
                    }).value_or(false);
  if (!done) return;
  quarantine(removed.front());
  remove_files(std::span(removed).subspan(1));
}

void ContextFolder::lost(std::int64_t number, const std::string& file) {
  const auto row = find(number);
  if (!row || row->file != file) return;
  try {
    if (files_.open(extent_path(file))->bytes() >= row->bytes()) return;  // thinned, or a reading that failed by chance
  } catch (const FileError& error) {
    // No rights, or too many open files: nothing is wrong with the file.
    if (error.what_failed() == FileError::Kind::other || error.what_failed() == FileError::Kind::forbidden) return;
  }
  damaged(number, file);
}

// What another version wrote, or a program left unfinished when it was killed. A file that is being written is locked,
// and will not be taken up: the clearing came first.
void ContextFolder::remove_unknown_files() {
  with_index([&](ContextIndex& index) {
    const Transaction nobody_commits(index.connection());
    for (const FileSystem::Entry& entry : files_.list(extents())) {
      if (!is_extent_file(entry.name) || index.knows_file(entry.name)) continue;
      try {
        if (!files_.open(extent_path(entry.name))->try_lock()) continue;
      } catch (const FileError&) {  // it cannot be read; perhaps it can be removed
      }
      remove_quietly(extent_path(entry.name));
    }
    return true;
  });
}

/// `choose` removes rows and gathers them; their files, those that do not say what they hold (unknown ones, and the
/// quarantine) and the log of the index go after the transaction.
std::optional<std::int64_t> ContextFolder::clear(
    const std::function<void(ContextIndex&, std::vector<ExtentRow>&)>& choose) {
  std::vector<ExtentRow> removed;
  const bool done = with_index([&](ContextIndex& index) {
                      Transaction transaction(index.connection());
                      choose(index, removed);
                      commit(transaction);
                      return true;
                    }).value_or(false);
  if (!done) return std::nullopt;
  const std::int64_t bytes = remove_files(removed);
  remove_unknown_files();
  empty_quarantine();
  with_index([](ContextIndex& index) {
    index.empty_log();
    return true;
  });
  return bytes;
}

std::optional<std::int64_t> ContextFolder::clear() {
  const auto all = [](ContextIndex& index, std::vector<ExtentRow>& removed) {
    removed = index.all();
    for (const ExtentRow& row : removed) index.remove(row, Forgotten::cleared);
    index.note_clearing_of_all();
    index.forget_readings();
  };
  const auto freed = clear(all);
  if (freed || !is_full_) return freed;
  // Without space the index can be written only when files are gone; a row without its file is taken for lost.
  std::int64_t bytes = 0;
  try {
    for (const FileSystem::Entry& entry : files_.list(extents()))
      if (is_extent_file(entry.name) && remove_quietly(extent_path(entry.name))) bytes += entry.bytes;
  } catch (const FileError&) {
  }
  {
    const std::lock_guard lock(mutex_);
    next_try_s_ = INT64_MIN;
  }
  const auto rest = clear(all);
  return rest ? std::optional(bytes + *rest) : std::nullopt;
}

std::optional<std::int64_t> ContextFolder::clear_document(std::string_view id) {
  return clear([id](ContextIndex& index, std::vector<ExtentRow>& removed) {
    for (const std::string& document : index.with_same_text(id)) {
      index.note_clearing(document);
      for (const ExtentRow& row : index.with_document(document)) {
        index.remove_with_descendants(row, Forgotten::cleared, removed);
        auto parent = index.find(row.identity, row.extent.parent);
        while (parent && !parent->has_state && !index.has_descendants(*parent)) {
          index.remove(*parent, Forgotten::cleared);
          removed.push_back(*parent);
          parent = index.find(parent->identity, parent->extent.parent);
        }
      }
    }
    index.forget_readings_of(id);
  });
}

ContextDiskStats ContextFolder::stats(std::optional<std::int64_t> budget_bytes) {
  ContextDiskStats stats;
  with_index([&](ContextIndex& index) {
    const ContextIndex::Totals totals = index.totals();
    stats.extents = totals.extents;
    stats.tokens = totals.tokens;
    stats.states = totals.states;
    stats.documents = totals.documents;
    stats.bytes = totals.bytes;
    stats.written_bytes_today = index.written_on(files_.now_s() / day_s);
    stats.budget_bytes = budget(budget_bytes, totals.bytes);
    for (const FileSystem::Entry& entry : files_.list(folder_ / "quarantine"))
      if (is_extent_file(entry.name)) ++stats.quarantined;
    return true;
  });
  const std::lock_guard lock(mutex_);
  stats.problem = index_problem_.empty() ? write_problem_ : index_problem_;
  return stats;
}

std::optional<Forgotten> ContextFolder::forgotten(const ChainKey& key) {
  return with_index([&](ContextIndex& index) { return index.forgotten(key); }).value_or(std::nullopt);
}

void ContextFolder::remember_reading(const ReadingIdentity& identity, const std::string& conversation,
                                     std::span<const ReadPart> documents, std::span<const std::uint64_t> contents) {
  with_index([&](ContextIndex& index) {
    Transaction transaction(index.connection());
    index.remember_reading(index.identity(identity), conversation, documents, contents);
    commit(transaction);
    return true;
  });
}

std::vector<ReadPart> ContextFolder::last_reading(const std::string& conversation) {
  return with_index([&](ContextIndex& index) { return index.last_reading(conversation); })
      .value_or(std::vector<ReadPart>());
}

std::optional<ReadingIdentity> ContextFolder::reader_of(std::uint64_t content, const ReadingIdentity& preferred) {
  return with_index([&](ContextIndex& index) { return index.reader_of(content, index.identity(preferred)); })
      .value_or(std::nullopt);
}

void ContextFolder::set_write_problem(const std::string& problem) {
  const std::lock_guard lock(mutex_);
  write_problem_ = problem;
}

ContextDiskStats context_folder_stats(const std::filesystem::path& folder, FileSystem& files,
                                      std::optional<std::int64_t> budget_bytes) {
  try {
    if (files.list(folder).empty()) return {};  // to look is no reason to make it
  } catch (const FileError&) {                  // the index says so too
  }
  return ContextFolder(folder, files).stats(budget_bytes);
}

}  // namespace lectern::inference
