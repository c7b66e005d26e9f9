// Two threads: one opens models and answers questions in order, one counts tokens, so that the context bar does not
// wait for an answer. What an answer reports while it streams is left in a box that a timer empties once a frame on the
// GUI thread: a signal a token would flood the event loop. Each request carries its own stop source.
#include "app/engine_host.h"

#include <QTimer>
#include <algorithm>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <unordered_set>

#include "app/coverage.h"
#include "app/embedded_files.h"
#include "app/library.h"
#include "app/session_store.h"
#include "app/task_thread.h"

namespace lectern::app {
namespace {

constexpr int frame_ms = 16;

/// What the answering thread leaves for the next frame.
struct Frame {
  std::string text;
  bool has_reading = false;
  std::int64_t read = 0, total = 0;
  double seconds_left = -1;
};

struct Request {
  std::int64_t session = 0;
  std::int64_t answer = 0;  // once started
  std::stop_source stop;
  std::mutex mutex;
  Frame frame;  // under `mutex`
  bool frame_asked = false;
};

}  // namespace

struct EngineHost::State {
  State(EngineHost& owner, DatabaseWriter& database_writer, EngineOpener engine_opener)
      : host(owner), writer(database_writer), opener(std::move(engine_opener)) {
    timer.setInterval(frame_ms);
    QObject::connect(&timer, &QTimer::timeout, &host, [this] { deliver_frames(); });
  }
  ~State() {
    for (const auto& request : requests) request->stop.request_stop();
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
      kept_orders.clear();
      kept_answers.clear();
      prefill_tokens_per_s = 0;
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
      const std::shared_ptr<inference::Engine> used = current_engine();
      if (!used) {
        answer.state = MessageState::failed;
        answer.problem = "model: none is open; choose or add one first";
      } else {
        if (service_engine != used) {
          service_engine = used;
          service.emplace(*used, writer);
        }
        AskObserver observer = observer_of(request);
        const auto started = observer.started;
        observer.started = [&begun, started](std::int64_t question, std::int64_t id) {
          begun = id;
          started(question, id);
        };
        answer = work(*service, observer);
        remember_reading(answer);
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
      if (requests.empty()) timer.stop();
      Q_EMIT host.answer_finished(request->session, answer);
    });
  }

  void remember_reading(const Message& answer) {
    if (!answer.report || answer.report->coverage.dropped_tokens > 0) return;
    std::vector<std::string> order =
        writer.call([&](Database& database) { return SessionStore(database).documents(answer.session); });
    const std::scoped_lock lock(mutex);
    kept_orders.push_back(std::move(order));
    kept_answers.insert(answer.id);
    const AnswerReport& report = *answer.report;
    if (report.timing.prefill_s > 0.05 && report.usage.computed_tokens > 0) {
      prefill_tokens_per_s = static_cast<double>(report.usage.computed_tokens) / report.timing.prefill_s;
    }
  }

  // ---- counting thread ----

