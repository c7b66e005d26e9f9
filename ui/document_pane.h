// The reader: bar, find bar, and the pages or the text of one document.
#pragma once

#include <QString>
#include <QWidget>
#include <optional>
#include <vector>

#include "app/records.h"
#include "ui/page_view.h"
#include "ui/reader_text.h"
#include "ui/text_view.h"

class QLabel;
class QLineEdit;
class QStackedWidget;
class QToolButton;

namespace lectern::app {
class Workspace;
}

namespace lectern::ui {

class ElidedLabel;
class EmptyState;

class DocumentPane : public QWidget {
  Q_OBJECT
 public:
  explicit DocumentPane(app::Workspace& workspace, QWidget* parent = nullptr);

  /// Opens a document at its first page; false if the library does not hold it.
  bool open(const QString& fingerprint);
  void close_document();
  QString fingerprint() const { return fingerprint_; }
  /// Opens the document of the citation, marks all of the answer's passages and goes to this one. Remembered for
  /// "back".
  bool open_citation(const app::Citation& citation, const std::vector<app::Citation>& all);
  void clear_citations();

  QString place() const;
  void go_to_place(const QString& place);
  void go_back();
  void go_forward();
  bool can_go_back() const { return !back_.empty(); }
  bool can_go_forward() const { return !forward_.empty(); }

  void show_find_bar();
  void close_find_bar();
  bool is_finding() const;
  void find_next();
  void find_previous();
  void focus_page_box();
  int matches() const { return static_cast<int>(found_.size()); }
  int current_match() const { return found_at_ + 1; }  // from 1; 0: none

  PageView& pages() { return *pages_; }
  TextView& text_view() { return *lines_; }
  EmptyState& empty_state() { return *empty_; }
  const ReaderText& text() const { return text_; }

 Q_SIGNALS:
  void document_opened(const QString& fingerprint);
  void library_toggled();
  void place_changed();

 protected:
  void changeEvent(QEvent* event) override;

 private:
  struct Stop {
    QString fingerprint, place;
  };
  void build_bar();
  void build_find_bar();
  void paint_icons();
  void update_bar();
  void run_find();
  void show_match();
  void show_highlights();
  void mark_place();
  void go(std::vector<Stop>& from, std::vector<Stop>& to);

  app::Workspace& workspace_;
  QString fingerprint_;
  ReaderText text_;
  std::vector<app::Citation> cited_;
  std::optional<app::Citation> current_citation_;
  std::vector<TextPlace> found_;
  int found_at_ = -1;
  std::vector<Stop> back_, forward_;

  QWidget* bar_;
  QWidget* find_bar_;
  QToolButton *toggle_ = nullptr, *back_button_ = nullptr, *forward_button_ = nullptr, *smaller_ = nullptr,
              *larger_ = nullptr, *find_button_ = nullptr;
  QToolButton *find_previous_ = nullptr, *find_next_ = nullptr, *find_close_ = nullptr;
  ElidedLabel* title_ = nullptr;
  QLabel *page_count_ = nullptr, *zoom_ = nullptr, *find_count_ = nullptr;
  QLineEdit *page_box_ = nullptr, *find_box_ = nullptr;
  QStackedWidget* stack_;
  EmptyState* empty_;
  PageView* pages_;
  TextView* lines_;
};

}  // namespace lectern::ui
