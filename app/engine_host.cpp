// Two threads: one opens models, answers questions in order and reads ahead, one counts tokens and asks the engine for
// prices, so that the context bar does not wait for an answer. Reading ahead is a request like any other, but one that
// gives way: a question stops it, and it goes on when no question is left. What an answer reports while it streams is
// left in a box that a timer empties once a frame on the GUI thread: a signal a token would flood the event loop. Each
// request carries its own stop source.
#include "app/engine_host.h"

#include <QTimer>
#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <stop_token>

#include "app/context_planner.h"
#include "app/session_store.h"
#include "app/task_thread.h"

namespace lectern::app {
namespace {

constexpr int frame_ms = 16;

/// What the window shows, and is read ahead.
struct Target {
  std::int64_t session = 0;
  std::vector<std::string> fingerprints;
  std::int64_t room = 0;
  bool operator==(const Target&) const = default;
};

/// What the answering thread leaves for the next frame.
struct Frame {
  std::string text;
  bool has_reading = false;
  std::int64_t read = 0, total = 0;
  double seconds_left = -1;
};

struct Request {
  std::int64_t session = 0;
  bool is_ahead = false;    // reading that nobody waits for
  std::int64_t answer = 0;  // once started
  std::stop_source stop;
  std::mutex mutex;
  Frame frame;  // under `mutex`
  bool frame_asked = false;
};

}  // namespace

struct EngineHost::State {
  State(EngineHost& owner, DatabaseWriter& database_writer, EngineOpener engine_opener)
      : host(owner), writer(database_writer), opener(std::move(engine_opener)), planner(database_writer) {
    timer.setInterval(frame_ms);
    QObject::connect(&timer, &QTimer::timeout, &host, [this] { deliver_frames(); });
  }
  ~State() {
    for (const auto& request : requests) request->stop.request_stop();
    interrupt_reading();
  }

  template <class Function>
  void on_gui(Function function) {
    QMetaObject::invokeMethod(&host, std::move(function), Qt::QueuedConnection);
  }

  std::shared_ptr<inference::Engine> current_engine() {
    const std::scoped_lock lock(mutex);
    return engine;
  }

  // ---- answering thread ----

  void open(const std::string& file) {
    {
      const std::scoped_lock lock(mutex);
      engine.reset();
    }
    service.reset();
    service_engine.reset();  // the old model's memory is free before the new one is opened
    EngineState next;
    try {
      std::shared_ptr<inference::Engine> opened = opener(file);
      next.phase = EngineState::Phase::ready;
      next.model = opened->describe();
      const std::scoped_lock lock(mutex);
      engine = std::move(opened);
    } catch (const std::exception& error) {
      next.phase = EngineState::Phase::failed;
      next.problem = QString::fromUtf8(error.what());
    }
    on_gui([this, next] {
      --opening;
      if (opening > 0) return;  // another one is on its way
      shown = next;
      Q_EMIT host.engine_changed();
    });
  }

  /// Null while no model is open.
  AnswerService* current_service() {
    const std::shared_ptr<inference::Engine> used = current_engine();
    if (!used) return nullptr;
    if (service_engine != used) {
      service_engine = used;
      service.emplace(*used, writer);
    }
    return &*service;
  }

  AskObserver observer_of(const std::shared_ptr<Request>& request) {
    AskObserver observer;
    observer.started = [this, request](std::int64_t question, std::int64_t answer) {
      on_gui([this, request, question, answer] {
        request->answer = answer;
        Q_EMIT host.answer_started(request->session, question, answer);
      });
    };
    observer.reading = [this, request](std::int64_t read, std::int64_t total, double seconds_left) {
      change_frame(request, [&](Frame& frame) {
        frame.has_reading = true;
        frame.read = read;
        frame.total = total;
        frame.seconds_left = seconds_left;
      });
    };
    observer.text = [this, request](std::string_view text) {
      change_frame(request, [&](Frame& frame) { frame.text += text; });
    };
    return observer;
  }

  template <class Change>
  void change_frame(const std::shared_ptr<Request>& request, Change change) {
    bool ask = false;
    {
      const std::scoped_lock lock(request->mutex);
      change(request->frame);
      ask = !std::exchange(request->frame_asked, true);
    }
    if (ask) {
      on_gui([this] {
        if (!timer.isActive()) timer.start();
      });
    }
  }

