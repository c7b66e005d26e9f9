// Two worker threads read files, each through a child process of its own; what happens goes through one queue to the
// calling thread, which alone talks to the observer and to the database. A worker waits while too many read documents
// are not stored yet, so that a large folder never stands in memory as a whole.
#include "app/ingest.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "app/library.h"
#include "documents/reader_client.h"

namespace lectern::app {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr int reader_processes = 2;
constexpr std::size_t most_unstored = 4;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Job {
  std::string path;  // absolute
  std::string name;
  std::string collection;
};

/// What a worker tells: an event, and at the end the document.
struct Notice {
  std::size_t job = 0;
  IngestEvent event;
  std::optional<documents::Document> document;
  std::optional<FileStamp> stamp;
};

class Notices {
 public:
  void push(Notice notice, std::stop_token stop) {
    std::unique_lock lock(mutex_);
    if (notice.document) {
      room_.wait(lock, stop, [this] { return unstored_ < most_unstored; });
      ++unstored_;
    }
    queue_.push_back(std::move(notice));
    lock.unlock();
    arrived_.notify_one();
  }
  void worker_done() {
    {
      const std::lock_guard lock(mutex_);
      ++workers_done_;
    }
    arrived_.notify_one();
  }
  /// Empty when every worker is done and all was taken.
  std::optional<Notice> take() {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] { return !queue_.empty() || workers_done_ == reader_processes; });
    if (queue_.empty()) return std::nullopt;
    Notice notice = std::move(queue_.front());
    queue_.pop_front();
    return notice;
  }
  void stored() {
    {
      const std::lock_guard lock(mutex_);
      --unstored_;
    }
    room_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::condition_variable_any room_;
  std::deque<Notice> queue_;
  std::size_t unstored_ = 0;
  int workers_done_ = 0;
};

std::string absolute(const std::string& path) {
  std::error_code error;
  fs::path result = fs::absolute(path, error);
  if (error) return path;
  result = result.lexically_normal();
  if (!result.has_filename() && result.has_relative_path()) result = result.parent_path();  // "folder/"
  return result.string();
}

IngestEvent event_of(const Job& job, IngestEvent::Kind kind) {
  IngestEvent event;
  event.path = job.path;
  event.collection = job.collection;
  event.kind = kind;
  return event;
}

IngestEvent failed(const Job& job, const std::string& problem) {
  IngestEvent event = event_of(job, IngestEvent::Kind::failed);
  event.problem = problem;
  std::replace(event.problem.begin(), event.problem.end(), '\n', ' ');
  return event;
}

IngestEvent failed(const Job& job, const documents::Error& error) {
  if (error.kind() == documents::ErrorKind::cancelled)
    return failed(job, job.path + ": reading was stopped; add it again to read it");
  IngestEvent event = failed(job, error.what());
  event.password_needed = error.kind() == documents::ErrorKind::encrypted;
  return event;
}

/// Reads one file; every outcome is a notice.
void read_one(const Job& job, std::size_t index, const std::string& password, Notices& notices, std::stop_token stop) {
  notices.push({.job = index, .event = event_of(job, IngestEvent::Kind::started), .document = {}, .stamp = {}}, stop);
  const Clock::time_point start = Clock::now();
  documents::ReadOptions options;
  options.password = password;
  int pages_read = 0;
  options.progress = [&](int, int pages) {
    IngestEvent event = event_of(job, IngestEvent::Kind::progress);
    event.pages_read = ++pages_read;
    event.pages = pages;
    event.seconds_left = seconds_since(start) / pages_read * std::max(0, pages - pages_read);
    notices.push({.job = index, .event = std::move(event), .document = {}, .stamp = {}}, stop);
  };
  Notice outcome{.job = index, .event = {}, .document = {}, .stamp = file_stamp(job.path)};
  try {
    documents::Document document = documents::read_document(job.path, options, stop);
    document.path = job.path;
    document.name = job.name;
    outcome.event = event_of(job, IngestEvent::Kind::finished);
    outcome.document = std::move(document);
  } catch (const documents::Error& error) {
    outcome.event = failed(job, error);
  } catch (const std::exception& error) {
    outcome.event = failed(job, job.path + ": " + error.what());
  }
  notices.push(std::move(outcome), stop);
}

class Ingest {
 public:
  Ingest(DatabaseWriter& writer, const std::function<void(const IngestEvent&)>& observer)
      : writer_(writer), observer_(observer) {}

  IngestResult run(const std::vector<std::string>& paths, const std::string& password, std::stop_token stop) {
    const Clock::time_point start = Clock::now();
    for (const std::string& path : paths) {
      if (stop.stop_requested()) break;
      collect(absolute(path), password, stop);
    }
    fingerprints_.resize(jobs_.size());
    take_unchanged();
    read_rest(password, stop);
    std::set<std::string> seen;
    for (const std::string& fingerprint : fingerprints_)
      if (!fingerprint.empty() && seen.insert(fingerprint).second) result_.fingerprints.push_back(fingerprint);
    result_.seconds = seconds_since(start);
    return std::move(result_);
  }

