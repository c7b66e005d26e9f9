// The ingest thread runs one batch after another (a batch is what was dropped at once) and leaves its events in a box;
// one queued call at a time empties the box on the GUI thread, so that a thousand pages a second cost a few signals. A
// person can take one path out of a batch that is being read: the batch is stopped and the others are queued again,
// which is cheap, since what was read already has not changed.
#include "app/ingest_host.h"

#include <QDir>
#include <QFileInfo>
#include <QTimer>
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <stop_token>
#include <thread>

#include "app/ingest.h"

namespace lectern::app {
namespace {

constexpr std::chrono::milliseconds pause_between_signals{100};

QString absolute(const QString& path) {
  return QDir::cleanPath(QFileInfo(path).absoluteFilePath());
}

bool is_at_or_in(const QString& path, const QString& top) {
  return path == top || path.startsWith(top.endsWith(u'/') ? top : top + u'/');
}

struct Batch {
  QStringList paths;  // absolute
  QString password;
};

/// What the ingest thread leaves for the GUI thread.
struct Delivery {
  std::vector<IngestEvent> events;
  std::vector<std::string> notes;
  std::vector<QString> ended;  // paths of a batch that is over
  QString problem;             // why it broke off, or empty
};

}  // namespace

struct IngestHost::State {
  State(IngestHost& owner, DatabaseWriter& database_writer) : host(owner), writer(database_writer) {
    thread = std::jthread([this](std::stop_token stop) { work(stop); });
  }

  // ---- ingest thread ----

  void work(std::stop_token stop) {
    for (;;) {
      Batch batch;
      std::stop_source source;
      {
        std::unique_lock lock(mutex);
        if (!wake.wait(lock, stop, [this] { return !queue.empty(); })) return;
        batch = std::move(queue.front());
        queue.pop_front();
        current = batch;
        current_stop = source;
      }
      const std::stop_callback forward(stop, [&source] { source.request_stop(); });
      run(batch, source.get_token());
    }
  }

  void run(const Batch& batch, std::stop_token stop) {
    std::vector<std::string> paths;
    for (const QString& path : batch.paths) paths.push_back(path.toStdString());
    Delivery last;
    try {
      const auto observe = [this](const IngestEvent& event) {
        deliver([&](Delivery& delivery) { delivery.events.push_back(event); });
      };
      last.notes = ingest(writer, paths, batch.password.toStdString(), observe, stop).notes;
    } catch (const std::exception& error) {
      last.problem = QString::fromUtf8(error.what());
    }
    {
      const std::lock_guard lock(mutex);
      for (const QString& path : current.paths)
        if (std::find(dismissed.begin(), dismissed.end(), path) == dismissed.end()) last.ended.push_back(path);
      if (!dismissed.empty() && !last.ended.empty()) {
        Batch rest{QStringList(last.ended.begin(), last.ended.end()), batch.password};
        queue.push_front(std::move(rest));
        last.ended.clear();
      }
      dismissed.clear();
      current = {};
    }
    deliver([&](Delivery& delivery) {
      delivery.notes.insert(delivery.notes.end(), last.notes.begin(), last.notes.end());
      delivery.ended.insert(delivery.ended.end(), last.ended.begin(), last.ended.end());
      if (!last.problem.isEmpty()) delivery.problem = last.problem;
    });
  }

  template <class Add>
  void deliver(Add add) {
    const std::lock_guard lock(mutex);
    add(box);
    if (call_pending) return;
    call_pending = true;
    QMetaObject::invokeMethod(
        &host, [this] { schedule(); }, Qt::QueuedConnection);
  }

  // ---- GUI thread ----

  void schedule() {
    const auto since = std::chrono::steady_clock::now() - last_received;
    if (since >= pause_between_signals)
      receive();
    else
      QTimer::singleShot(std::chrono::ceil<std::chrono::milliseconds>(pause_between_signals - since), &host,
                         [this] { receive(); });
  }

  void receive() {
    last_received = std::chrono::steady_clock::now();
    Delivery delivery;
    {
      const std::lock_guard lock(mutex);
      std::swap(delivery, box);
      call_pending = false;
    }
    std::vector<IngestEvent> told;
    for (IngestEvent& event : delivery.events)
      if (take(event)) told.push_back(std::move(event));
    std::vector<QString> broken;
    for (const QString& top : delivery.ended) end(top, delivery.problem, broken);
    Q_EMIT host.changed();
    for (const IngestEvent& event : told) {
      const QString path = QString::fromStdString(event.path);
      if (event.kind == IngestEvent::Kind::failed)
        Q_EMIT host.failed(path, QString::fromStdString(event.problem), event.password_needed);
      else
        Q_EMIT host.finished(path, QString::fromStdString(event.fingerprint));
    }
    for (const QString& path : broken) Q_EMIT host.failed(path, delivery.problem, false);
    for (const std::string& note : delivery.notes) Q_EMIT host.noted(QString::fromStdString(note));
  }