  template <class Work>
  void run(const std::shared_ptr<Request>& request, Work work) {
    Message answer;
    answer.session = request->session;
    answer.role = inference::Role::assistant;
    std::int64_t begun = 0;
    try {
      AnswerService* answers = current_service();
      if (!answers) {
        answer.state = MessageState::failed;
        answer.problem = "model: none is open; choose or add one first";
      } else {
        AskObserver observer = observer_of(request);
        const auto started = observer.started;
        observer.started = [&begun, started](std::int64_t question, std::int64_t id) {
          begun = id;
          started(question, id);
        };
        answer = work(*answers, observer);
      }
    } catch (const std::exception& error) {
      answer.state = MessageState::failed;
      answer.problem = error.what();
      // As saved, with what had been written.
      if (begun != 0) {
        try {
          if (auto saved = writer.call([begun](Database& database) { return SessionStore(database).message(begun); }))
            answer = *saved;
        } catch (const std::exception&) {
        }
      }
    }
    on_gui([this, request, answer] {
      deliver(*request);
      std::erase(requests, request);
      Q_EMIT host.answer_finished(request->session, answer);
      if (requests.empty() && target) measure_target();  // and the reading goes on
    });
  }

  // ---- counting thread ----

  /// One that a newer one follows is left out: only what the window shows now is of use.
  void measure(const Target& wanted, std::uint64_t number) {
    if (number != newest_measure) return;
    const std::shared_ptr<inference::Engine> used = current_engine();
    ContextUse use;
    try {
      use = planner.measure(used.get(), wanted.session, wanted.fingerprints, wanted.room);
    } catch (const std::exception&) {
      return;  // the bar keeps its last figures; what is wrong with the library shows where it is used
    }
    on_gui([this, wanted, use] {
      Q_EMIT host.context_measured(wanted.session, use);
      if (target == wanted) start_reading(use);
    });
  }

  void price(std::int64_t session, const std::vector<std::string>& from, const std::vector<std::string>& to) {
    DocumentsPrice price;
    try {
      const std::shared_ptr<inference::Engine> used = current_engine();
      price = planner.price(used.get(), session, from, to);
    } catch (const std::exception&) {
      price = {};  // what cannot be asked for is not held up
    }
    on_gui([this, session, to, price] { Q_EMIT host.documents_priced(session, to, price); });
  }

  // ---- GUI thread, reading ahead ----

  void measure_target() {
    const std::uint64_t number = ++newest_measure;
    counting.post([this, wanted = *target, number] { measure(wanted, number); });
  }

  void start_reading(const ContextUse& use) {
    if (!reads_ahead || settled || reading || !requests.empty() || shown.phase != EngineState::Phase::ready) return;
    if (!use.fits || target->fingerprints.empty() || use.documents_to_read == 0) return;
    reading = std::make_shared<Request>();
    reading->is_ahead = true;
    reading->session = target->session;
    ReadingAhead first;
    first.running = true;
    for (const ContextUse::Part& part : use.parts) {
      if (part.fingerprint.isEmpty() && part.name != QLatin1String("instructions")) continue;
      first.read += part.kept;
      first.total += part.tokens;
    }
    first.seconds_left = use.documents_seconds;
    Q_EMIT host.reading_ahead(reading->session, first);
    answering.post([this, request = reading, wanted = *target] { read(request, wanted); });
  }

  /// On the answering thread.
  void read(const std::shared_ptr<Request>& request, const Target& wanted) {
    bool is_done = true;  // failed as well: the question that needs it will say why
    try {
      if (request->stop.stop_requested()) {
        is_done = false;
      } else if (AnswerService* answers = current_service()) {
        const AnswerReport report =
            answers->read(wanted.session, wanted.fingerprints, observer_of(request), request->stop.get_token());
        is_done = report.finish_reason != inference::FinishReason::cancelled;
      }
    } catch (const std::exception&) {
    }
    on_gui([this, request, wanted, is_done] {
      deliver(*request);
      if (reading == request) reading.reset();
      if (is_done && target == wanted) settled = true;
      Q_EMIT host.reading_ahead(request->session, {});
      if (target) measure_target();
    });
  }

  void interrupt_reading() {
    if (reading) reading->stop.request_stop();
  }

  // ---- GUI thread ----

  void deliver(Request& request) {
    Frame frame;
    {
      const std::scoped_lock lock(request.mutex);
      frame = std::exchange(request.frame, Frame());
      request.frame_asked = false;
    }
    if (frame.has_reading && request.is_ahead)
      Q_EMIT host.reading_ahead(request.session, {true, frame.read, frame.total, frame.seconds_left});
    else if (frame.has_reading)
      Q_EMIT host.reading_progress(request.session, frame.read, frame.total, frame.seconds_left);
    if (!frame.text.empty())
      Q_EMIT host.answer_text(request.session, request.answer, QString::fromStdString(frame.text));
  }