  void measure(std::int64_t session, const std::vector<std::string>& fingerprints, std::int64_t room) {
    ContextUse use;
    const std::shared_ptr<inference::Engine> used = current_engine();
    try {
      const auto count = [&](std::string_view text) { return used ? used->count_tokens(text) : 0; };
      const std::string model = used ? used->describe().file : std::string();
      use.window = used ? used->describe().window : 0;
      Database database(writer.path(), Database::Mode::read_only);
      const Library library(database);
      std::vector<std::vector<std::string>> orders;
      std::unordered_set<std::int64_t> answers;
      double rate = 0;
      {
        const std::scoped_lock lock(mutex);
        orders = kept_orders;
        answers = kept_answers;
        rate = prefill_tokens_per_s;
      }
      std::int64_t total = 0, unread = 0;
      const auto add = [&](const QString& name, std::int64_t tokens, bool kept) {
        use.parts.push_back({name, tokens, kept});
        total += tokens;
        if (!kept) unread += tokens;
      };
      add(QStringLiteral("instructions"), count(embedded_file("prompts/system.txt")), !orders.empty());
      for (std::size_t at = 0; at < fingerprints.size(); ++at) {
        const std::optional<DocumentRow> row = library.row(fingerprints[at]);
        if (!row) continue;
        std::optional<std::int64_t> tokens;
        if (used) tokens = library.tokens(fingerprints[at], model);
        if (used && !tokens) {
          if (const std::optional<documents::Document> document = library.load(fingerprints[at])) {
            tokens = document_tokens(*document, count);
            writer.call([&](Database& writing) { Library(writing).set_tokens(fingerprints[at], model, *tokens); });
          }
        }
        // A document is kept if some reading began with it and all that stand before it.
        const bool kept = std::any_of(orders.begin(), orders.end(), [&](const std::vector<std::string>& order) {
          return order.size() > at &&
                 std::equal(fingerprints.begin(), fingerprints.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                            order.begin());
        });
        add(QString::fromStdString(row->name), tokens.value_or(0), kept);
      }
      std::int64_t conversation = 0;
      bool conversation_kept = false;
      if (session != 0) {
        for (const Message& message : SessionStore(database).branch(session)) {
          conversation +=
              message.token_ids.empty() ? count(message.text) : static_cast<std::int64_t>(message.token_ids.size());
          conversation_kept = answers.contains(message.id);  // the state after an answer stands for all before it
        }
      }
      if (conversation > 0) add(QStringLiteral("conversation"), conversation, conversation_kept);
      use.fits = use.window == 0 || total - conversation + std::min(room, use.window / 4) <= use.window;
      if (rate > 0) use.seconds_to_read = static_cast<double>(unread) / rate;
    } catch (const std::exception&) {
      return;  // the bar keeps its last figures; what is wrong with the library shows where it is used
    }
    on_gui([this, session, use] { Q_EMIT host.context_measured(session, use); });
  }

  // ---- GUI thread ----

  void deliver(Request& request) {
    Frame frame;
    {
      const std::scoped_lock lock(request.mutex);
      frame = std::exchange(request.frame, Frame());
      request.frame_asked = false;
    }
    if (frame.has_reading) Q_EMIT host.reading_progress(request.session, frame.read, frame.total, frame.seconds_left);
    if (!frame.text.empty())
      Q_EMIT host.answer_text(request.session, request.answer, QString::fromStdString(frame.text));
  }

  void deliver_frames() {
    bool any = false;
    const auto now = requests;  // a slot may ask or stop
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

  std::mutex mutex;
  std::shared_ptr<inference::Engine> engine;          // under `mutex`
  std::vector<std::vector<std::string>> kept_orders;  // documents that were read, in order; under `mutex`
  std::unordered_set<std::int64_t> kept_answers;      // messages whose state the engine kept; under `mutex`
  double prefill_tokens_per_s = 0;                    // of the last reading; under `mutex`

  // answering thread
  std::shared_ptr<inference::Engine> service_engine;
  std::optional<AnswerService> service;

  TaskThread counting, answering;  // last: they end before what they use
};

EngineHost::EngineHost(DatabaseWriter& writer, EngineOpener opener, QObject* parent)
    : QObject(parent), state_(std::make_unique<State>(*this, writer, std::move(opener))) {
  qRegisterMetaType<Message>();
  qRegisterMetaType<ContextUse>();
}

EngineHost::~EngineHost() = default;

void EngineHost::open(const std::string& file) {
  ++state_->opening;
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
  state_->answering.post([state = state_.get(), request, answer, options] {
    state->run(request, [&](AnswerService& service, const AskObserver& observer) {
      return service.regenerate(request->session, answer, options, observer, request->stop.get_token());
    });
  });
}

void EngineHost::stop(std::int64_t session) {
  for (const auto& request : state_->requests) {
    if (request->session == session) request->stop.request_stop();
  }
}

bool EngineHost::is_busy(std::int64_t session) const {
  return std::any_of(state_->requests.begin(), state_->requests.end(),
                     [&](const auto& request) { return request->session == session; });
}

void EngineHost::measure(std::int64_t session, const std::vector<std::string>& fingerprints, std::int64_t room) {
  state_->counting.post(
      [state = state_.get(), session, fingerprints, room] { state->measure(session, fingerprints, room); });
}

}  // namespace lectern::app
