// Rows are arranged anew when documents or sessions change. If the arrangement has the same shape as before (the common
// case: one more page was read), only dataChanged is sent, so that selection, scroll place and an open editor stay.
#include "ui/library_model.h"

#include <QDateTime>
#include <QLocale>
#include <algorithm>
#include <cmath>
#include <utility>

namespace lectern::ui {

QString key_of(const app::DocumentRow& row) {
  return QString::fromStdString(row.fingerprint.empty() ? row.path : row.fingerprint);
}

QString grouped(std::int64_t number) {
  return QLocale(QLocale::English).toString(static_cast<qlonglong>(number));
}

QString duration_words(double seconds) {
  if (seconds < 1.5) return LibraryModel::tr("1 s");
  if (seconds < 60) return LibraryModel::tr("%1 s").arg(std::llround(seconds));
  if (seconds < 3570) return LibraryModel::tr("%1 min").arg(std::max<long long>(1, std::llround(seconds / 60)));
  return LibraryModel::tr("%1 h %2 min")
      .arg(static_cast<long long>(seconds) / 3600)
      .arg(static_cast<long long>(seconds) % 3600 / 60);
}

QString describe(const app::DocumentRow& row) {
  const QString dot = QStringLiteral(" · ");
  switch (row.state) {
    case app::DocumentState::failed: {
      // The row says the name already.
      QString problem = QString::fromStdString(row.problem);
      for (const std::string& subject : {row.path, row.name}) {
        const QString prefix = QString::fromStdString(subject) + QStringLiteral(": ");
        if (problem.startsWith(prefix)) problem = problem.mid(prefix.size());
      }
      if (!problem.isEmpty()) problem[0] = problem[0].toUpper();
      return problem;
    }
    case app::DocumentState::reading: {
      if (row.pages <= 0) return LibraryModel::tr("opening…");
      const int percent = std::clamp(100 * row.pages_read / row.pages, 0, 100);
      QString text = LibraryModel::tr("reading %1 %").arg(percent);
      if (row.seconds_left >= 0) text += dot + LibraryModel::tr("%1 left").arg(duration_words(row.seconds_left));
      return text;
    }
    case app::DocumentState::ready: break;
  }
  QStringList parts;
  if (row.kind == "pdf") {
    if (row.pages > 0 && row.pages_without_text >= row.pages)
      return LibraryModel::tr("scan without text: nothing to read");
    if (row.pages_without_text > 0) {
      return LibraryModel::tr("%n page(s) without text (scan)", nullptr, row.pages_without_text);
    }
    parts << LibraryModel::tr("%n page(s)", nullptr, row.pages);
  }
  if (row.tokens > 0) parts << LibraryModel::tr("%1 tokens").arg(grouped(row.tokens));
  parts << LibraryModel::tr("ready");
  return parts.join(dot);
}

void LibraryModel::set_documents(std::vector<app::DocumentRow> rows) {
  // A document that was being read under its path is now known by its fingerprint: its tick moves along.
  for (const app::DocumentRow& row : rows) {
    const QString path = QString::fromStdString(row.path);
    const QString key = key_of(row);
    if (key == path || known_.contains(key)) continue;
    for (std::vector<QString>* ticks : {&ticks_, proposed_ ? &*proposed_ : nullptr}) {
      if (!ticks) continue;
      const auto old = std::find(ticks->begin(), ticks->end(), path);
      if (old != ticks->end() && std::find(ticks->begin(), ticks->end(), key) == ticks->end()) *old = key;
    }
    if (known_.contains(path)) known_.insert(key);
  }
  bool ticks_moved = false;
  for (const app::DocumentRow& row : rows) {
    const QString key = key_of(row);
    if (!known_.contains(key) && loaded_) ticks_moved |= tick(key, true);  // what was just added takes part
    known_.insert(key);
  }
  const bool states_changed = [&] {
    if (rows.size() != documents_.size()) return true;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i].state != documents_[i].state || rows[i].fingerprint != documents_[i].fingerprint) return true;
    }
    return false;
  }();
  documents_ = std::move(rows);
  loaded_ = true;
  rebuild();
  if (ticks_moved || states_changed) Q_EMIT ticks_changed();
}

void LibraryModel::set_sessions(std::vector<app::SessionRow> rows, const QDate& today) {
  sessions_ = std::move(rows);
  today_ = today;
  std::stable_sort(sessions_.begin(), sessions_.end(), [](const app::SessionRow& a, const app::SessionRow& b) {
    return a.pinned != b.pinned ? a.pinned : a.changed_ms > b.changed_ms;
  });
  rebuild();
}

