// A queue under one mutex and one thread. The thread ends only when it was asked to and nothing is queued: what was
// posted is saved even when the program closes right after.
#include "app/database_writer.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "app/migrations.h"

namespace lectern::app {

struct DatabaseWriter::State {
  explicit State(const std::string& path) : database(path, Database::Mode::read_write) {
    migrate(database, migrations());
    thread = std::jthread([this](std::stop_token stop) { work(stop); });
  }

  void work(std::stop_token stop) {
    for (;;) {
      std::packaged_task<void(Database&)> task;
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, stop, [this] { return !queue.empty(); });
        if (queue.empty()) return;
        task = std::move(queue.front());
        queue.pop_front();
      }
      task(database);  // an exception goes to the future
    }
  }

  Database database;
  std::mutex mutex;
  std::condition_variable_any wake;
  std::deque<std::packaged_task<void(Database&)>> queue;
  std::jthread thread;  // last: it ends before what it uses
};

DatabaseWriter::DatabaseWriter(const std::string& path) : state_(std::make_unique<State>(path)) {}

DatabaseWriter::~DatabaseWriter() = default;

std::future<void> DatabaseWriter::post(std::function<void(Database&)> task) {
  std::packaged_task<void(Database&)> packaged(std::move(task));
  std::future<void> future = packaged.get_future();
  {
    const std::lock_guard lock(state_->mutex);
    state_->queue.push_back(std::move(packaged));
  }
  state_->wake.notify_one();
  return future;
}

const std::string& DatabaseWriter::path() const {
  return state_->database.path();
}

}  // namespace lectern::app
