// Searching folds case and white space one code point to one code point, so that a place in the folded text is the same
// place in the page. Boxes of one line are joined, so that a highlight has no gaps between words.
#include "ui/reader_text.h"

#include <QChar>
#include <algorithm>

namespace lectern::ui {

namespace {

std::u32string fold(const QString& text) {
  std::u32string result;
  result.reserve(static_cast<std::size_t>(text.size()));
  for (const char32_t c : text.toStdU32String()) {
    result.push_back(QChar::isSpace(c) ? U' ' : QChar::toCaseFolded(c));
  }
  return result;
}

}  // namespace

ReaderText::ReaderText(documents::Document document) : document_(std::move(document)) {
  folded_.resize(document_.pages.size());
}

QSizeF ReaderText::page_size_pt(int page) const {
  if (page < 1 || page > page_count()) return {595, 842};
  const documents::Page& p = document_.pages[static_cast<std::size_t>(page - 1)];
  // A hostile file may name any size.
  const auto sane = [](double value, double otherwise) { return value > 1 && value < 20000 ? value : otherwise; };
  return {sane(p.width_pt, 595), sane(p.height_pt, 842)};
}

std::vector<QRectF> join_lines(const std::vector<documents::Word>& words, std::int64_t start, std::int64_t end) {
  std::vector<QRectF> lines;
  for (const documents::Word& word : words) {
    if (word.end <= start || word.start >= end) continue;
    const QRectF box = QRectF(QPointF(word.box.x0, word.box.y0), QPointF(word.box.x1, word.box.y1)).normalized();
    if (!lines.empty()) {
      QRectF& last = lines.back();
      const double overlap = std::min(last.bottom(), box.bottom()) - std::max(last.top(), box.top());
      const bool same_line = overlap > 0.5 * std::min(last.height(), box.height());
      // Words of one line follow each other; a jump to the left or over a gutter is another line or column.
      if (same_line && box.left() >= last.left() && box.left() - last.right() < 4 * std::max(last.height(), 1.0)) {
        last |= box;
        continue;
      }
    }
    lines.push_back(box);
  }
  return lines;
}

std::vector<QRectF> ReaderText::boxes(const TextPlace& place) const {
  if (place.page < 1 || place.page > page_count()) return {};
  return join_lines(document_.pages[static_cast<std::size_t>(place.page - 1)].words, place.start, place.end);
}

std::pair<int, int> ReaderText::lines(const TextPlace& place) const {
  if (place.page < 1 || place.page > page_count()) return {0, 0};
  const documents::Page& page = document_.pages[static_cast<std::size_t>(place.page - 1)];
  const std::u32string raw = QString::fromStdString(page.text).toStdU32String();
  const auto count = [&raw](std::int64_t end) {
    const auto stop = raw.begin() + std::clamp<std::int64_t>(end, 0, static_cast<std::int64_t>(raw.size()));
    return static_cast<int>(std::count(raw.begin(), stop, U'\n'));
  };
  const int first = std::max(page.first_line, 1) + count(place.start);
  const int last = std::max(page.first_line, 1) + count(std::max(place.start, place.end - 1));
  return {first, last};
}

QString ReaderText::text_in(int page, const QRectF& area_pt) const {
  if (page < 1 || page > page_count()) return {};
  const documents::Page& p = document_.pages[static_cast<std::size_t>(page - 1)];
  const std::u32string raw = QString::fromStdString(p.text).toStdU32String();
  std::int64_t start = -1, end = -1;
  for (const documents::Word& word : p.words) {
    const QRectF box(QPointF(word.box.x0, word.box.y0), QPointF(word.box.x1, word.box.y1));
    if (!box.intersects(area_pt)) continue;
    if (start < 0) start = word.start;
    end = std::max(end, word.end);
  }
  const auto size = static_cast<std::int64_t>(raw.size());
  if (start < 0 || start >= size) return {};
  end = std::min(end, size);
  return QString::fromStdU32String(raw.substr(static_cast<std::size_t>(start), static_cast<std::size_t>(end - start)));
}

QString ReaderText::whole_text() const {
  QString text;
  for (const documents::Page& page : document_.pages) {
    if (!text.isEmpty() && !text.endsWith(QLatin1Char('\n'))) text += QLatin1Char('\n');
    text += QString::fromStdString(page.text);
  }
  return text;
}

const std::u32string& ReaderText::folded(int page) const {
  const auto index = static_cast<std::size_t>(page - 1);
  std::u32string& text = folded_[index];
  if (text.empty()) text = fold(QString::fromStdString(document_.pages[index].text));
  return text;
}

std::vector<TextPlace> ReaderText::find(const QString& text, std::size_t limit) const {
  std::vector<TextPlace> places;
  const std::u32string needle = fold(text.trimmed());
  if (needle.empty()) return places;
  for (int page = 1; page <= page_count(); ++page) {
    const std::u32string& where = folded(page);
    for (std::size_t at = where.find(needle); at != std::u32string::npos; at = where.find(needle, at + needle.size())) {
      if (places.size() >= limit) return places;
      places.push_back({page, static_cast<std::int64_t>(at), static_cast<std::int64_t>(at + needle.size())});
    }
  }
  return places;
}

}  // namespace lectern::ui