  /// True: an end that the window is told about.
  bool take(const IngestEvent& event) {
    const QString path = QString::fromStdString(event.path);
    const auto is_gone = [&](const QString& top) { return is_at_or_in(path, top); };
    if (event.kind == IngestEvent::Kind::finished) {
      rows.erase(path);
      return true;
    }
    if (std::any_of(gone.begin(), gone.end(), is_gone)) {
      rows.erase(path);
      return false;
    }
    DocumentRow& row = row_of(path);
    row.collection = event.collection;
    row.pages_read = event.pages_read;
    row.pages = event.pages;
    row.seconds_left = event.seconds_left;
    if (event.kind != IngestEvent::Kind::failed) return false;
    row.state = DocumentState::failed;
    row.problem = event.problem;
    return true;
  }

  DocumentRow& row_of(const QString& path) {
    const auto [found, is_new] = rows.try_emplace(path);
    if (is_new) {
      found->second.path = path.toStdString();
      found->second.name = QFileInfo(path).fileName().toStdString();
      found->second.state = DocumentState::reading;
      found->second.added_ms =
          std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
              .count();
    }
    return found->second;
  }

  /// A path of a batch is over: nothing at or in it is being read any more.
  void end(const QString& top, const QString& problem, std::vector<QString>& broken) {
    for (auto it = rows.begin(); it != rows.end();) {
      if (it->second.state != DocumentState::reading || !is_at_or_in(it->first, top)) {
        ++it;
      } else if (problem.isEmpty()) {
        it = rows.erase(it);  // the row of a folder
      } else {
        it->second.state = DocumentState::failed;
        it->second.problem = problem.toStdString();
        broken.push_back(it->first);
        ++it;
      }
    }
  }

  IngestHost& host;
  DatabaseWriter& writer;
  // GUI thread
  std::map<QString, DocumentRow> rows;
  std::chrono::steady_clock::time_point last_received;
  QStringList gone;  // dismissed while being read: their last events are not shown
  // both, under the mutex
  mutable std::mutex mutex;
  std::condition_variable_any wake;
  std::deque<Batch> queue;
  Batch current;
  std::stop_source current_stop;
  std::vector<QString> dismissed;  // paths of `current`
  Delivery box;
  bool call_pending = false;
  std::jthread thread;  // last: it ends before what it uses
};

IngestHost::IngestHost(DatabaseWriter& writer, QObject* parent)
    : QObject(parent), state_(std::make_unique<State>(*this, writer)) {}

IngestHost::~IngestHost() = default;

void IngestHost::add(const QStringList& paths, const QString& password) {
  Batch batch{{}, password};
  for (const QString& path : paths) {
    batch.paths.push_back(absolute(path));
    state_->gone.removeAll(batch.paths.back());
    state_->rows.erase(batch.paths.back());
    state_->row_of(batch.paths.back());
  }
  if (batch.paths.isEmpty()) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->queue.push_back(std::move(batch));
  }
  state_->wake.notify_one();
  Q_EMIT changed();
}

void IngestHost::dismiss(const QString& path) {
  const QString target = absolute(path);
  QString top;  // what of a batch it belongs to
  {
    const std::lock_guard lock(state_->mutex);
    const auto holds = [&](const QString& candidate) { return is_at_or_in(target, candidate); };
    const auto row = state_->rows.find(target);
    const bool is_reading = row != state_->rows.end() && row->second.state == DocumentState::reading;
    for (Batch& batch : state_->queue) {
      const auto found = std::find_if(batch.paths.begin(), batch.paths.end(), holds);
      if (found == batch.paths.end() || !is_reading) continue;
      top = *found;
      batch.paths.erase(found);
      break;
    }
    if (top.isEmpty() && is_reading) {
      const QStringList& paths = state_->current.paths;
      const auto found = std::find_if(paths.begin(), paths.end(), holds);
      if (found != paths.end()) {
        top = *found;
        state_->dismissed.push_back(top);
        state_->current_stop.request_stop();
      }
    }
    std::erase_if(state_->queue, [](const Batch& batch) { return batch.paths.isEmpty(); });
  }
  if (top.isEmpty()) {
    state_->rows.erase(target);
  } else {
    state_->gone.push_back(top);
    std::erase_if(state_->rows, [&](const auto& entry) { return is_at_or_in(entry.first, top); });
  }
  Q_EMIT changed();
}

bool IngestHost::is_busy() const {
  const std::lock_guard lock(state_->mutex);
  return !state_->queue.empty() || !state_->current.paths.isEmpty();
}

std::vector<DocumentRow> IngestHost::rows() const {
  std::vector<DocumentRow> rows;
  for (const auto& [path, row] : state_->rows) rows.push_back(row);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const DocumentRow& a, const DocumentRow& b) { return a.added_ms > b.added_ms; });
  return rows;
}

}  // namespace lectern::app
