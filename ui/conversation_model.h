// The messages of the open session, and the answer that is being written.
#pragma once

#include <QAbstractListModel>
#include <optional>
#include <vector>

#include "app/records.h"

namespace lectern::ui {

class ConversationModel : public QAbstractListModel {
  Q_OBJECT
 public:
  enum Role { id_role = Qt::UserRole, is_question_role, state_role };
  using QAbstractListModel::QAbstractListModel;

  void set_messages(std::vector<app::Message> messages);
  /// A question that was just asked, before it has been saved.
  void add_question(const QString& text);
  /// The answer to it begins.
  void begin_answer(std::int64_t question, std::int64_t answer);
  void append_text(std::int64_t answer, const QString& text);
  void finish(const app::Message& answer);

  const app::Message& message(int row) const { return messages_[static_cast<std::size_t>(row)]; }
  int row_of(std::int64_t id) const;  // -1: not here
  /// The last question asked; its row, or -1.
  int last_question() const;
  bool is_answering() const;

  int rowCount(const QModelIndex& parent = {}) const override;
  QVariant data(const QModelIndex& index, int role) const override;

 Q_SIGNALS:
  void text_appended(int row, const QString& text);

 private:
  std::vector<app::Message> messages_;
};

}  // namespace lectern::ui
