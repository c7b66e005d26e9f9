// Rows are only added at the end or replaced as a whole; streamed text has a signal of its own, because dataChanged
// would ask the view to draw the answer from the start.
#include "ui/conversation_model.h"

#include <algorithm>

namespace lectern::ui {

void ConversationModel::set_messages(std::vector<app::Message> messages) {
  beginResetModel();
  messages_ = std::move(messages);
  endResetModel();
}

void ConversationModel::add_question(const QString& text) {
  app::Message message;
  message.role = inference::Role::user;
  message.text = text.toStdString();
  message.parent = messages_.empty() ? 0 : messages_.back().id;
  beginInsertRows({}, rowCount(), rowCount());
  messages_.push_back(std::move(message));
  endInsertRows();
}

void ConversationModel::begin_answer(std::int64_t question, std::int64_t answer) {
  if (row_of(answer) >= 0) return;
  if (!messages_.empty() && messages_.back().role == inference::Role::user && messages_.back().id == 0) {
    messages_.back().id = question;
    Q_EMIT dataChanged(index(rowCount() - 1), index(rowCount() - 1), {id_role});
  }
  app::Message message;
  message.id = answer;
  message.parent = question;
  message.role = inference::Role::assistant;
  message.state = app::MessageState::partial;
  beginInsertRows({}, rowCount(), rowCount());
  messages_.push_back(std::move(message));
  endInsertRows();
}

void ConversationModel::append_text(std::int64_t answer, const QString& text) {
  const int row = row_of(answer);
  if (row < 0) return;
  messages_[static_cast<std::size_t>(row)].text += text.toStdString();
  Q_EMIT text_appended(row, text);
}

void ConversationModel::finish(const app::Message& answer) {
  int row = row_of(answer.id);
  if (row < 0) {
    // It failed before it began.
    begin_answer(answer.parent, answer.id);
    row = row_of(answer.id);
  }
  messages_[static_cast<std::size_t>(row)] = answer;
  Q_EMIT dataChanged(index(row), index(row));
}

int ConversationModel::row_of(std::int64_t id) const {
  const auto at = std::find_if(messages_.begin(), messages_.end(), [id](const app::Message& m) { return m.id == id; });
  return at == messages_.end() ? -1 : static_cast<int>(at - messages_.begin());
}

int ConversationModel::last_question() const {
  for (int row = rowCount() - 1; row >= 0; --row) {
    if (message(row).role == inference::Role::user) return row;
  }
  return -1;
}

bool ConversationModel::is_answering() const {
  return !messages_.empty() && messages_.back().role == inference::Role::assistant &&
         messages_.back().state == app::MessageState::partial;
}

int ConversationModel::rowCount(const QModelIndex& parent) const {
  return parent.isValid() ? 0 : static_cast<int>(messages_.size());
}

QVariant ConversationModel::data(const QModelIndex& index, int role) const {
  if (!index.isValid() || !checkIndex(index)) return {};
  const app::Message& m = message(index.row());
  switch (role) {
    case Qt::DisplayRole: return QString::fromStdString(m.text);
    case id_role: return static_cast<qlonglong>(m.id);
    case is_question_role: return m.role == inference::Role::user;
    case state_role: return static_cast<int>(m.state);
    default: return {};
  }
}

}  // namespace lectern::ui
