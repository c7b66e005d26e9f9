// The strips that are needed become a list of jobs in the order in which layers run: DeltaNet layer 0, keys and values
// of layer 0, DeltaNet layer 1, … A job is one read of up to 8 MiB that lies together in one file. Whole pages are read
// into their memory, the rest through a buffer. Two threads take jobs in order, so that one checks what it has read
// while the other waits for the disk. What fails stops everything: the request is read from its documents instead.
#include "inference/disk/context_restore.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace lectern::inference {

namespace {

constexpr std::int64_t most_read_bytes = std::int64_t{8} << 20;
constexpr int reading_threads = 2;

/// A strip of a job.
struct Piece {
  enum class Kind { rows, delta, hidden };
  Kind kind = Kind::rows;
  Strip strip;
  std::byte* page = nullptr;                     // one layer's memory of the page that the rows belong to
  bool whole_page = false;                       // read straight into it
  std::int64_t strip_first = 0, strip_last = 0;  // rows of the page that the strip holds
  std::int64_t first = 0;                        // rows of the page that are wanted: [first, strip_last)
};

struct Job {
  std::size_t source = 0;
  bool is_delta = false;
  std::int64_t layer = 0;  // of its kind; the hidden row is the layer after the last DeltaNet layer
  std::int64_t offset = 0, bytes = 0;
  std::vector<Piece> pieces;
};

struct Source {
  std::int64_t number = 0;
  std::string name;
  std::unique_ptr<OpenFile> file;
  ExtentHeader header;
  std::optional<ExtentLayout> layout;
};

class Restore : public ContextRestore {
 public:
  Restore(ContextFolder& folder, const KeptShape& shape, std::vector<Source> sources, const RestoreTarget& target)
      : folder_(folder), shape_(shape), sources_(std::move(sources)), target_(target) {
    plan();
    const auto wanted = std::min<std::size_t>(jobs_.size(), reading_threads);
    for (std::size_t index = 0; index < wanted; ++index)
      threads_.emplace_back([this](const std::stop_token& stop) { run(stop); });
  }

  bool wait_for_keys_and_values(std::int64_t layer) override { return wait(rows_left_, layer); }
  bool wait_for_delta(std::int64_t layer) override { return wait(delta_left_, layer); }
  bool finish() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return failed_ || left_ == 0; });
    return !failed_;
  }
  std::int64_t bytes() const override { return bytes_; }

 private:
  bool wait(const std::vector<std::int64_t>& left, std::int64_t layer) {
    std::unique_lock lock(mutex_);
    const auto& count = left[static_cast<std::size_t>(layer)];
    changed_.wait(lock, [&] { return failed_ || count == 0; });
    return count == 0;
  }

  void plan() {
    rows_left_.resize(static_cast<std::size_t>(shape_.layers));
    delta_left_.resize(static_cast<std::size_t>(shape_.delta.layers + 1));
    const std::int64_t layers = std::max(shape_.layers, shape_.delta.layers);
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      if (target_.snapshot && layer < shape_.delta.layers)
        add_state(layer, sources_.back().layout->delta_strip(layer), Piece::Kind::delta);
      if (layer < shape_.layers)
        for (std::size_t source = 0; source < sources_.size(); ++source) add_rows(layer, source);
    }
    if (target_.snapshot) add_state(shape_.delta.layers, sources_.back().layout->hidden_strip(), Piece::Kind::hidden);
    for (const Job& job : jobs_) {
      ++(job.is_delta ? delta_left_ : rows_left_)[static_cast<std::size_t>(job.layer)];
      bytes_ += job.bytes;
    }
    left_ = static_cast<std::int64_t>(jobs_.size());
  }

  void add_state(std::int64_t layer, std::size_t strip, Piece::Kind kind) {
    const Source& source = sources_.back();
    Job job{sources_.size() - 1, true, layer, source.layout->strips[strip].offset, 0, {}};
    job.pieces.push_back({kind, source.layout->strips[strip], nullptr, false, 0, 0, 0});
    job.bytes = job.pieces.back().strip.padded_bytes();
    jobs_.push_back(std::move(job));
  }

  void add_rows(std::int64_t layer, std::size_t index) {
    const Source& source = sources_[index];
    const Extent& extent = source.header.extent;
    if (extent.end <= target_.first) return;
    std::optional<Job> job;
    for (std::int64_t page = source.layout->first_page; page < source.layout->first_page + source.layout->pages;
         ++page) {
      const std::int64_t page_start = page * kernels::kv_page_tokens;
      Piece piece;
      piece.strip = source.layout->strips[source.layout->rows_strip(layer, page)];
      piece.strip_first = std::max(extent.begin, page_start) - page_start;
      piece.strip_last = std::min(extent.end - page_start, kernels::kv_page_tokens);
      piece.first = std::max(piece.strip_first, target_.first - page_start);
      if (piece.first >= piece.strip_last) continue;
      piece.page = target_.kv->pages()[static_cast<std::size_t>(page)].data() + layer * shape_.kv.strip_bytes();
      piece.whole_page = piece.first == 0 && piece.strip_last == kernels::kv_page_tokens &&
                         piece.strip.bytes % file_block == 0 &&
                         reinterpret_cast<std::uintptr_t>(piece.page) % file_block == 0;
      const std::int64_t bytes = piece.strip.padded_bytes();
      if (job && job->bytes + bytes > most_read_bytes) jobs_.push_back(*std::exchange(job, std::nullopt));
      if (!job) job = Job{index, false, layer, piece.strip.offset, 0, {}};
      job->bytes += bytes;
      job->pieces.push_back(piece);
    }
    if (job) jobs_.push_back(std::move(*job));
  }

  void run(const std::stop_token& stop) {
    AlignedBuffer buffer;
    while (!stop.stop_requested()) {
      const std::size_t next = next_.fetch_add(1);
      if (next >= jobs_.size()) return;
      const Job& job = jobs_[next];
      const Source& source = sources_[job.source];
      bool sound = false;
      try {
        sound = read(job, buffer);
        if (!sound) folder_.damaged(source.number, source.name);
      } catch (const FileError& error) {
        if (error.what_failed() == FileError::Kind::unreadable)
          folder_.damaged(source.number, source.name);
        else
          folder_.lost(source.number, source.name);
      } catch (const std::exception&) {  // no memory for a buffer: a miss
      }
      const std::lock_guard lock(mutex_);
      if (sound) {
        --(job.is_delta ? delta_left_ : rows_left_)[static_cast<std::size_t>(job.layer)];
        --left_;
      } else {
        failed_ = true;
        next_ = jobs_.size();
      }
      changed_.notify_all();
    }
  }

  bool read(const Job& job, AlignedBuffer& buffer) {
    std::int64_t buffered = 0;
    for (const Piece& piece : job.pieces)
      if (!piece.whole_page) buffered += piece.strip.padded_bytes();
    if (buffer.bytes() < buffered) buffer = AlignedBuffer(std::max(buffered, std::int64_t{1} << 16));
    std::vector<std::span<std::byte>> into;
    std::int64_t used = 0;
    for (const Piece& piece : job.pieces) {
      const auto bytes = static_cast<std::size_t>(piece.strip.padded_bytes());
      if (piece.whole_page) {
        into.emplace_back(piece.page, bytes);
      } else {
        into.emplace_back(buffer.data() + used, bytes);
        used += piece.strip.padded_bytes();
      }
    }
    sources_[job.source].file->read(job.offset, into);
    for (std::size_t index = 0; index < job.pieces.size(); ++index) {
      const Piece& piece = job.pieces[index];
      const std::span<const std::byte> strip = into[index];
      if (checksum(strip) != piece.strip.checksum) return false;
      switch (piece.kind) {
        case Piece::Kind::rows:
          if (!piece.whole_page)
            place_rows(shape_.kv, strip, piece.strip_first, piece.strip_last, piece.first, piece.strip_last,
                       piece.page);
          break;
        case Piece::Kind::delta:
          if (!place_delta(strip, job.layer, *target_.snapshot)) return false;
          break;
        case Piece::Kind::hidden:
          if (!place_hidden(strip, sources_.back().header.extent.end, *target_.snapshot)) return false;
          break;
      }
    }
    return true;
  }

  ContextFolder& folder_;
  KeptShape shape_;
  std::vector<Source> sources_;
  RestoreTarget target_;
  std::vector<Job> jobs_;
  std::int64_t bytes_ = 0;
  std::atomic<std::size_t> next_ = 0;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::int64_t> rows_left_, delta_left_;  // jobs, by layer
  std::int64_t left_ = 0;
  bool failed_ = false;
  std::vector<std::jthread> threads_;  // last: they end before what they use
};

