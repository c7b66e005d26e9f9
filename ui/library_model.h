// The left pane as one list: documents (with collections), then sessions under their dates.
#pragma once

#include <QAbstractListModel>
#include <QDate>
#include <QHash>
#include <QSet>
#include <QString>
#include <QStringList>
#include <optional>
#include <vector>

#include "app/records.h"

namespace lectern::ui {

/// A document's key: its fingerprint, or its path while that is not known.
QString key_of(const app::DocumentRow& row);

class LibraryModel : public QAbstractListModel {
  Q_OBJECT
 public:
  enum class Kind { section, collection, document, session };
  enum Role {
    kind_role = Qt::UserRole,
    detail_role,    // second line
    problem_role,   // bool: the detail is a problem
    progress_role,  // 0..1 while reading, else -1
    key_role,       // key of a document; name of a collection
    path_role,
    session_role,  // id
    count_role,    // messages of a session
    pinned_role,
    actions_role,   // QStringList: labels of the actions of a row that failed or asks
    expanded_role,  // bool, collections
    indent_role,
    password_role,  // bool: it asks for a password
    current_role,   // bool: open in the reader, or the open session
    ticked_role,    // bool: it is one of the session's documents
    asks_role,      // bool: it asks whether a change shall be made
  };
  /// What the model's reading of a document has come to.
  struct Reading {
    std::int64_t tokens = 0, kept = 0;
    bool is_running = false;
    double seconds_left = -1;  // negative: unknown
  };

  using QAbstractListModel::QAbstractListModel;

  void set_documents(std::vector<app::DocumentRow> rows);
  void set_sessions(std::vector<app::SessionRow> rows, const QDate& today = QDate::currentDate());
  /// Shows only documents whose name contains the text.
  void set_filter(const QString& text);
  /// Marks the paths that a password would open.
  void set_password_needed(const QString& path, bool needed);

  /// Fingerprints with a tick that are ready, in the order in which they were ticked.
  std::vector<QString> ticked() const;
  /// Documents with a tick that are still being read.
  std::vector<app::DocumentRow> waiting() const;
  /// Drops a change that is proposed.
  void set_ticked(const std::vector<QString>& fingerprints);
  /// Of the documents with a tick; those that are not named say nothing about it.
  void set_readings(const QHash<QString, Reading>& readings);

  /// With `on`, ticks and places are proposed by a signal and change when the proposal is accepted; else at once.
  void set_proposes(bool on) { proposes_ = on; }
  /// ticked() as it would be.
  std::vector<QString> proposed() const;
  void accept_proposal();
  void drop_proposal();
  /// Moves a document among those with a tick: -1 earlier, 1 later. False: it has no neighbour there.
  bool move(const QString& key, int step);
  bool can_move(const QString& key, int step) const;
  /// The row asks, in place of its second line, with two actions; only one row asks at a time. The key of a proposal's
  /// row, or of a document.
  void ask(const QString& key, const QString& sentence, const QStringList& actions);
  void stop_asking();
  void set_current_document(const QString& key);
  void set_current_session(std::int64_t session);
  const std::vector<app::DocumentRow>& documents() const { return documents_; }
  const app::DocumentRow* find(const QString& key) const;
  QModelIndex index_of_session(std::int64_t session) const;
  QModelIndex index_of_document(const QString& key) const;
  void toggle_collection(const QString& name);

  int rowCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role) const override;
  bool setData(const QModelIndex& index, const QVariant& value, int role) override;
  Qt::ItemFlags flags(const QModelIndex& index) const override;

 Q_SIGNALS:
  void ticks_changed();
  void ticks_proposed(const QString& row);
  void session_renamed(qint64 session, const QString& name);

 private:
  struct Row {
    Kind kind = Kind::section;
    QString label;
    std::size_t item = 0;              // into documents_ or sessions_
    std::vector<std::size_t> members;  // of a collection
    int indent = 0;
  };
  std::vector<Row> arrange() const;
  void rebuild();
  QVariant document_data(const app::DocumentRow& row, int role) const;
  QVariant collection_data(const Row& row, int role) const;
  QVariant session_data(const app::SessionRow& row, int role) const;
  bool tick(const QString& key, bool on);
  bool is_ticked(const QString& key) const;  // as it is shown: with what is proposed
  void change_ticks(std::vector<QString> ticks, const QString& row);
  std::vector<QString> ready_of(const std::vector<QString>& keys) const;
  void refresh();
  QString detail(const app::DocumentRow& row) const;
  QString row_key(const Row& row) const;

  std::vector<app::DocumentRow> documents_;
  std::vector<app::SessionRow> sessions_;
  std::vector<Row> rows_;
  std::vector<QString> ticks_;  // keys, in order
  std::optional<std::vector<QString>> proposed_;
  bool proposes_ = false;
  QHash<QString, Reading> readings_;
  QString asking_row_, question_;
  QStringList answers_;
  QSet<QString> known_, expanded_, password_needed_;
  QString filter_, current_document_;
  std::int64_t current_session_ = 0;
  QDate today_ = QDate::currentDate();
  bool loaded_ = false;
};

/// "reading 41 %, 2 min left", "64 pages · 41,870 tokens · ready": the second line of a row.
QString describe(const app::DocumentRow& row);
QString duration_words(double seconds);
QString grouped(std::int64_t number);

}  // namespace lectern::ui