  void deliver_frames() {
    bool any = false;
    auto now = requests;  // a slot may ask or stop
    if (reading) now.push_back(reading);
    for (const auto& request : now) {
      {
        const std::scoped_lock lock(request->mutex);
        if (!request->frame_asked) continue;
      }
      any = true;
      deliver(*request);
    }
    if (!any) timer.stop();
  }

  EngineHost& host;
  DatabaseWriter& writer;
  EngineOpener opener;

  // GUI thread
  QTimer timer;
  EngineState shown;
  int opening = 0;
  std::vector<std::shared_ptr<Request>> requests;
  std::optional<Target> target;
  std::shared_ptr<Request> reading;  // ahead: one at a time
  bool reads_ahead = true;
  bool settled = false;  // the target has been read, or the person stopped it

  std::atomic<std::uint64_t> newest_measure = 0;
  std::mutex mutex;
  std::shared_ptr<inference::Engine> engine;  // under `mutex`

  // counting thread
  ContextPlanner planner;

  // answering thread
  std::shared_ptr<inference::Engine> service_engine;
  std::optional<AnswerService> service;

  TaskThread counting, answering;  // last: they end before what they use
};

EngineHost::EngineHost(DatabaseWriter& writer, EngineOpener opener, QObject* parent)
    : QObject(parent), state_(std::make_unique<State>(*this, writer, std::move(opener))) {
  qRegisterMetaType<Message>();
  qRegisterMetaType<ContextUse>();
  qRegisterMetaType<ReadingAhead>();
  qRegisterMetaType<DocumentsPrice>();
}

EngineHost::~EngineHost() = default;

void EngineHost::open(const std::string& file) {
  ++state_->opening;
  state_->interrupt_reading();
  state_->settled = false;
  state_->shown = EngineState();
  state_->shown.phase = EngineState::Phase::loading;
  state_->answering.post([state = state_.get(), file] { state->open(file); });
  Q_EMIT engine_changed();
}

void EngineHost::fail(const QString& problem) {
  state_->shown = EngineState();
  state_->shown.problem = problem;
  Q_EMIT engine_changed();
}

EngineState EngineHost::engine() const {
  return state_->shown;
}

void EngineHost::ask(std::int64_t session, const QString& question, std::int64_t parent, const AskOptions& options) {
  auto request = std::make_shared<Request>();
  request->session = session;
  state_->requests.push_back(request);
  state_->interrupt_reading();  // the question goes first and takes up where the reading was
  state_->answering.post([state = state_.get(), request, text = question.toStdString(), parent, options] {
    state->run(request, [&](AnswerService& service, const AskObserver& observer) {
      return service.ask(request->session, text, parent, options, observer, request->stop.get_token());
    });
  });
}

void EngineHost::regenerate(std::int64_t session, std::int64_t answer, const AskOptions& options) {
  auto request = std::make_shared<Request>();
  request->session = session;
  state_->requests.push_back(request);
  state_->interrupt_reading();  // the question goes first and takes up where the reading was
  state_->answering.post([state = state_.get(), request, answer, options] {
    state->run(request, [&](AnswerService& service, const AskObserver& observer) {
      return service.regenerate(request->session, answer, options, observer, request->stop.get_token());
    });
  });
}

void EngineHost::stop(std::int64_t session) {
  const bool busy = is_busy(session);
  for (const auto& request : state_->requests) {
    if (request->session == session) request->stop.request_stop();
  }
  if (busy || !state_->target || state_->target->session != session) return;
  state_->settled = true;
  state_->interrupt_reading();
}

bool EngineHost::is_busy(std::int64_t session) const {
  return std::any_of(state_->requests.begin(), state_->requests.end(),
                     [&](const auto& request) { return request->session == session; });
}

void EngineHost::measure(std::int64_t session, const std::vector<std::string>& fingerprints, std::int64_t room) {
  const Target wanted{session, fingerprints, room};
  if (state_->target != wanted) {
    state_->target = wanted;
    state_->settled = false;
    state_->interrupt_reading();
  }
  state_->measure_target();
}

void EngineHost::price(std::int64_t session, const std::vector<std::string>& from, const std::vector<std::string>& to) {
  state_->counting.post([state = state_.get(), session, from, to] { state->price(session, from, to); });
}

void EngineHost::set_read_ahead(bool on) {
  state_->reads_ahead = on;
  state_->settled = false;
  if (!on) state_->interrupt_reading();
  if (on && state_->target) state_->measure_target();
}

void EngineHost::forget(const std::vector<std::string>& ids) {
  const std::shared_ptr<inference::Engine> engine = state_->current_engine();
  if (!engine) return;
  for (const std::string& id : ids) engine->forget_document(id);
}

}  // namespace lectern::app
