// The window joins three panes that know nothing of each other. A question that is asked while documents are still
// being read waits here, not in the workspace: nothing has been saved yet, and Esc gives it back to the box.
#include "ui/main_window.h"

#include <QCloseEvent>
#include <QHBoxLayout>
#include <QLabel>
#include <QSplitter>
#include <QTabBar>
#include <QVBoxLayout>
#include <algorithm>
#include <utility>

#include "ui/answer_view.h"
#include "ui/context_meter.h"
#include "ui/conversation_model.h"
#include "ui/conversation_pane.h"
#include "ui/document_pane.h"
#include "ui/empty_state.h"
#include "ui/engine_status.h"
#include "ui/library_model.h"
#include "ui/library_pane.h"
#include "ui/question_box.h"
#include "ui/report_words.h"
#include "ui/theme.h"

namespace lectern::ui {

namespace {

constexpr int library_width = 272, conversation_width = 456;

}  // namespace

MainWindow::MainWindow(app::Workspace& workspace, const WindowOptions& options, QWidget* parent)
    : QMainWindow(parent),
      workspace_(workspace),
      options_(options),
      splitter_(new QSplitter(Qt::Horizontal)),
      tabs_(new QTabBar),
      library_(new LibraryPane(workspace)),
      reader_(new DocumentPane(workspace)),
      conversation_(new ConversationPane),
      strip_(new QWidget),
      engine_status_(new EngineStatus(workspace, strip_)),
      context_label_(new QLabel(tr("Context"), strip_)),
      meter_(new ContextMeter(strip_)),
      context_words_(new QLabel(strip_)),
      memory_(new QLabel(strip_)) {
  setWindowTitle(QStringLiteral("Lectern"));
  setAcceptDrops(true);
  resize(1440, 900);
  setMinimumSize(480, 420);
  build_layout();
  build_shortcuts();
  connect_panes();
  connect_workspace();
  reader_->empty_state().set_sample_available(!options_.sample_paths.isEmpty());
  remember_soon_.setSingleShot(true);
  remember_soon_.setInterval(500);
  connect(&remember_soon_, &QTimer::timeout, this, &MainWindow::remember_now);
  measure_soon_.setSingleShot(true);
  measure_soon_.setInterval(60);
  connect(&measure_soon_, &QTimer::timeout, this, &MainWindow::measure);
  documents_changed();
  show_engine();
  if (options_.restore_session)
    restore();
  else
    show_session();
  conversation_->box().edit().setFocus();
}

MainWindow::~MainWindow() = default;

void MainWindow::build_layout() {
  splitter_->setHandleWidth(1);
  splitter_->setChildrenCollapsible(false);
  splitter_->addWidget(library_);
  splitter_->addWidget(reader_);
  splitter_->addWidget(conversation_);
  splitter_->setStretchFactor(0, 0);
  splitter_->setStretchFactor(1, 1);
  splitter_->setStretchFactor(2, 0);
  library_->setMinimumWidth(200);
  reader_->setMinimumWidth(320);
  conversation_->setMinimumWidth(300);
  splitter_->setSizes({library_width, 1440 - library_width - conversation_width, conversation_width});

  tabs_->setObjectName(QStringLiteral("pane_tabs"));
  tabs_->setAccessibleName(tr("Reader or conversation"));
  tabs_->addTab(tr("Reader"));
  tabs_->addTab(tr("Conversation"));
  tabs_->setExpanding(false);
  tabs_->setDrawBase(false);
  tabs_->hide();
  connect(tabs_, &QTabBar::currentChanged, this, &MainWindow::arrange);

  strip_->setObjectName(QStringLiteral("status_strip"));
  strip_->setAttribute(Qt::WA_StyledBackground);
  strip_->setFixedHeight(30);
  for (QLabel* label : {context_label_, context_words_, memory_}) {
    label->setProperty("role", QStringLiteral("secondary"));
    label->setFont(interface_font(12));
  }
  engine_status_->setFont(interface_font(12));
  memory_->setToolTip(tr("Memory of the model with a full context"));
  meter_->setMaximumWidth(330);
  auto* strip = new QHBoxLayout(strip_);
  strip->setContentsMargins(8, 0, 14, 0);
  strip->setSpacing(14);
  strip->addWidget(engine_status_);
  strip->addStretch(1);
  strip->addWidget(context_label_);
  strip->addWidget(meter_, 1);
  strip->addWidget(context_words_);
  strip->addWidget(memory_);

  auto* middle = new QWidget(this);
  auto* layout = new QVBoxLayout(middle);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  if (!options_.warning.isEmpty()) {
    auto* warning =
        new QLabel(tr("What is read and asked in this window will not be kept. %1").arg(options_.warning), middle);
    warning->setObjectName(QStringLiteral("warning_bar"));
    warning->setProperty("role", QStringLiteral("problem"));
    warning->setTextFormat(Qt::PlainText);
    warning->setTextInteractionFlags(Qt::TextSelectableByMouse);
    warning->setWordWrap(true);
    warning->setContentsMargins(14, 8, 14, 8);
    layout->addWidget(warning);
  }
  layout->addWidget(tabs_);
  layout->addWidget(splitter_, 1);
  layout->addWidget(strip_);
  setCentralWidget(middle);
}

void MainWindow::connect_panes() {
  connect(library_, &LibraryPane::add_requested, this, &MainWindow::add_by_dialog);
  connect(library_, &LibraryPane::session_chosen, this, [this](qint64 session) { open_session(session); });
  connect(library_, &LibraryPane::export_requested, this, [this](qint64 session) { export_session(session); });
  connect(library_, &LibraryPane::session_deleted, this, [this](qint64 session) {
    if (session == session_) new_session();
  });
  connect(library_, &LibraryPane::document_chosen, this, [this](const QString& fingerprint) {
    reader_->open(fingerprint);
    if (tabs_->isVisible()) tabs_->setCurrentIndex(0);
  });
  LibraryModel& documents = library_->model();
  documents.set_proposes(true);
  connect(&documents, &LibraryModel::ticks_changed, this, &MainWindow::ticks_changed);
  connect(&documents, &LibraryModel::ticks_proposed, this, [this, &documents](const QString& row) {
    propose_change({documents.ticked(), documents.proposed(), row, {}, false});
  });
  connect(library_, &LibraryPane::remove_proposed, this, [this, &documents](const QString& key) {
    std::vector<QString> rest = documents.ticked();
    std::erase(rest, key);
    propose_change({documents.ticked(), rest, key, key, false});
  });
  connect(library_, &LibraryPane::question_answered, this, &MainWindow::settle_change);

  connect(reader_, &DocumentPane::library_toggled, this, &MainWindow::toggle_library);
  connect(reader_, &DocumentPane::place_changed, this, [this] { remember_soon_.start(); });
  connect(reader_, &DocumentPane::document_opened, this, [this](const QString& fingerprint) {
    library_->model().set_current_document(fingerprint);
    remember_soon_.start();
  });
  EmptyState& empty = reader_->empty_state();
  connect(&empty, &EmptyState::sample_requested, this, [this] { add_paths(options_.sample_paths); });
  connect(&empty, &EmptyState::add_requested, this, &MainWindow::add_by_dialog);
  connect(&empty, &EmptyState::model_requested, this, &MainWindow::choose_model);

  connect(conversation_, &ConversationPane::citation_opened, this, &MainWindow::open_citation);
  connect(conversation_, &ConversationPane::neighbour_requested, this, &MainWindow::show_neighbour);
  connect(conversation_, &ConversationPane::export_requested, this, [this] { export_session(session_); });
  connect(conversation_, &ConversationPane::notice_action, this, &MainWindow::choose_model);
  connect(conversation_, &ConversationPane::regenerate_requested, this, [this](qint64 answer) {
    if (workspace_.is_busy(session_)) return;
    conversation_->box().set_busy(true);
    workspace_.regenerate(session_, answer);
  });
  QuestionBox& box = conversation_->box();
  connect(&box, &QuestionBox::ask_requested, this, &MainWindow::ask);
  connect(&box, &QuestionBox::from_changed, this, [this](QuestionBox::From from) {
    workspace_.remember(
        session_, QStringLiteral("ask_from"),
        from == QuestionBox::From::documents ? QStringLiteral("documents") : QStringLiteral("conversation"));
    show_ready();
  });
  ConversationModel& messages = conversation_->model();
  const auto offer_choice = [&box, &messages] { box.set_conversation(messages.rowCount() > 0); };
  connect(&messages, &QAbstractItemModel::modelReset, this, offer_choice);
  connect(&messages, &QAbstractItemModel::rowsInserted, this, offer_choice);
  connect(&box, &QuestionBox::stop_requested, this, &MainWindow::stop);
  connect(&box, &QuestionBox::files_pasted, this, &MainWindow::add_paths);
  connect(splitter_, &QSplitter::splitterMoved, this, [this] { remember_soon_.start(); });
  connect(engine_status_, &EngineStatus::file_requested, this, &MainWindow::open_model_file);
}

void MainWindow::connect_workspace() {
  using app::Workspace;
  connect(&workspace_, &Workspace::documents_changed, this, &MainWindow::documents_changed);
  connect(&workspace_, &Workspace::engine_changed, this, &MainWindow::show_engine);
  connect(&workspace_, &Workspace::sessions_changed, this, [this] {
    for (const app::SessionRow& row : workspace_.sessions()) {
      if (row.id == session_) conversation_->set_title(QString::fromStdString(row.name));
    }
  });
  connect(&workspace_, &Workspace::answer_started, this,
          [this](std::int64_t session, std::int64_t question, std::int64_t answer) {
            if (session != session_) return;
            ConversationModel& model = conversation_->model();
            // A branch (another answer, an edited question) shows other messages than before.
            const bool branch = model.row_of(question) >= 0 && model.row_of(question) + 1 < model.rowCount();
            if (branch) {
              std::vector<app::Message> shown = workspace_.messages(session);
              if (!shown.empty() && shown.back().id == answer) shown.pop_back();
              model.set_messages(std::move(shown));
            }
            model.begin_answer(question, answer);
            show_place();
            conversation_->scroll_to_end();
            conversation_->show_reading(0, 0, -1);
            show_ready();
            conversation_->box().set_busy(true);
          });
  connect(&workspace_, &Workspace::reading_progress, this,
          [this](std::int64_t session, std::int64_t read, std::int64_t total, double left) {
            if (session == session_) conversation_->show_reading(read, total, left);
          });
  connect(&workspace_, &Workspace::answer_text, this,
          [this](std::int64_t session, std::int64_t answer, const QString& text) {
            if (session == session_) conversation_->model().append_text(answer, text);
          });
  connect(&workspace_, &Workspace::answer_finished, this, [this](std::int64_t session, const app::Message& answer) {
    if (session != session_) return;
    conversation_->model().finish(answer);
    conversation_->box().set_busy(false);
    conversation_->set_exportable(true);
    measure_soon_.start();
  });
  connect(&workspace_, &Workspace::conversation_shown, this, [this](std::int64_t session) {
    if (session != session_) return;
    conversation_->leave_editing();
    conversation_->model().set_messages(workspace_.messages(session_));
    conversation_->scroll_to_end();
    show_place();
    measure_soon_.start();
  });
  connect(&workspace_, &Workspace::context_measured, this, [this](std::int64_t session, const app::ContextUse& use) {
    if (session != session_) return;
    use_ = use;
    show_use();
  });
  connect(&workspace_, &Workspace::reading_ahead, this, [this](std::int64_t session, const app::ReadingAhead& reading) {
    if (session != session_) return;
    ahead_ = reading;
    show_use();
  });
  connect(&workspace_, &Workspace::documents_priced, this,
          [this](std::int64_t session, const std::vector<QString>& to, const app::DocumentsPrice& price) {
            if (session == session_ && change_ && !change_->asked && change_->to == to) price_change(price);
          });
}

// ---- Sessions ------------------------------------------------------------------------------------------------------

void MainWindow::open_session(std::int64_t session) {
  if (session != 0 && session == session_) return;
  remember_now();
  waiting_.reset();
  set_session(session);
  show_session();
  if (session_ == 0) return;
  const QString document = workspace_.remembered(session_, QStringLiteral("document"));
  const std::vector<QString> documents = workspace_.session_documents(session_);
  const QString first = !document.isEmpty() ? document : documents.empty() ? QString() : documents.front();
  if (!first.isEmpty() && reader_->open(first))
    reader_->go_to_place(workspace_.remembered(session_, QStringLiteral("place")));
  remember_soon_.start();
}

void MainWindow::set_session(std::int64_t session) {
  session_ = session;
  ahead_ = {};
}

void MainWindow::show_session() {
  opening_ = true;
  change_.reset();
  library_->model().drop_proposal();
  ConversationModel& model = conversation_->model();
  conversation_->leave_editing();
  conversation_->show_waiting({});
  model.set_messages(session_ == 0 ? std::vector<app::Message>() : workspace_.messages(session_));
  if (session_ != 0) library_->model().set_ticked(workspace_.session_documents(session_));
  library_->model().set_current_session(session_);
  QString title;
  for (const app::SessionRow& row : workspace_.sessions()) {
    if (row.id == session_) title = QString::fromStdString(row.name);
  }
  conversation_->set_title(title);
  conversation_->set_exportable(model.rowCount() > 0);
  const bool from_documents =
      session_ != 0 && workspace_.remembered(session_, QStringLiteral("ask_from")) == QLatin1String("documents");
  conversation_->box().set_from(from_documents ? QuestionBox::From::documents : QuestionBox::From::conversation);
  conversation_->box().set_busy(session_ != 0 && workspace_.is_busy(session_));
  conversation_->scroll_to_end();
  show_place();
  reader_->clear_citations();
  opening_ = false;
  ticks_changed();
}

void MainWindow::show_place() {
  const ConversationModel& model = conversation_->model();
  const std::vector<std::int64_t> all =
      session_ == 0 ? std::vector<std::int64_t>() : workspace_.first_questions(session_);
  const auto at = model.rowCount() == 0 ? all.end() : std::find(all.begin(), all.end(), model.message(0).id);
  conversation_->set_place(at == all.end() ? 0 : static_cast<int>(at - all.begin()) + 1, static_cast<int>(all.size()));
}

void MainWindow::show_neighbour(int step) {
  if (session_ == 0 || workspace_.is_busy(session_) || conversation_->model().rowCount() == 0) return;
  const std::vector<std::int64_t> all = workspace_.first_questions(session_);
  const auto at = std::find(all.begin(), all.end(), conversation_->model().message(0).id);
  if (at == all.end() || (step < 0 ? at == all.begin() : at + 1 == all.end())) return;
  workspace_.show_conversation(session_, *(at + step));
}

void MainWindow::new_session() {
  remember_now();
  waiting_.reset();
  set_session(0);
  show_session();
  conversation_->box().edit().setFocus();
}

void MainWindow::restore() {
  const QByteArray geometry = QByteArray::fromBase64(workspace_.remembered(0, QStringLiteral("geometry")).toLatin1());
  if (!geometry.isEmpty()) restoreGeometry(geometry);
  const QByteArray sizes = QByteArray::fromBase64(workspace_.remembered(0, QStringLiteral("splitter")).toLatin1());
  if (!sizes.isEmpty()) splitter_->restoreState(sizes);
  library_wanted_ = workspace_.remembered(0, QStringLiteral("library")) != QLatin1String("hidden");
  const std::int64_t last = workspace_.remembered(0, QStringLiteral("session")).toLongLong();
  for (const app::SessionRow& row : workspace_.sessions()) {
    if (row.id == last && last != 0) return open_session(last);
  }
  show_session();
  const QString document = workspace_.remembered(0, QStringLiteral("document"));
  if (!document.isEmpty() && reader_->open(document))
    reader_->go_to_place(workspace_.remembered(0, QStringLiteral("place")));
}

void MainWindow::remember_now() {
  remember_soon_.stop();
  workspace_.remember(0, QStringLiteral("session"), QString::number(session_));
  workspace_.remember(0, QStringLiteral("geometry"), QString::fromLatin1(saveGeometry().toBase64()));
  workspace_.remember(0, QStringLiteral("library"),
                      library_wanted_ ? QStringLiteral("shown") : QStringLiteral("hidden"));
  if (width() >= 1100 && library_->isVisible()) {
    workspace_.remember(0, QStringLiteral("splitter"), QString::fromLatin1(splitter_->saveState().toBase64()));
  }
  workspace_.remember(session_, QStringLiteral("document"), reader_->fingerprint());
  workspace_.remember(session_, QStringLiteral("place"), reader_->place());
}

// ---- Questions -----------------------------------------------------------------------------------------------------

void MainWindow::ask(const QString& question, QuestionBox::From from) {
  if (workspace_.engine().phase == app::EngineState::Phase::none ||
      workspace_.engine().phase == app::EngineState::Phase::failed) {
    show_engine();
    return;
  }
  if (session_ != 0 && workspace_.is_busy(session_)) return;
  std::int64_t parent = 0;
  ConversationModel& model = conversation_->model();
  if (conversation_->is_editing()) {
    const int row = conversation_->editing_row();
    parent = model.message(row).parent;
    std::vector<app::Message> kept;
    for (int at = 0; at < row; ++at) kept.push_back(model.message(at));
    if (parent == 0) parent = -1;  // the first question: a first message beside the old one
    model.set_messages(std::move(kept));
    conversation_->leave_editing();
  } else if (from == QuestionBox::From::documents && model.rowCount() > 0) {
    parent = -1;  // a first message beside the others
    model.set_messages({});
  }
  // A change whose price is not known yet was asked for before the question; one that waits for a yes was not made.
  if (change_) settle_change(!change_->asked && change_->removed.isEmpty());
  conversation_->box().edit().clear();
  if (!library_->model().waiting().empty()) {
    waiting_ = Waiting{question, parent};
    model.add_question(question);
    conversation_->box().set_busy(true);
    conversation_->scroll_to_end();
    ask_waiting();
    return;
  }
  model.add_question(question);
  conversation_->scroll_to_end();
  ask_now(question, parent);
}

void MainWindow::ask_now(const QString& question, std::int64_t parent) {
  const std::vector<QString> documents = library_->model().ticked();
  if (session_ == 0) {
    set_session(workspace_.create_session(documents));
    if (conversation_->box().from() == QuestionBox::From::documents)
      workspace_.remember(session_, QStringLiteral("ask_from"), QStringLiteral("documents"));
    library_->model().set_current_session(session_);
    conversation_->set_title(question);
  }
  conversation_->box().set_busy(true);
  workspace_.ask(session_, question, parent);
  remember_soon_.start();
  measure_soon_.start();
}

void MainWindow::ask_waiting() {
  if (!waiting_) return;
  const std::vector<app::DocumentRow> reading = library_->model().waiting();
  if (reading.empty()) {
    const Waiting ready = *std::exchange(waiting_, std::nullopt);
    conversation_->show_waiting({});
    ask_now(ready.question, ready.parent);
    return;
  }
  double left = -1;
  for (const app::DocumentRow& row : reading) left = std::max(left, row.seconds_left);
  conversation_->show_waiting(left >= 0
                                  ? tr("Will be answered when reading is done, in about %1.").arg(duration_words(left))
                                  : tr("Will be answered when reading is done."));
}

void MainWindow::stop() {
  if (waiting_) {
    const QString question = std::exchange(waiting_, std::nullopt)->question;
    conversation_->show_waiting({});
    // Nothing was saved: what was shown before comes back, also where the question would have stood beside it.
    conversation_->model().set_messages(session_ == 0 ? std::vector<app::Message>() : workspace_.messages(session_));
    show_place();
    conversation_->box().set_busy(false);
    conversation_->box().set_text(question);
    return;
  }
  if (session_ != 0) workspace_.stop(session_);
}

void MainWindow::open_citation(const app::Citation& citation, const std::vector<app::Citation>& all) {
  if (!reader_->open_citation(citation, all)) return;
  if (tabs_->isVisible()) tabs_->setCurrentIndex(0);
  remember_soon_.start();
}

// ---- State shown ---------------------------------------------------------------------------------------------------

void MainWindow::documents_changed() {
  const std::vector<app::DocumentRow>& rows = library_->model().documents();
  reader_->empty_state().set_library_empty(rows.empty());
  reader_->empty_state().set_sample_available(rows.empty() && !options_.sample_paths.isEmpty());
  if (reader_->fingerprint().isEmpty() && isVisible()) {
    // The first document that is ready opens by itself; a file that was added alone before those of a folder.
    const app::DocumentRow* first = nullptr;
    bool alone_is_coming = false;
    for (const app::DocumentRow& row : rows) {
      alone_is_coming = alone_is_coming || (row.state == app::DocumentState::reading && row.collection.empty());
      if (row.state != app::DocumentState::ready || row.fingerprint.empty()) continue;
      if (!first || (!first->collection.empty() && row.collection.empty())) first = &row;
    }
    if (first && (first->collection.empty() || !alone_is_coming))
      reader_->open(QString::fromStdString(first->fingerprint));
  } else if (!reader_->fingerprint().isEmpty() && !library_->model().find(reader_->fingerprint())) {
    reader_->close_document();
  }
  ask_waiting();
  show_ready();
}

void MainWindow::ticks_changed() {
  const std::vector<QString> ticked = library_->model().ticked();
  conversation_->box().set_document_count(static_cast<int>(ticked.size() + library_->model().waiting().size()));
  if (!opening_ && session_ != 0 && ticked != workspace_.session_documents(session_)) {
    workspace_.set_session_documents(session_, ticked);
  }
  measure_soon_.start();
  show_ready();
}

void MainWindow::show_engine() {
  const app::EngineState state = workspace_.engine();
  using Phase = app::EngineState::Phase;
  reader_->empty_state().set_model_open(state.phase == Phase::ready || state.phase == Phase::loading);
  const bool missing = state.phase == Phase::none || state.phase == Phase::failed;
  const QString problem =
      state.problem.isEmpty() ? tr("No model is open: choose one to ask questions.") : state.problem;
  conversation_->show_notice(
      missing ? problem : QString(), missing ? tr("Choose a model") : QString(),
      state.phase == Phase::failed ? ConversationPane::Notice::problem : ConversationPane::Notice::calm);
  memory_->setText(state.phase == Phase::ready && state.model.memory_bytes > 0 ? memory_words(state.model.memory_bytes)
                                                                               : QString());
  if (missing) use_.reset();
  if (state.phase != Phase::ready) ahead_ = {};
  const bool window = state.phase == Phase::ready;
  for (QWidget* widget :
       {static_cast<QWidget*>(context_label_), static_cast<QWidget*>(meter_), static_cast<QWidget*>(context_words_)}) {
    widget->setVisible(window);
  }
  measure_soon_.start();
  show_ready();
}

void MainWindow::closeEvent(QCloseEvent* event) {
  remember_now();
  QMainWindow::closeEvent(event);
}

}  // namespace lectern::ui
