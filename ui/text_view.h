// Text, Markdown and code as they stand in the file, with line numbers and highlighted lines.
#pragma once

#include <QPlainTextEdit>
#include <utility>
#include <vector>

namespace lectern::ui {

class TextView : public QPlainTextEdit {
  Q_OBJECT
 public:
  explicit TextView(QWidget* parent = nullptr);

  struct Lines {
    int first = 0, last = 0;  // from 1
    bool current = false;
    bool found = false;  // a hit of the find bar, not a citation
  };
  /// `code` chooses the face.
  void show_text(const QString& text, bool code);
  void set_highlights(std::vector<Lines> lines);
  const std::vector<Lines>& highlights() const { return lines_; }
  void go_to_line(int line);
  int top_line() const;
  QString place() const;
  void go_to_place(const QString& place);

 protected:
  void resizeEvent(QResizeEvent* event) override;
  void paintEvent(QPaintEvent* event) override;
  void changeEvent(QEvent* event) override;

 private:
  class Gutter;
  int gutter_width() const;
  void paint_gutter(QPaintEvent* event);
  void apply_highlights();

  Gutter* gutter_;
  std::vector<Lines> lines_;
};

}  // namespace lectern::ui