void LibraryModel::set_filter(const QString& text) {
  filter_ = text.trimmed();
  rebuild();
}

void LibraryModel::set_password_needed(const QString& path, bool needed) {
  if (needed)
    password_needed_.insert(path);
  else
    password_needed_.remove(path);
  rebuild();
}

std::vector<LibraryModel::Row> LibraryModel::arrange() const {
  std::vector<Row> rows;
  QHash<QString, std::size_t> collections;
  for (std::size_t i = 0; i < documents_.size(); ++i) {
    const app::DocumentRow& document = documents_[i];
    if (!filter_.isEmpty() && !QString::fromStdString(document.name).contains(filter_, Qt::CaseInsensitive)) continue;
    if (document.collection.empty()) {
      rows.push_back({Kind::document, {}, i, {}, 0});
      continue;
    }
    const QString name = QString::fromStdString(document.collection);
    if (!collections.contains(name)) {
      collections.insert(name, rows.size());
      rows.push_back({Kind::collection, name, 0, {}, 0});
    }
    rows[collections.value(name)].members.push_back(i);
  }
  std::vector<Row> opened;
  for (Row& row : rows) {
    const std::vector<std::size_t> members = row.members;
    const bool show = row.kind == Kind::collection && (expanded_.contains(row.label) || !filter_.isEmpty());
    opened.push_back(std::move(row));
    if (!show) continue;
    for (const std::size_t member : members) opened.push_back({Kind::document, {}, member, {}, 1});
  }
  QString section;
  for (std::size_t i = 0; i < sessions_.size(); ++i) {
    const QDate day = QDateTime::fromMSecsSinceEpoch(sessions_[i].changed_ms).date();
    const qint64 age = day.daysTo(today_);
    const QString label = sessions_[i].pinned ? tr("PINNED")
                          : age <= 0          ? tr("TODAY")
                          : age == 1          ? tr("YESTERDAY")
                          : age < 7           ? tr("LAST WEEK")
                          : age < 31          ? tr("LAST MONTH")
                                              : tr("EARLIER");
    if (label != section) opened.push_back({Kind::section, label, 0, {}, 0});
    section = label;
    opened.push_back({Kind::session, {}, i, {}, 0});
  }
  return opened;
}

void LibraryModel::rebuild() {
  std::vector<Row> next = arrange();
  const bool same = std::equal(rows_.begin(), rows_.end(), next.begin(), next.end(), [](const Row& a, const Row& b) {
    return a.kind == b.kind && a.label == b.label && a.indent == b.indent;
  });
  if (same) {
    rows_ = std::move(next);
    refresh();
    return;
  }
  beginResetModel();
  rows_ = std::move(next);
  endResetModel();
}

bool LibraryModel::tick(const QString& key, bool on) {
  const auto at = std::find(ticks_.begin(), ticks_.end(), key);
  if (on == (at != ticks_.end())) return false;
  if (on)
    ticks_.push_back(key);
  else
    ticks_.erase(at);
  if (proposed_) {
    std::erase(*proposed_, key);
    if (on) proposed_->push_back(key);
  }
  return true;
}

bool LibraryModel::is_ticked(const QString& key) const {
  const std::vector<QString>& shown = proposed_ ? *proposed_ : ticks_;
  return std::find(shown.begin(), shown.end(), key) != shown.end();
}

std::vector<QString> LibraryModel::ticked() const {
  return ready_of(ticks_);
}

std::vector<QString> LibraryModel::proposed() const {
  return ready_of(proposed_ ? *proposed_ : ticks_);
}

void LibraryModel::change_ticks(std::vector<QString> ticks, const QString& row) {
  if (proposes_) {
    stop_asking();
    proposed_ = std::move(ticks);
    refresh();
    Q_EMIT ticks_proposed(row);
    return;
  }
  ticks_ = std::move(ticks);
  refresh();
  Q_EMIT ticks_changed();
}

void LibraryModel::accept_proposal() {
  stop_asking();
  if (!proposed_) return;
  ticks_ = *std::exchange(proposed_, std::nullopt);
  refresh();
  Q_EMIT ticks_changed();
}

void LibraryModel::drop_proposal() {
  stop_asking();
  proposed_.reset();
  refresh();
}