 private:
  void tell(const IngestEvent& event) {
    if (event.kind == IngestEvent::Kind::failed) result_.failures.push_back({event.path, event.problem});
    if (observer_) observer_(event);
  }

  void add_job(Job job) {
    if (paths_.insert(job.path).second) jobs_.push_back(std::move(job));
  }

  void collect(const std::string& path, const std::string& password, std::stop_token stop) {
    const std::string name = fs::path(path).filename().string();
    std::error_code ignored;
    if (!fs::is_directory(path, ignored)) {
      add_job({path, name, {}});
      return;
    }
    const Job folder{path, name, name.empty() ? path : name};
    try {
      documents::ReaderOptions options;
      options.password = password;
      const documents::SourceList list = documents::list_folder(path, options, stop);
      const std::string skipped = documents::skipped_summary(list);
      if (list.files.empty())
        throw documents::Error(documents::ErrorKind::empty, path + ": the folder holds no file that can be read" +
                                                                (skipped.empty() ? "" : " (skipped: " + skipped + ")") +
                                                                "; choose another one");
      if (!skipped.empty()) result_.notes.push_back("folder " + folder.collection + ": skipped " + skipped);
      for (const documents::SourceFile& file : list.files)
        add_job({absolute(path + "/" + file.relative), file.relative, folder.collection});
    } catch (const documents::Error& error) {
      tell(failed(folder, error));
    }
  }

  void take_unchanged() {
    std::vector<DocumentRow> rows(jobs_.size());
    writer_.call([&](Database& database) {
      Library library(database);
      for (std::size_t i = 0; i < jobs_.size(); ++i) {
        const std::optional<std::string> fingerprint = library.unchanged(jobs_[i].path);
        if (!fingerprint) continue;
        if (!jobs_[i].collection.empty()) library.move_to_collection(jobs_[i].path, jobs_[i].name, jobs_[i].collection);
        rows[i] = library.row(*fingerprint).value();
      }
    });
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      if (rows[i].fingerprint.empty()) {
        waiting_.push_back(i);
        continue;
      }
      fingerprints_[i] = rows[i].fingerprint;
      IngestEvent event = event_of(jobs_[i], IngestEvent::Kind::finished);
      event.fingerprint = rows[i].fingerprint;
      event.pages = event.pages_read = rows[i].pages;
      event.problem = rows[i].problem;
      tell(event);
    }
  }

  void read_rest(const std::string& password, std::stop_token stop) {
    if (waiting_.empty()) return;
    Notices notices;
    std::mutex mutex;  // over `next`
    std::size_t next = 0;
    std::stop_source source;
    const std::stop_callback forward(stop, [&source] { source.request_stop(); });
    const auto work = [&] {
      for (;;) {
        std::size_t index = 0;
        {
          const std::lock_guard lock(mutex);
          if (next == waiting_.size() || source.stop_requested()) break;
          index = waiting_[next++];
        }
        read_one(jobs_[index], index, password, notices, source.get_token());
      }
      notices.worker_done();
    };
    std::vector<std::jthread> workers;
    for (int i = 0; i < reader_processes; ++i) workers.emplace_back(work);
    try {
      while (std::optional<Notice> notice = notices.take()) {
        if (notice->document) {
          store(*notice);
          notices.stored();
        }
        tell(notice->event);
      }
    } catch (...) {
      source.request_stop();  // the library cannot be written, or the observer threw
      throw;                  // the workers are joined on the way
    }
  }

  void store(Notice& notice) {
    const Job& job = jobs_[notice.job];
    documents::Document& document = *notice.document;
    writer_.call([&](Database& database) { Library(database).add(document, job.collection, notice.stamp); });
    fingerprints_[notice.job] = document.fingerprint;
    notice.event.fingerprint = document.fingerprint;
    notice.event.pages = notice.event.pages_read = static_cast<int>(document.pages.size());
    notice.event.problem = reading_problem(document.report);
  }

  DatabaseWriter& writer_;
  const std::function<void(const IngestEvent&)>& observer_;
  std::vector<Job> jobs_;
  std::set<std::string> paths_;
  std::vector<std::size_t> waiting_;       // jobs that must be read
  std::vector<std::string> fingerprints_;  // by job
  IngestResult result_;
};

}  // namespace

IngestResult ingest(DatabaseWriter& writer, const std::vector<std::string>& paths, const std::string& password,
                    const std::function<void(const IngestEvent&)>& observer, std::stop_token stop) {
  return Ingest(writer, observer).run(paths, password, stop);
}

}  // namespace lectern::app
