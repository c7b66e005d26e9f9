// The desk is as high as all pages together; the scroll bars move over it, and only pages within one screen of the
// sight have pictures. A picture of another zoom is stretched until the sharp one arrives, so that zooming never shows
// white. Requests carry the purpose "reader 0" to "reader 3" (page modulo 4): a newer request of a purpose replaces a
// waiting one, so that a fast scroll leaves no queue behind.
#include "ui/page_view.h"

#include <QApplication>
#include <QClipboard>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>
#include <QScrollBar>
#include <algorithm>
#include <cmath>
#include <cstring>

#include "app/workspace.h"
#include "ui/theme.h"

namespace lectern::ui {

namespace {

constexpr double margin_px = 22, gap_px = 18, points_per_inch = 72, logical_dpi = 96;
constexpr int purposes = 4;

}  // namespace

PageView::PageView(app::Workspace& workspace, QWidget* parent) : QAbstractScrollArea(parent), workspace_(workspace) {
  setObjectName(QStringLiteral("page_view"));
  setAccessibleName(tr("Pages of the document"));
  setFrameShape(QFrame::NoFrame);
  setFocusPolicy(Qt::StrongFocus);
  viewport()->setMouseTracking(true);
  viewport()->setCursor(Qt::IBeamCursor);
  settle_.setSingleShot(true);
  settle_.setInterval(30);
  connect(&settle_, &QTimer::timeout, this, &PageView::request_visible);
  connect(&workspace_, &app::Workspace::page_rendered, this, &PageView::take);
  connect(&workspace_, &app::Workspace::page_failed, this,
          [this](const QString& fingerprint, int page, const QString& purpose, const QString& problem) {
            if (fingerprint != fingerprint_ || !purpose.startsWith(QLatin1String("reader "))) return;
            if (asked_.value(purpose) == page) asked_.remove(purpose);
            problems_.insert(page, problem);
            viewport()->update();
            settle_.start();
          });
}

void PageView::show_document(const ReaderText* text) {
  text_ = text;
  fingerprint_ = text ? QString::fromStdString(text->document().fingerprint) : QString();
  pictures_.clear();
  problems_.clear();
  asked_.clear();
  highlights_.clear();
  selection_pt_ = {};
  last_page_ = 0;
  if (fits_ && text_ && !text_->is_empty()) zoom_ = fitting_zoom();
  lay_out();
  verticalScrollBar()->setValue(0);
  horizontalScrollBar()->setValue(horizontalScrollBar()->maximum() / 2);
  after_scroll();
}

void PageView::set_highlights(std::vector<Highlight> highlights) {
  highlights_ = std::move(highlights);
  viewport()->update();
}

double PageView::scale() const {
  return zoom_ * logical_dpi / points_per_inch;
}

double PageView::dpi() const {
  return std::min(zoom_ * logical_dpi * devicePixelRatioF(), 600.0);
}

void PageView::lay_out() {
  tops_.clear();
  desk_width_ = 0;
  double top = margin_px;
  const int count = text_ ? text_->page_count() : 0;
  for (int page = 1; page <= count; ++page) {
    const QSizeF size = text_->page_size_pt(page) * scale();
    tops_.push_back(top);
    top += size.height() + gap_px;
    desk_width_ = std::max(desk_width_, size.width() + 2 * margin_px);
  }
  tops_.push_back(top - gap_px + margin_px);
  const QSize sight = viewport()->size();
  verticalScrollBar()->setPageStep(sight.height());
  verticalScrollBar()->setSingleStep(48);
  verticalScrollBar()->setRange(
      0, count == 0 ? 0 : std::max(0, static_cast<int>(std::ceil(tops_.back())) - sight.height()));
  horizontalScrollBar()->setPageStep(sight.width());
  horizontalScrollBar()->setRange(0, std::max(0, static_cast<int>(std::ceil(desk_width_)) - sight.width()));
}

QRectF PageView::page_rect(int page) const {
  const QSizeF size = text_->page_size_pt(page) * scale();
  const double centre = std::max(desk_width_, static_cast<double>(viewport()->width())) / 2;
  // Whole device pixels: a picture that begins between two pixels is blurred.
  return {std::round(centre - size.width() / 2) - horizontalScrollBar()->value(),
          std::round(tops_[static_cast<std::size_t>(page - 1)]) - verticalScrollBar()->value(), size.width(),
          size.height()};
}

std::pair<int, int> PageView::visible_pages() const {
  if (!text_ || text_->is_empty()) return {1, 0};
  const double top = verticalScrollBar()->value(), bottom = top + viewport()->height();
  const auto end = tops_.end() - 1;
  const auto last = std::lower_bound(tops_.begin(), end, bottom);
  auto first = std::upper_bound(tops_.begin(), end, top);
  if (first != tops_.begin()) --first;
  return {static_cast<int>(first - tops_.begin()) + 1, static_cast<int>(std::max(last, first + 1) - tops_.begin())};
}

int PageView::current_page() const {
  if (!text_ || text_->is_empty()) return 0;
  const double middle = verticalScrollBar()->value() + viewport()->height() * 0.4;
  const auto at = std::upper_bound(tops_.begin(), tops_.end() - 1, middle);
  return std::max(1, static_cast<int>(at - tops_.begin()));
}

void PageView::go_to_page(int page) {
  if (!text_ || page < 1 || page > text_->page_count()) return;
  verticalScrollBar()->setValue(static_cast<int>(tops_[static_cast<std::size_t>(page - 1)] - margin_px / 2));
}

void PageView::go_to(const TextPlace& place) {
  const std::vector<QRectF> boxes = text_ ? text_->boxes(place) : std::vector<QRectF>();
  if (boxes.empty()) {
    go_to_page(place.page);
    return;
  }
  QRectF all = boxes.front();
  for (const QRectF& box : boxes) all |= box;
  const double top = tops_[static_cast<std::size_t>(place.page - 1)] + all.top() * scale();
  verticalScrollBar()->setValue(static_cast<int>(top - viewport()->height() * 0.33));
  const QRectF page = page_rect(place.page);
  const double left = page.left() + all.left() * scale(), right = page.left() + all.right() * scale();
  if (left < 0 || right > viewport()->width()) {
    horizontalScrollBar()->setValue(horizontalScrollBar()->value() + static_cast<int>(left - margin_px));
  }
}

double PageView::fitting_zoom() const {
  double widest_pt = 1;
  for (int page = 1; text_ && page <= text_->page_count(); ++page)
    widest_pt = std::max(widest_pt, text_->page_size_pt(page).width());
  return std::clamp((viewport()->width() - 2 * margin_px - 16) / (widest_pt * logical_dpi / points_per_inch), 0.4, 1.5);
}

void PageView::fit_width() {
  fits_ = true;
  if (text_ && !text_->is_empty()) change_zoom(fitting_zoom());
}

void PageView::set_zoom(double zoom) {
  fits_ = false;
  change_zoom(zoom);
}

void PageView::change_zoom(double zoom) {
  zoom = std::clamp(zoom, 0.25, 5.0);
  if (std::abs(zoom - zoom_) < 1e-4) return;
  const QString kept = place();
  zoom_ = zoom;
  lay_out();
  go_to_place(kept);
  horizontalScrollBar()->setValue(horizontalScrollBar()->maximum() / 2);
  after_scroll();
  Q_EMIT zoom_changed(zoom_);
}

QString PageView::place() const {
  if (!text_ || text_->is_empty()) return {};
  const double top = verticalScrollBar()->value();
  const int page = visible_pages().first;
  const double start = tops_[static_cast<std::size_t>(page - 1)];
  const double height = text_->page_size_pt(page).height() * scale();
  return QStringLiteral("%1:%2").arg(page).arg((top - start) / height, 0, 'f', 5);
}

void PageView::go_to_place(const QString& place) {
  const int page = place.section(QLatin1Char(':'), 0, 0).toInt();
  const double share = place.section(QLatin1Char(':'), 1, 1).toDouble();
  if (!text_ || page < 1 || page > text_->page_count() || !std::isfinite(share)) return;
  const double height = text_->page_size_pt(page).height() * scale();
  verticalScrollBar()->setValue(
      static_cast<int>(std::lround(tops_[static_cast<std::size_t>(page - 1)] + std::clamp(share, -1.0, 2.0) * height)));
}

void PageView::request_visible() {
  if (!text_ || !isVisible()) return;
  const auto [first, last] = visible_pages();
  // In sight first, then the neighbours. A page of a size that nobody can render is not asked for again.
  std::vector<int> wanted;
  for (int page = first; page <= last; ++page) wanted.push_back(page);
  if (last + 1 <= text_->page_count()) wanted.push_back(last + 1);
  if (first > 1) wanted.push_back(first - 1);
  for (const int page : wanted) {
    const auto known = pictures_.constFind(page);
    if (problems_.contains(page) || (known != pictures_.constEnd() && std::abs(known->dpi - dpi()) < 0.5)) continue;
    const QString purpose = QStringLiteral("reader %1").arg(page % purposes);
    const int busy = asked_.value(purpose, 0);
    if (busy == page) continue;
    if (busy >= first && busy <= last) continue;  // asked again when that one has come
    asked_.insert(purpose, page);
    workspace_.request_page(fingerprint_, page, dpi(), purpose);
  }
  // Pictures far out of sight are dropped.
  for (auto at = pictures_.begin(); at != pictures_.end();) {
    at = at.key() < first - 3 || at.key() > last + 3 ? pictures_.erase(at) : std::next(at);
  }
}

void PageView::take(const QString& fingerprint, int page, double dpi, const QString& purpose,
                    const app::PagePicture& picture) {
  if (fingerprint != fingerprint_ || !purpose.startsWith(QLatin1String("reader "))) return;
  if (asked_.value(purpose) == page) asked_.remove(purpose);
  settle_.start();
  const qsizetype needed = qsizetype{4} * picture.width * picture.height;
  if (picture.width <= 0 || picture.height <= 0 || picture.pixels.size() < needed) return;
  QImage image(picture.width, picture.height, QImage::Format_RGB32);
  for (int y = 0; y < picture.height; ++y) {
    std::memcpy(image.scanLine(y), picture.pixels.constData() + qsizetype{4} * picture.width * y,
                static_cast<std::size_t>(picture.width) * 4);
  }
  pictures_.insert(page, {image, dpi});
  viewport()->update();
}

void PageView::paint_page(QPainter& painter, int page, const QRectF& rect) const {
  const Theme& theme = Theme::current();
  painter.setPen(Qt::NoPen);
  for (int ring = 6; ring >= 1; --ring) {
    painter.setBrush(QColor(0, 0, 0, theme.dark ? 16 : 5));
    painter.drawRoundedRect(rect.adjusted(-ring + 1, -ring + 2, ring - 1, ring + 1), ring, ring);
  }
  painter.fillRect(rect, theme.page);
  const auto picture = pictures_.constFind(page);
  if (picture != pictures_.constEnd()) {
    painter.setRenderHint(QPainter::SmoothPixmapTransform, std::abs(picture->dpi - dpi()) > 0.5);
    QImage image = picture->image;
    image.setDevicePixelRatio(picture->dpi / logical_dpi / zoom_);
    // On the dimmed page of the dark theme the picture is multiplied with the page's colour.
    painter.setCompositionMode(theme.dark ? QPainter::CompositionMode_Multiply : QPainter::CompositionMode_SourceOver);
    if (std::abs(picture->dpi - dpi()) > 0.5)
      painter.drawImage(rect, image, QRectF(QPointF(), QSizeF(picture->image.size())));
    else
      painter.drawImage(rect.topLeft(), image);
    painter.setCompositionMode(QPainter::CompositionMode_SourceOver);
  } else {
    painter.setPen(problems_.contains(page) ? QColor(0xb3261e) : QColor(0x8a8f96));
    painter.setFont(interface_font(13));
    painter.drawText(rect.adjusted(24, 24, -24, -24), Qt::AlignHCenter | Qt::AlignTop | Qt::TextWordWrap,
                     problems_.value(page, tr("Page %1").arg(page)));
  }
  const auto to_view = [&](const QRectF& box) {
    return QRectF(rect.topLeft() + box.topLeft() * scale(), box.size() * scale());
  };
  for (const Highlight& highlight : highlights_) {
    if (highlight.place.page != page) continue;
    const bool cited = highlight.kind == Highlight::Kind::cited || highlight.kind == Highlight::Kind::current_citation;
    for (const QRectF& box : text_->boxes(highlight.place)) {
      const QRectF area = to_view(box).adjusted(-1, -1, 1, 1);
      painter.setCompositionMode(QPainter::CompositionMode_Multiply);
      QColor fill = theme.cited_fill;
      if (highlight.kind == Highlight::Kind::cited) fill = QColor(0xfff3cf);
      if (highlight.kind == Highlight::Kind::found) fill = QColor(0xd6e6f7);
      if (highlight.kind == Highlight::Kind::current_found) fill = QColor(0x9cc6f2);
      painter.fillRect(area, fill);
      painter.setCompositionMode(QPainter::CompositionMode_SourceOver);
      if (cited) painter.fillRect(QRectF(area.left(), area.bottom() - 1, area.width(), 2), theme.cited_line);
    }
  }
  if (page == selected_page_ && !selection_pt_.isEmpty()) {
    painter.setCompositionMode(QPainter::CompositionMode_Multiply);
    for (const documents::Word& word : text_->document().pages[static_cast<std::size_t>(page - 1)].words) {
      const QRectF box(QPointF(word.box.x0, word.box.y0), QPointF(word.box.x1, word.box.y1));
      if (box.intersects(selection_pt_)) painter.fillRect(to_view(box), QColor(0xb9d4f0));
    }
    painter.setCompositionMode(QPainter::CompositionMode_SourceOver);
  }
}

void PageView::paint_marks(QPainter& painter) const {
  if (verticalScrollBar()->maximum() <= 0) return;
  const double total = tops_.back();
  const double height = viewport()->height();
  painter.setRenderHint(QPainter::Antialiasing);
  for (const Highlight& highlight : highlights_) {
    const bool cited = highlight.kind == Highlight::Kind::cited || highlight.kind == Highlight::Kind::current_citation;
    if (highlight.place.page < 1 || highlight.place.page > text_->page_count()) continue;
    const std::vector<QRectF> boxes = text_->boxes(highlight.place);
    const double y = tops_[static_cast<std::size_t>(highlight.place.page - 1)] +
                     (boxes.empty() ? 0.0 : boxes.front().center().y() * scale());
    painter.setPen(Qt::NoPen);
    painter.setBrush(cited ? Theme::current().cited_line : Theme::current().accent);
    const double size = highlight.kind == Highlight::Kind::current_citation ? 10 : 8;
    painter.drawRoundedRect(QRectF(viewport()->width() - 8, y / total * height - size / 2, 5, size), 1.5, 1.5);
  }
}

void PageView::paintEvent(QPaintEvent*) {
  QPainter painter(viewport());
  painter.fillRect(viewport()->rect(), Theme::current().desk);
  if (!text_ || text_->is_empty()) return;
  painter.setRenderHint(QPainter::Antialiasing);
  const auto [first, last] = visible_pages();
  for (int page = first; page <= last; ++page) paint_page(painter, page, page_rect(page));
  paint_marks(painter);
}

void PageView::resizeEvent(QResizeEvent* event) {
  const QString kept = place();
  if (fits_ && text_ && !text_->is_empty()) {
    const double before = std::exchange(zoom_, fitting_zoom());
    if (std::abs(before - zoom_) > 1e-4) Q_EMIT zoom_changed(zoom_);
  }
  lay_out();
  go_to_place(kept);
  after_scroll();
  QAbstractScrollArea::resizeEvent(event);
}

void PageView::scrollContentsBy(int, int) {
  viewport()->update();
  after_scroll();
}

void PageView::after_scroll() {
  settle_.start();
  const int page = current_page();
  if (page != last_page_) {
    last_page_ = page;
    Q_EMIT page_changed(page);
  }
}

void PageView::wheelEvent(QWheelEvent* event) {
  if (event->modifiers() & Qt::ControlModifier) {
    set_zoom(zoom_ * std::pow(1.1, event->angleDelta().y() / 120.0));
    event->accept();
    return;
  }
  QAbstractScrollArea::wheelEvent(event);
}

void PageView::keyPressEvent(QKeyEvent* event) {
  QScrollBar* bar = verticalScrollBar();
  if (event->matches(QKeySequence::Copy)) {
    if (!selected_text().isEmpty()) QApplication::clipboard()->setText(selected_text());
    return;
  }
  switch (event->key()) {
    case Qt::Key_Home: bar->setValue(0); return;
    case Qt::Key_End: bar->setValue(bar->maximum()); return;
    case Qt::Key_Space:
      bar->setValue(bar->value() + bar->pageStep() * (event->modifiers() & Qt::ShiftModifier ? -9 : 9) / 10);
      return;
    default: QAbstractScrollArea::keyPressEvent(event);
  }
}

QRectF PageView::rect_of(const TextPlace& place) const {
  const std::vector<QRectF> boxes = text_ ? text_->boxes(place) : std::vector<QRectF>();
  if (boxes.empty()) return {};
  const QRectF page = page_rect(place.page);
  const QRectF rect(page.topLeft() + boxes.front().topLeft() * scale(), boxes.front().size() * scale());
  return rect.intersects(QRectF(viewport()->rect())) ? rect : QRectF();
}

QString PageView::selected_text() const {
  return text_ && !selection_pt_.isEmpty() ? text_->text_in(selected_page_, selection_pt_) : QString();
}

void PageView::mousePressEvent(QMouseEvent* event) {
  if (event->button() != Qt::LeftButton || !text_) return;
  selection_pt_ = {};
  selected_page_ = 0;
  const auto [first, last] = visible_pages();
  for (int page = first; page <= last; ++page) {
    const QRectF rect = page_rect(page);
    if (!rect.contains(event->position())) continue;
    selected_page_ = page;
    press_ = (event->position() - rect.topLeft()) / scale();
    selecting_ = true;
  }
  viewport()->update();
}

void PageView::mouseMoveEvent(QMouseEvent* event) {
  if (!selecting_ || selected_page_ == 0) return;
  const QPointF now = (event->position() - page_rect(selected_page_).topLeft()) / scale();
  selection_pt_ = QRectF(press_, now).normalized();
  viewport()->update();
}

void PageView::mouseReleaseEvent(QMouseEvent*) {
  selecting_ = false;
}

}  // namespace lectern::ui
