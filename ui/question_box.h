// The box at the foot of the conversation: question, ready line, Ask or Stop.
#pragma once

#include <QFrame>
#include <QTextEdit>

class QLabel;
class QPushButton;
class QToolButton;

namespace lectern::ui {

/// Enter sends, Shift+Enter breaks the line, Ctrl+Enter sends too, from the documents; Enter while the input method
/// composes does nothing.
class QuestionEdit : public QTextEdit {
  Q_OBJECT
 public:
  explicit QuestionEdit(QWidget* parent = nullptr);
  bool is_composing() const { return composing_; }

 Q_SIGNALS:
  void send_requested();
  void send_from_documents_requested();
  void edit_last_requested();
  void focus_changed(bool focused);
  void files_pasted(const QStringList& paths);

 protected:
  void keyPressEvent(QKeyEvent* event) override;
  void inputMethodEvent(QInputMethodEvent* event) override;
  void focusInEvent(QFocusEvent* event) override;
  void focusOutEvent(QFocusEvent* event) override;
  bool canInsertFromMimeData(const QMimeData* source) const override;
  void insertFromMimeData(const QMimeData* source) override;

 private:
  bool composing_ = false;
};

class QuestionBox : public QFrame {
  Q_OBJECT
 public:
  explicit QuestionBox(QWidget* parent = nullptr);
  /// Where a question starts: behind the conversation, or from the documents' end, as if nothing had been said.
  enum class From { conversation, documents };
  Q_ENUM(From)

  QuestionEdit& edit() { return *edit_; }
  QString text() const;
  void set_text(const QString& text);
  void set_document_count(int count);
  enum class Ready { ready, reading, blocked };
  /// The line at the left of the button: "ready: 47,259 tokens kept".
  void set_ready(Ready ready, const QString& words);
  QString ready_words() const;
  /// The choice is offered only where there is a conversation.
  void set_conversation(bool exists);
  From from() const { return from_; }
  void set_from(From from);
  /// What each of the two costs, for their tooltips.
  void set_costs(const QString& conversation, const QString& documents);
  void set_busy(bool busy);
  bool is_busy() const { return busy_; }
  /// "Editing a question: Esc leaves it".
  void set_editing(bool editing);

 Q_SIGNALS:
  void ask_requested(const QString& question, lectern::ui::QuestionBox::From from);
  void from_changed(lectern::ui::QuestionBox::From from);
  void stop_requested();
  void edit_last_requested();
  void files_pasted(const QStringList& paths);

 protected:
  void resizeEvent(QResizeEvent* event) override;
  void changeEvent(QEvent* event) override;

 private:
  void send(From from);
  void choose(From from);
  void fit_words();
  void fit();
  void show_ready();

  QFrame* frame_;
  QuestionEdit* edit_;
  QWidget* choice_;
  QToolButton *continue_, *documents_;
  QLabel *dot_, *ready_, *hint_;
  QPushButton *ask_, *stop_;
  Ready state_ = Ready::ready;
  From from_ = From::conversation;
  bool busy_ = false, editing_ = false;
};

}  // namespace lectern::ui