bool LibraryModel::can_move(const QString& key, int step) const {
  const std::vector<QString> ready = proposed();
  const auto at = std::find(ready.begin(), ready.end(), key);
  if (at == ready.end()) return false;
  return step < 0 ? at != ready.begin() : at + 1 != ready.end();
}

bool LibraryModel::move(const QString& key, int step) {
  if (!can_move(key, step)) return false;
  // The neighbour among those that are ready; what is still being read keeps its place.
  const std::vector<QString> ready = proposed();
  const auto at = std::find(ready.begin(), ready.end(), key);
  std::vector<QString> ticks = proposed_ ? *proposed_ : ticks_;
  std::iter_swap(std::find(ticks.begin(), ticks.end(), key), std::find(ticks.begin(), ticks.end(), *(at + step)));
  change_ticks(std::move(ticks), key);
  return true;
}

void LibraryModel::ask(const QString& key, const QString& sentence, const QStringList& actions) {
  asking_row_ = key;
  question_ = sentence;
  answers_ = actions;
  refresh();
}

void LibraryModel::stop_asking() {
  if (asking_row_.isEmpty()) return;
  asking_row_.clear();
  refresh();
}

void LibraryModel::set_readings(const QHash<QString, Reading>& readings) {
  readings_ = readings;
  refresh();
}

void LibraryModel::refresh() {
  if (!rows_.empty()) Q_EMIT dataChanged(index(0), index(static_cast<int>(rows_.size()) - 1));
}

QString LibraryModel::row_key(const Row& row) const {
  // A path begins with a slash and a fingerprint has none: no document has such a key.
  return row.kind == Kind::collection ? QStringLiteral("collection/") + row.label : key_of(documents_[row.item]);
}

std::vector<QString> LibraryModel::ready_of(const std::vector<QString>& keys) const {
  std::vector<QString> result;
  for (const QString& key : keys) {
    const app::DocumentRow* row = find(key);
    if (row && row->state == app::DocumentState::ready && !row->fingerprint.empty()) result.push_back(key);
  }
  return result;
}

std::vector<app::DocumentRow> LibraryModel::waiting() const {
  std::vector<app::DocumentRow> result;
  for (const QString& key : ticks_) {
    const app::DocumentRow* row = find(key);
    if (row && row->state == app::DocumentState::reading) result.push_back(*row);
  }
  return result;
}

void LibraryModel::set_ticked(const std::vector<QString>& fingerprints) {
  ticks_ = fingerprints;
  proposed_.reset();
  stop_asking();
  refresh();
  Q_EMIT ticks_changed();
}

void LibraryModel::set_current_document(const QString& key) {
  current_document_ = key;
  refresh();
}

void LibraryModel::set_current_session(std::int64_t session) {
  current_session_ = session;
  refresh();
}

const app::DocumentRow* LibraryModel::find(const QString& key) const {
  const auto at = std::find_if(documents_.begin(), documents_.end(),
                               [&key](const app::DocumentRow& row) { return key_of(row) == key; });
  return at == documents_.end() ? nullptr : &*at;
}

QModelIndex LibraryModel::index_of_session(std::int64_t session) const {
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if (rows_[i].kind == Kind::session && sessions_[rows_[i].item].id == session) return index(static_cast<int>(i));
  }
  return {};
}

QModelIndex LibraryModel::index_of_document(const QString& key) const {
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    if (rows_[i].kind == Kind::document && key_of(documents_[rows_[i].item]) == key) return index(static_cast<int>(i));
  }
  return {};
}

void LibraryModel::toggle_collection(const QString& name) {
  if (!expanded_.remove(name)) expanded_.insert(name);
  rebuild();
}

int LibraryModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(rows_.size());
}

QVariant LibraryModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || !checkIndex(index)) return {};
  const Row& row = rows_[static_cast<std::size_t>(index.row())];
  if (role == kind_role) return static_cast<int>(row.kind);
  if (role == indent_role) return row.indent;
  switch (row.kind) {
    case Kind::section: return role == Qt::DisplayRole ? QVariant(row.label) : QVariant();
    case Kind::collection: return collection_data(row, role);
    case Kind::document: return document_data(documents_[row.item], role);
    case Kind::session: return session_data(sessions_[row.item], role);
  }
  return {};
}

