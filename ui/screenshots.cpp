// A state is waited for by what the workspace says, not by the clock, so that the pictures are right on a slow machine
// too. Each state is taken in both themes before the story goes on; an answer that streams meanwhile is part of the
// picture.
#include "ui/screenshots.h"

#include <QApplication>
#include <QDir>
#include <QEventLoop>
#include <QFileInfo>
#include <QTimer>
#include <QTranslator>
#include <functional>

#include "ui/answer_text.h"
#include "ui/answer_view.h"
#include "ui/conversation_model.h"
#include "ui/conversation_pane.h"
#include "ui/document_pane.h"
#include "ui/library_model.h"
#include "ui/library_pane.h"
#include "ui/main_window.h"
#include "ui/question_box.h"
#include "ui/theme.h"

namespace lectern::ui {

namespace {

constexpr int settle_ms = 400, step_ms = 20, longest_wait_ms = 900'000;

void wait_ms(int duration_ms) {
  QEventLoop loop;
  QTimer::singleShot(duration_ms, &loop, &QEventLoop::quit);
  loop.exec();
}

bool wait_for(const std::function<bool()>& reached) {
  for (int waited_ms = 0; !reached() && waited_ms < longest_wait_ms; waited_ms += step_ms) wait_ms(step_ms);
  return reached();
}

class Photographer {
 public:
  explicit Photographer(const ScreenshotOptions& options) : options_(options) {}

  void take(QWidget& window, const QString& state, const QString& suffix = {}) {
    for (const ThemeChoice theme : {ThemeChoice::dark, ThemeChoice::light}) {
      apply_theme(theme);
      wait_ms(settle_ms);
      const QString file = QStringLiteral("%1%2-%3.png").arg(state, suffix, name(theme));
      if (window.grab().save(options_.folder + QLatin1Char('/') + file)) names_ << file;
    }
  }
  QStringList names() const { return names_; }

 private:
  const ScreenshotOptions& options_;
  QStringList names_;
};

int first_found(const app::Message& answer) {
  int under = -1;
  for (std::size_t i = 0; i < answer.citations.size(); ++i) {
    if (answer.citations[i].status == app::CitationStatus::absent) continue;
    if (answer.citations[i].answer_end >= 0) return static_cast<int>(i);
    if (under < 0) under = static_cast<int>(i);
  }
  return under;
}

}  // namespace

QStringList take_screenshots(app::Workspace& workspace, const ScreenshotOptions& options, QString& problem) {
  using Phase = app::EngineState::Phase;
  if (!QDir().mkpath(options.folder) || !QFileInfo(options.folder).isWritable()) {
    problem = options.folder + QStringLiteral(": no picture can be written there: choose another folder");
    return {};
  }
  Photographer photographer(options);
  WindowOptions window_options;
  window_options.sample_paths = options.sample_paths;
  window_options.restore_session = false;
  auto window = std::make_unique<MainWindow>(workspace, window_options);
  window->resize(options.width, options.height);
  window->show();
  photographer.take(*window, QStringLiteral("no-model"));

  const QStringList models = workspace.models();
  if (models.isEmpty()) {
    problem = QStringLiteral(
        "screenshots: no model is installed: the states of an answer are left out; run installer/run once");
  } else {
    workspace.open_model(models.constFirst());
    wait_for([&] { return workspace.engine().phase == Phase::ready || workspace.engine().phase == Phase::failed; });
    if (workspace.engine().phase == Phase::failed) problem = workspace.engine().problem;
  }
  const bool answers = workspace.engine().phase == Phase::ready;
  photographer.take(*window, QStringLiteral("empty"));

  bool measured = false;
  app::ReadingAhead ahead;
  QObject::connect(
      &workspace, &app::Workspace::context_measured, window.get(),
      [&](std::int64_t, const app::ContextUse& use) { measured = use.window > 0 && use.parts.size() > 1; });
  QObject::connect(&workspace, &app::Workspace::reading_ahead, window.get(),
                   [&](std::int64_t, const app::ReadingAhead& reading) { ahead = reading; });
  window->add_paths(options.sample_paths);
  const auto ready = [&] {
    const auto rows = workspace.documents();
    return !rows.empty() && rows.front().state != app::DocumentState::reading;
  };
  wait_for(ready);
  wait_for([&] { return !window->reader().fingerprint().isEmpty(); });

  if (answers) {
    QString streamed;
    bool finished = false;
    const auto one = QObject::connect(&workspace, &app::Workspace::answer_text, window.get(),
                                      [&](std::int64_t, std::int64_t, const QString& text) { streamed += text; });
    const auto two = QObject::connect(&workspace, &app::Workspace::answer_finished, window.get(),
                                      [&](std::int64_t, const app::Message&) { finished = true; });
    // Reading begins by itself once it is known to be needed; the question is asked in the midst of it.
    if (wait_for([&] { return ahead.read > 0 || (measured && !ahead.running); }) && ahead.running)
      photographer.take(*window, QStringLiteral("reading"));
    window->ask(options.question);
    if (wait_for([&] { return streamed.size() > 20 || finished; }) && !finished)
      photographer.take(*window, QStringLiteral("answering"));
    wait_for([&] { return finished; });
    for (const auto& connection : {one, two}) QObject::disconnect(connection);
    photographer.take(*window, QStringLiteral("answered"));

    AnswerView* answer = window->conversation().last_answer();
    const int citation = answer ? first_found(answer->message()) : -1;
    if (citation >= 0) {
      Q_EMIT answer->citation_clicked(citation);
      wait_for([&] { return window->reader().pages().has_picture(window->reader().pages().current_page()); });
      photographer.take(*window, QStringLiteral("citation"));

      // The same session in Chinese, in a window of its own.
      QTranslator chinese;
      if (chinese.load(QStringLiteral(":/lectern/i18n/lectern_zh_CN.qm"))) {
        QCoreApplication::installTranslator(&chinese);
        const std::int64_t session = window->session();
        MainWindow second(workspace, window_options);
        second.resize(options.width, options.height);
        second.show();
        second.open_session(session);
        wait_ms(settle_ms);
        if (AnswerView* view = second.conversation().last_answer()) Q_EMIT view->citation_clicked(citation);
        wait_for([&] { return second.reader().pages().has_picture(second.reader().pages().current_page()); });
        photographer.take(second, QStringLiteral("citation"), QStringLiteral("-chinese"));
        QCoreApplication::removeTranslator(&chinese);
      }
    } else {
      problem = QStringLiteral("screenshots: the answer has no citation that could be opened");
    }
  }

  window->add_paths({options.damaged_file});
  wait_for([&] {
    for (const app::DocumentRow& row : workspace.documents()) {
      if (row.state == app::DocumentState::failed) return true;
    }
    return false;
  });
  photographer.take(*window, QStringLiteral("error"));
  window->close();
  return photographer.names();
}

}  // namespace lectern::ui
