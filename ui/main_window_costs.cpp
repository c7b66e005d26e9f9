// MainWindow, third part: what of the documents is read, what a question costs, and a change of the documents.
#include <QHash>
#include <QLabel>
#include <algorithm>
#include <utility>

#include "ui/context_meter.h"
#include "ui/conversation_model.h"
#include "ui/conversation_pane.h"
#include "ui/library_model.h"
#include "ui/library_pane.h"
#include "ui/main_window.h"
#include "ui/question_box.h"
#include "ui/report_words.h"

namespace lectern::ui {

namespace {

constexpr double dear_seconds = 10;        // a change that costs more is asked about first
constexpr std::int64_t dear_tokens = 500;  // and one of unknown duration

}  // namespace

// ---- A change of the session's documents, and its price ------------------------------------------------------------

void MainWindow::propose_change(Change change) {
  library_->model().stop_asking();
  change_ = std::move(change);
  // What comes at the end costs only itself.
  const bool adds = change_->from.size() <= change_->to.size() &&
                    std::equal(change_->from.begin(), change_->from.end(), change_->to.begin());
  if (!change_->removed.isEmpty() && (adds || workspace_.engine().phase != app::EngineState::Phase::ready))
    price_change({0, 0});
  else if (adds)
    settle_change(true);
  else
    workspace_.price_documents(session_, change_->from, change_->to);
}

void MainWindow::price_change(const app::DocumentsPrice& price) {
  const bool dear =
      price.read_again > 0 && (price.seconds < 0 ? price.read_again >= dear_tokens : price.seconds > dear_seconds);
  const bool removes = !change_->removed.isEmpty();
  if (!dear && !removes) return settle_change(true);
  change_->asked = true;
  QString sentence;
  if (removes) sentence = tr("Remove it from the library? The file itself stays where it is.");
  if (dear) {
    const QString tokens = grouped(price.read_again);
    const bool moves = !removes && change_->from.size() == change_->to.size();
    const QString what = moves ? tr("Moving this document reads %1 tokens again").arg(tokens)
                               : tr("Taking it out reads %1 tokens again").arg(tokens);
    if (removes) sentence += QLatin1Char(' ');
    sentence += price.seconds >= 0 ? tr("%1, about %2.").arg(what, duration_words(price.seconds)) : tr("%1.").arg(what);
  }
  library_->model().ask(change_->row, sentence, {removes ? tr("Remove") : tr("Do it"), tr("Cancel")});
}

void MainWindow::settle_change(bool yes) {
  const std::optional<Change> change = std::exchange(change_, std::nullopt);
  LibraryModel& model = library_->model();
  if (!change) return model.drop_proposal();
  if (!change->removed.isEmpty()) {
    model.stop_asking();
    if (yes) workspace_.remove_document(change->removed);
  } else if (yes) {
    model.accept_proposal();
  } else {
    model.drop_proposal();
  }
}

void MainWindow::measure() {
  workspace_.measure_context(session_, library_->model().ticked());
}

void MainWindow::show_ready() {
  QuestionBox& box = conversation_->box();
  const app::EngineState state = workspace_.engine();
  if (state.phase == app::EngineState::Phase::loading)
    return box.set_ready(QuestionBox::Ready::reading, tr("opening the model…"));
  if (state.phase != app::EngineState::Phase::ready)
    return box.set_ready(QuestionBox::Ready::blocked, tr("no model is open"));
  if (session_ != 0 && workspace_.is_busy(session_)) {
    return box.set_ready(QuestionBox::Ready::reading, tr("answering…"));
  }
  const std::vector<app::DocumentRow> reading = library_->model().waiting();
  if (!reading.empty()) {
    double left = -1;
    for (const app::DocumentRow& row : reading) left = std::max(left, row.seconds_left);
    return box.set_ready(QuestionBox::Ready::reading,
                         left >= 0 ? tr("will be answered when reading is done, in about %1").arg(duration_words(left))
                                   : tr("will be answered when reading is done"));
  }
  if (!use_) return box.set_ready(QuestionBox::Ready::ready, {});
  show_costs();
  if (ahead_.running) {
    const QString words = tr("reading %1 of %2 tokens").arg(grouped(ahead_.read), grouped(ahead_.total));
    return box.set_ready(
        QuestionBox::Ready::reading,
        ahead_.seconds_left >= 0 ? tr("%1, about %2 left").arg(words, duration_words(ahead_.seconds_left)) : words);
  }
  if (!use_->fits) return box.set_ready(QuestionBox::Ready::reading, tr("does not fit: passages will be chosen"));
  const bool alone = conversation_->model().rowCount() > 0 && box.from() == QuestionBox::From::documents;
  const std::int64_t unread = alone ? use_->documents_to_read : use_->to_read;
  const double seconds = alone ? use_->documents_seconds : use_->seconds_to_read;
  const std::int64_t kept = use_->in_memory + use_->on_disk;
  if (unread == 0 && kept > 0) {
    return box.set_ready(QuestionBox::Ready::ready,
                         use_->on_disk > 0 ? tr("on disk: %1 tokens kept, ready in a moment").arg(grouped(kept))
                                           : tr("ready: %1 tokens kept").arg(grouped(kept)));
  }
  if (unread == 0) return box.set_ready(QuestionBox::Ready::ready, tr("ready"));
  const QString words = seconds >= 0 ? tr("needs reading: about %1").arg(duration_words(seconds))
                                     : tr("needs reading: %1 tokens").arg(grouped(unread));
  // A document at the end that is new, behind others that are kept, costs only itself.
  bool anything_kept = false;
  for (const auto& part : use_->parts) anything_kept = anything_kept || (!part.fingerprint.isEmpty() && part.kept > 0);
  const bool first =
      std::all_of(use_->miss_reasons.begin(), use_->miss_reasons.end(),
                  [](inference::MissReason reason) { return reason == inference::MissReason::first_read; });
  if (anything_kept && first) return box.set_ready(QuestionBox::Ready::reading, tr("%1, only what is new").arg(words));
  if (use_->miss_reasons.empty()) return box.set_ready(QuestionBox::Ready::reading, words);
  box.set_ready(QuestionBox::Ready::reading, tr("%1, %2").arg(words, miss_words(use_->miss_reasons)));
}

void MainWindow::show_costs() {
  const auto cost = [](std::int64_t tokens, double seconds) {
    if (tokens > 0 && seconds >= 0)
      return tr("%1 tokens to read, about %2").arg(grouped(tokens), duration_words(seconds));
    return tr("%1 tokens to read").arg(grouped(tokens));
  };
  QuestionBox& box = conversation_->box();
  if (!use_->fits) return box.set_costs({}, {});
  box.set_costs(tr("Starts from the conversation: %1.").arg(cost(use_->to_read, use_->seconds_to_read)),
                tr("Starts from the documents: %1.").arg(cost(use_->documents_to_read, use_->documents_seconds)));
}

/// The last measurement, and what was read since.
void MainWindow::show_use() {
  if (!use_) return show_ready();
  app::ContextUse use = *use_;
  QHash<QString, LibraryModel::Reading> readings;
  std::int64_t start = 0;
  bool is_next = ahead_.running;  // documents are read in order
  for (app::ContextUse::Part& part : use.parts) {
    const bool of_documents = !part.fingerprint.isEmpty() || start == 0;
    if (ahead_.running && of_documents)
      part.kept = std::max(part.kept, std::clamp<std::int64_t>(ahead_.read - start, 0, part.tokens));
    start += part.tokens;
    if (part.fingerprint.isEmpty() || !use.fits) continue;
    LibraryModel::Reading& reading = readings[part.fingerprint];
    reading.tokens = part.tokens;
    reading.kept = part.kept;
    reading.is_running = is_next && part.kept < part.tokens;
    if (reading.is_running) {
      is_next = false;
      // Of what is left of all documents, its share.
      const std::int64_t left = ahead_.total - ahead_.read;
      if (ahead_.seconds_left >= 0 && left > 0)
        reading.seconds_left = ahead_.seconds_left * static_cast<double>(std::min(part.tokens - part.kept, left)) /
                               static_cast<double>(left);
    }
  }
  meter_->set_use(use);
  context_words_->setText(meter_->words());
  library_->model().set_readings(readings);
  show_ready();
}

}  // namespace lectern::ui