bool joins(std::span<const StoredExtent> path) {
  for (std::size_t index = 1; index < path.size(); ++index)
    if (path[index].parent != path[index - 1].key || path[index].begin != path[index - 1].end) return false;
  return true;
}

}  // namespace

std::unique_ptr<ContextRestore> start_restore(ContextFolder& folder, const ReadingIdentity& identity,
                                              const ChainKey& root, const KeptShape& shape,
                                              std::span<const StoredExtent> path, std::span<const TokenId> tokens,
                                              const RestoreTarget& target) {
  if (path.empty() || !joins(path) ||
      static_cast<std::int64_t>(tokens.size()) != path.back().end - path.front().begin ||
      static_cast<std::int64_t>(target.kv ? target.kv->pages().size() : 0) * kernels::kv_page_tokens < path.back().end)
    return nullptr;
  std::vector<Source> sources;
  std::vector<std::int64_t> numbers;
  for (const StoredExtent& stored : path) {
    const auto row = folder.find(stored.number);
    if (!row || static_cast<const Extent&>(stored) != row->extent) return nullptr;  // gone since
    const bool is_last = &stored == &path.back();
    if (is_last && target.snapshot && !row->has_state) return nullptr;
    numbers.push_back(stored.number);
    Source source{stored.number, row->file, nullptr, {}, {}};
    try {
      source.file = folder.files().open(folder.extent_path(row->file));
      ReadHeader read = read_extent_header(*source.file);
      if (read.result != ReadHeader::Result::sound || read.header.identity != identity || read.header.root != root ||
          read.header.extent != row->extent || !same(read.header.shape, shape) ||
          read.layout->row_bytes != row->row_bytes || read.layout->file_bytes != row->file_bytes) {
        folder.damaged(stored.number, row->file);
        return nullptr;
      }
      if (source.file->bytes() < row->bytes()) {
        folder.lost(stored.number, row->file);
        return nullptr;
      }
      source.header = std::move(read.header);
      source.layout = std::move(read.layout);
    } catch (const FileError& error) {
      if (error.what_failed() == FileError::Kind::unreadable)
        folder.damaged(stored.number, row->file);
      else
        folder.lost(stored.number, row->file);
      return nullptr;
    }
    const auto ids = tokens.subspan(static_cast<std::size_t>(stored.begin - path.front().begin),
                                    static_cast<std::size_t>(stored.end - stored.begin));
    if (!std::equal(ids.begin(), ids.end(), source.header.tokens.begin(), source.header.tokens.end()))
      return nullptr;  // sound, but not what was asked for
    sources.push_back(std::move(source));
  }
  folder.touch(numbers);
  return std::make_unique<Restore>(folder, shape, std::move(sources), target);
}

}  // namespace lectern::inference
