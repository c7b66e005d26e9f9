// Pages under each other on a desk: only pages near the sight are asked for and kept.
#pragma once

#include <QAbstractScrollArea>
#include <QHash>
#include <QImage>
#include <QTimer>
#include <vector>

#include "ui/reader_text.h"

namespace lectern::app {
class Workspace;
struct PagePicture;
}  // namespace lectern::app

namespace lectern::ui {

struct Highlight {
  TextPlace place;
  enum class Kind { cited, current_citation, found, current_found } kind = Kind::cited;
};

class PageView : public QAbstractScrollArea {
  Q_OBJECT
 public:
  explicit PageView(app::Workspace& workspace, QWidget* parent = nullptr);

  /// The text must outlive its being shown; null shows nothing.
  void show_document(const ReaderText* text);
  void set_highlights(std::vector<Highlight> highlights);
  const std::vector<Highlight>& highlights() const { return highlights_; }

  int current_page() const;  // from 1: the page at the middle of the sight; 0 without a document
  void go_to_page(int page);
  /// Brings the passage into the upper third of the sight.
  void go_to(const TextPlace& place);
  double zoom() const { return zoom_; }
  void set_zoom(double zoom);  // 1: 100 %; ends fitting
  /// The widest page fills the width, up to 150 %; followed when the view is resized. On from the start.
  void fit_width();
  bool fits_width() const { return fits_; }
  /// The place of the sight, to come back to: page and share of its height.
  QString place() const;
  void go_to_place(const QString& place);
  QString selected_text() const;
  /// Where the passage stands in the viewport; empty if it is out of sight or has no boxes.
  QRectF rect_of(const TextPlace& place) const;
  bool has_picture(int page) const { return pictures_.contains(page); }

 Q_SIGNALS:
  void page_changed(int page);
  void zoom_changed(double zoom);

 protected:
  void paintEvent(QPaintEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void scrollContentsBy(int dx, int dy) override;
  void wheelEvent(QWheelEvent* event) override;
  void keyPressEvent(QKeyEvent* event) override;
  void mousePressEvent(QMouseEvent* event) override;
  void mouseMoveEvent(QMouseEvent* event) override;
  void mouseReleaseEvent(QMouseEvent* event) override;

 private:
  struct Picture {
    QImage image;
    double dpi = 0;
  };
  double scale() const;  // logical pixels per point
  double dpi() const;    // device pixels per inch
  double fitting_zoom() const;
  void change_zoom(double zoom);
  void lay_out();
  QRectF page_rect(int page) const;  // in the viewport
  std::pair<int, int> visible_pages() const;
  void request_visible();
  void take(const QString& fingerprint, int page, double dpi, const QString& purpose, const app::PagePicture& picture);
  void paint_page(QPainter& painter, int page, const QRectF& rect) const;
  void paint_marks(QPainter& painter) const;
  void after_scroll();

  app::Workspace& workspace_;
  const ReaderText* text_ = nullptr;
  QString fingerprint_;
  std::vector<double> tops_;  // of each page on the desk, logical pixels; one more: the end
  double desk_width_ = 0;
  double zoom_ = 1;
  bool fits_ = true;
  QHash<int, Picture> pictures_;
  QHash<int, QString> problems_;
  QHash<QString, int> asked_;  // purpose -> page
  std::vector<Highlight> highlights_;
  int last_page_ = 0;
  QPointF press_;
  int selected_page_ = 0;
  QRectF selection_pt_;
  bool selecting_ = false;
  QTimer settle_;
};

}  // namespace lectern::ui
