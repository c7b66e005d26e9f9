// One answer of the conversation: text, proof, what it rests on and what it cost, actions.
#pragma once

#include <QWidget>
#include <vector>

#include "app/records.h"

class QFrame;
class QLabel;
class QProgressBar;
class QPushButton;
class QToolButton;
class QVBoxLayout;

namespace lectern::ui {

class AnswerText;
class PassageRow;

class AnswerView : public QWidget {
  Q_OBJECT
 public:
  explicit AnswerView(QWidget* parent = nullptr);

  const app::Message& message() const { return message_; }
  AnswerText& text() { return *text_; }
  /// Before the first word: how far the reading is.
  void show_reading(std::int64_t read, std::int64_t total, double seconds_left);
  void show_waiting(const QString& sentence);
  void append_text(const QString& text);
  void show_message(const app::Message& message);
  /// The citation that the reader shows, or -1.
  void set_pressed(int citation);

 Q_SIGNALS:
  void citation_clicked(int citation);
  void regenerate_requested();
  void edit_requested();

 protected:
  void changeEvent(QEvent* event) override;

 private:
  void show_counts();
  void show_passages();
  QPushButton* action(const QString& text, const QString& tip);

  app::Message message_;
  QLabel* progress_;
  QProgressBar* bar_;
  AnswerText* text_;
  QFrame* notice_;
  QLabel* problem_;
  QToolButton* retry_;
  QWidget* footer_;
  QLabel *counts_, *unsupported_, *ending_, *coverage_, *cost_;
  QLabel* passages_title_;
  QVBoxLayout* passages_;
  std::vector<PassageRow*> passage_rows_;
  QWidget* actions_;
};

}  // namespace lectern::ui
