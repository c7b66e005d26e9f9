// The right pane: title, messages, notice, question box.
#pragma once

#include <QWidget>
#include <cstdint>
#include <vector>

#include "app/records.h"

class QFrame;
class QLabel;
class QScrollArea;
class QPushButton;
class QToolButton;
class QVBoxLayout;

namespace lectern::ui {

class AnswerView;
class ConversationModel;
class ElidedLabel;
class QuestionBox;

class ConversationPane : public QWidget {
  Q_OBJECT
 public:
  explicit ConversationPane(QWidget* parent = nullptr);

  ConversationModel& model() { return *model_; }
  QuestionBox& box() { return *box_; }
  void set_title(const QString& title);
  void set_exportable(bool exportable);
  /// Which of several conversations of the session is shown, from 1; nothing is shown for fewer than two.
  void set_place(int place, int count);
  /// A sentence above the box with one action; empty hides it.
  enum class Notice { calm, problem };
  void show_notice(const QString& sentence, const QString& action, Notice kind = Notice::problem);
  /// The progress line of the answer that has not begun to write.
  void show_reading(std::int64_t read, std::int64_t total, double seconds_left);
  /// A question that waits for its documents; empty: it waits no longer.
  void show_waiting(const QString& sentence);

  /// Puts the question back into the box; asking it then makes a branch.
  void edit_question(int row);
  void leave_editing();
  bool is_editing() const { return editing_row_ >= 0; }
  int editing_row() const { return editing_row_; }

  AnswerView* answer(int row) const;
  AnswerView* last_answer() const;
  void set_pressed(int row, int citation);
  void scroll_to_end();
  bool follows_end() const { return follow_; }
  QScrollArea& scroll_area() { return *scroll_; }

 Q_SIGNALS:
  void citation_opened(const lectern::app::Citation& citation, const std::vector<lectern::app::Citation>& all);
  void regenerate_requested(qint64 answer);
  void export_requested();
  void neighbour_requested(int step);  // -1: the conversation before this one, 1: the one behind it
  void notice_action();

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void rebuild();
  void add_row(int row);
  void update_row(int row);
  void fit_bubbles();
  void show_hint();

  ConversationModel* model_;
  ElidedLabel* title_;
  QToolButton* export_;
  QWidget* places_;
  QToolButton *earlier_, *later_;
  QLabel* place_;
  QScrollArea* scroll_;
  QWidget* messages_;
  QVBoxLayout* column_;
  QLabel* hint_;
  QLabel* waiting_;
  QFrame* notice_;
  QLabel* notice_text_;
  QPushButton* notice_button_;
  QuestionBox* box_;
  std::vector<QWidget*> rows_;  // bubbles and answers, by row of the model
  bool follow_ = true;
  int editing_row_ = -1;
};

}  // namespace lectern::ui