QString LibraryModel::detail(const app::DocumentRow& row) const {
  const QString dot = QStringLiteral(" · "), key = key_of(row);
  const auto reading = readings_.constFind(key);
  const bool is_known = row.state == app::DocumentState::ready && is_ticked(key) && reading != readings_.constEnd();
  if (!is_known) return describe(row);
  // Where it stands among several: the number that answers call it by, and what moving it changes.
  const std::vector<QString> order = proposed();
  QStringList parts;
  if (order.size() > 1) {
    parts << tr("No. %1").arg(std::find(order.begin(), order.end(), key) - order.begin() + 1);
  }
  if (reading->kept >= reading->tokens) {
    // Beside its number there is room for two of the three.
    if (!parts.isEmpty() && row.tokens > 0 && row.pages_without_text == 0)
      parts << tr("%1 tokens").arg(grouped(row.tokens)) << tr("ready");
    else
      parts << describe(row);
    return parts.join(dot);
  }
  if (!reading->is_running)
    return (parts << tr("%1 tokens to read").arg(grouped(reading->tokens - reading->kept))).join(dot);
  parts << tr("reading %1 %").arg(100 * reading->kept / std::max<std::int64_t>(1, reading->tokens));
  if (reading->seconds_left >= 0) parts << tr("%1 left").arg(duration_words(reading->seconds_left));
  return parts.join(dot);
}

QVariant LibraryModel::document_data(const app::DocumentRow& row, int role) const {
  const bool failed = row.state == app::DocumentState::failed;
  const bool asks = !asking_row_.isEmpty() && asking_row_ == key_of(row);
  const QString path = QString::fromStdString(row.path);
  switch (role) {
    case Qt::DisplayRole: return QString::fromStdString(row.name);
    case asks_role: return asks;
    case ticked_role: return is_ticked(key_of(row));
    case detail_role: return asks ? question_ : detail(row);
    case Qt::ToolTipRole: {
      QString text = path;
      const auto reading = readings_.constFind(key_of(row));
      if (reading != readings_.constEnd() && is_ticked(key_of(row)) && reading->kept < reading->tokens) {
        text +=
            QLatin1Char('\n') + tr("%1 of %2 tokens are read").arg(grouped(reading->kept), grouped(reading->tokens));
      }
      if (!row.problem.empty()) text += QLatin1Char('\n') + QString::fromStdString(row.problem);
      return text;
    }
    case Qt::AccessibleTextRole:
      return QString(QString::fromStdString(row.name) + QStringLiteral(", ") + (asks ? question_ : detail(row)));
    case problem_role: return !asks && (failed || row.pages_without_text > 0);
    case progress_role:
      if (asks) return -1.0;
      if (row.state == app::DocumentState::ready && is_ticked(key_of(row))) {
        const Reading reading = readings_.value(key_of(row));
        if (reading.is_running && reading.kept < reading.tokens)
          return static_cast<double>(reading.kept) / static_cast<double>(reading.tokens);
      }
      if (row.state != app::DocumentState::reading) return -1.0;
      return row.pages > 0 ? std::clamp(static_cast<double>(row.pages_read) / row.pages, 0.0, 1.0) : 0.0;
    case key_role: return key_of(row);
    case path_role: return path;
    case password_role: return password_needed_.contains(path);
    case current_role: return key_of(row) == current_document_;
    case actions_role:
      if (asks) return answers_;
      if (!failed) return QStringList();
      return password_needed_.contains(path) ? QStringList{tr("Enter password…"), tr("Remove")}
                                             : QStringList{tr("Remove")};
    case Qt::CheckStateRole:
      if (failed) return {};
      return is_ticked(key_of(row)) ? Qt::Checked : Qt::Unchecked;
    default: return {};
  }
}

QVariant LibraryModel::collection_data(const Row& row, int role) const {
  std::int64_t tokens = 0;
  int ready = 0, reading = 0, failed = 0, on = 0;
  for (const std::size_t member : row.members) {
    const app::DocumentRow& document = documents_[member];
    tokens += document.tokens;
    ready += document.state == app::DocumentState::ready ? 1 : 0;
    reading += document.state == app::DocumentState::reading ? 1 : 0;
    failed += document.state == app::DocumentState::failed ? 1 : 0;
    on += is_ticked(key_of(document)) ? 1 : 0;
  }
  const int count = static_cast<int>(row.members.size());
  const bool asks = !asking_row_.isEmpty() && asking_row_ == row_key(row);
  switch (role) {
    case Qt::DisplayRole: return QString(row.label + QLatin1Char('/'));
    case asks_role: return asks;
    case Qt::AccessibleTextRole:
    case detail_role: {
      if (asks) return role == detail_role ? question_ : QString(row.label + QStringLiteral(", ") + question_);
      QStringList parts{tr("%n file(s)", nullptr, count)};
      if (tokens > 0) parts << tr("%1 tokens").arg(grouped(tokens));
      if (reading > 0 || ready > 0) parts << (reading > 0 ? tr("reading") : tr("ready"));
      if (failed > 0) parts << tr("%n failed", nullptr, failed);
      const QString detail = parts.join(QStringLiteral(" · "));
      return role == detail_role ? detail : QString(row.label + QStringLiteral(", ") + detail);
    }
    case problem_role: return !asks && failed > 0;
    case progress_role: return reading > 0 ? static_cast<double>(ready + failed) / std::max(count, 1) : -1.0;
    case key_role: return row.label;
    case expanded_role: return expanded_.contains(row.label);
    case actions_role: return asks ? answers_ : QStringList();
    case Qt::CheckStateRole:
      if (failed == count) return {};
      return on == 0 ? Qt::Unchecked : on + failed >= count ? Qt::Checked : Qt::PartiallyChecked;
    default: return {};
  }
}

QVariant LibraryModel::session_data(const app::SessionRow& row, int role) const {
  const QString name = row.name.empty() ? tr("New session") : QString::fromStdString(row.name);
  switch (role) {
    case Qt::DisplayRole:
    case Qt::EditRole:
    case Qt::ToolTipRole: return name;
    case Qt::AccessibleTextRole: return tr("Session %1, %n message(s)", nullptr, row.messages).arg(name);
    case session_role: return static_cast<qlonglong>(row.id);
    case count_role: return row.messages;
    case pinned_role: return row.pinned;
    case current_role: return row.id == current_session_;
    default: return {};
  }
}

bool LibraryModel::setData(const QModelIndex& index, const QVariant& value, int role) {
  if (!index.isValid() || !checkIndex(index)) return false;
  const Row& row = rows_[static_cast<std::size_t>(index.row())];
  if (role == Qt::EditRole && row.kind == Kind::session) {
    const QString name = value.toString().trimmed();
    const std::int64_t id = sessions_[row.item].id;
    if (name.isEmpty() || name == QString::fromStdString(sessions_[row.item].name)) return false;
    sessions_[row.item].name = name.toStdString();
    Q_EMIT dataChanged(index, index);
    Q_EMIT session_renamed(id, name);
    return true;
  }
  if (role != Qt::CheckStateRole || (row.kind != Kind::document && row.kind != Kind::collection)) return false;
  const std::vector<std::size_t> items = row.kind == Kind::document ? std::vector{row.item} : row.members;
  if (row.kind == Kind::document && documents_[row.item].state == app::DocumentState::failed) return false;
  std::vector<QString> ticks = proposed_ ? *proposed_ : ticks_;
  for (const std::size_t item : items) {
    if (documents_[item].state == app::DocumentState::failed) continue;
    const QString key = key_of(documents_[item]);
    const auto at = std::find(ticks.begin(), ticks.end(), key);
    if (value.toInt() == Qt::Checked && at == ticks.end())
      ticks.push_back(key);
    else if (value.toInt() != Qt::Checked && at != ticks.end())
      ticks.erase(at);
  }
  change_ticks(std::move(ticks), row_key(row));
  return true;
}

Qt::ItemFlags LibraryModel::flags(const QModelIndex& index) const {
  if (!index.isValid() || !checkIndex(index)) return Qt::NoItemFlags;
  const Row& row = rows_[static_cast<std::size_t>(index.row())];
  switch (row.kind) {
    case Kind::section: return Qt::ItemIsEnabled;
    case Kind::collection: return Qt::ItemIsEnabled | Qt::ItemIsSelectable | Qt::ItemIsUserCheckable;
    case Kind::document:
      if (documents_[row.item].state == app::DocumentState::failed) return Qt::ItemIsEnabled | Qt::ItemIsSelectable;
      return Qt::ItemIsEnabled | Qt::ItemIsSelectable | Qt::ItemIsUserCheckable;
    case Kind::session: return Qt::ItemIsEnabled | Qt::ItemIsSelectable | Qt::ItemIsEditable;
  }
  return Qt::NoItemFlags;
}

}  // namespace lectern::ui
