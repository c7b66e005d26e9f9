// While an answer streams, finished blocks stay as they are and only the last block is written anew, at most once a
// frame. When it is finished the whole text is written once more, with the map from source to document, and the chips
// are put in from the end to the front, so that earlier places do not move. A chip is a text object with an anchor:
// Tab, Enter, click, hover and screen readers then work as for a link.
#include "ui/answer_text.h"

#include <QAbstractTextDocumentLayout>
#include <QHelpEvent>
#include <QMimeData>
#include <QPainter>
#include <QRegularExpression>
#include <QScrollBar>
#include <QTextBlock>
#include <QTextDocumentFragment>
#include <QTextLayout>
#include <QToolTip>
#include <QWheelEvent>
#include <algorithm>
#include <cmath>

#include "ui/theme.h"

namespace lectern::ui {

namespace {

constexpr int chip_type = QTextFormat::UserObject + 1;
constexpr int chip_property = QTextFormat::UserProperty + 1;
constexpr int chip_px = 11, chip_height = 18;

struct ChipColours {
  QColor text, fill;
};

ChipColours colours_of(app::CitationStatus status, const Theme& theme) {
  switch (status) {
    case app::CitationStatus::verified: return {theme.verified, theme.verified_fill};
    case app::CitationStatus::elsewhere: return {theme.elsewhere, theme.elsewhere_fill};
    case app::CitationStatus::absent: break;
  }
  return {theme.absent, theme.absent_fill};
}

/// UTF-8 bytes before the code point.
std::int64_t byte_of(const QByteArray& text, std::int64_t code_points) {
  qsizetype at = 0;
  for (std::int64_t seen = 0; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) continue;
    if (seen++ == code_points) break;
  }
  return at;
}

}  // namespace

QString place_words(const app::Citation& citation) {
  if (citation.lines) {
    return citation.lines->first == citation.lines->second
               ? AnswerText::tr("line %1").arg(citation.lines->first)
               : AnswerText::tr("lines %1–%2").arg(citation.lines->first).arg(citation.lines->second);
  }
  return AnswerText::tr("p. %1").arg(citation.page);
}

QString quote_words(const app::Citation& citation) {
  static const QRegularExpression cut(QStringLiteral("(?<=\\p{L})[-\u00ad]\\s*\\n\\s*(?=\\p{Ll})"));
  return QString::fromStdString(citation.quote).remove(cut).simplified();
}

QString chip_label(const app::Citation& citation, const QString& main_document) {
  const QString head = QStringLiteral("%1 %2 · ");
  switch (citation.status) {
    case app::CitationStatus::absent:
      return head.arg(QStringLiteral("✕")).arg(citation.marker) + AnswerText::tr("not found");
    case app::CitationStatus::verified:
    case app::CitationStatus::elsewhere: break;
  }
  QString place = place_words(citation);
  const QString document = QString::fromStdString(citation.document);
  if (document != main_document) {
    QString name = document.section(QLatin1Char('/'), -1);
    const qsizetype dot = name.lastIndexOf(QLatin1Char('.'));
    if (dot > 0 && !citation.lines) name.truncate(dot);
    if (name.size() > 18) name = name.left(17) + QStringLiteral("…");
    place = name + QLatin1Char(' ') + place;
  }
  const bool verified = citation.status == app::CitationStatus::verified;
  return head.arg(verified ? QStringLiteral("✓") : QStringLiteral("↪")).arg(citation.marker) + place;
}

QString chip_tooltip(const app::Citation& citation) {
  QString state;
  switch (citation.status) {
    case app::CitationStatus::verified:
      state = citation.origin == app::CitationOrigin::model
                  ? AnswerText::tr("Verified: these words stand there.")
                  : AnswerText::tr("Verified: Lectern found this passage for the sentence.");
      break;
    case app::CitationStatus::elsewhere:
      state = citation.claimed_page > 0
                  ? AnswerText::tr("Found elsewhere: the answer named page %1.").arg(citation.claimed_page)
                  : AnswerText::tr("Found elsewhere in the documents.");
      break;
    case app::CitationStatus::absent: state = AnswerText::tr("Not in the documents: no such words were found."); break;
  }
  QString quote = quote_words(citation);
  if (quote.size() > 600) quote = quote.left(600) + QStringLiteral("…");
  QString html = QStringLiteral("<div style='max-width:360px'>“%1”</div><div><b>%2</b></div>")
                     .arg(quote.toHtmlEscaped(), state.toHtmlEscaped());
  if (citation.status != app::CitationStatus::absent) {
    html += QStringLiteral("<div>%1, %2</div>")
                .arg(QString::fromStdString(citation.document).toHtmlEscaped(), place_words(citation));
  }
  return html;
}

AnswerText::AnswerText(QWidget* parent) : QTextBrowser(parent) {
  setObjectName(QStringLiteral("answer_text"));
  setAccessibleName(tr("Answer"));
  setOpenLinks(false);
  setOpenExternalLinks(false);
  setUndoRedoEnabled(false);
  setFrameShape(QFrame::NoFrame);
  setVerticalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  viewport()->setAutoFillBackground(false);
  document()->setDocumentMargin(0);
  document()->documentLayout()->registerHandler(chip_type, this);
  frame_.setSingleShot(true);
  frame_.setInterval(16);
  connect(&frame_, &QTimer::timeout, this, &AnswerText::render_tail);
  connect(document()->documentLayout(), &QAbstractTextDocumentLayout::documentSizeChanged, this,
          &AnswerText::fit_height);
  connect(this, &QTextBrowser::anchorClicked, this, [this](const QUrl& url) {
    const QString text = url.toString();
    if (text.startsWith(QLatin1String("citation:"))) Q_EMIT citation_clicked(text.mid(9).toInt());
  });
  setFixedHeight(4);
}

MarkdownStyle AnswerText::markdown_style() const {
  const Theme& theme = Theme::current();
  MarkdownStyle style;
  style.text = theme.text;
  style.secondary = theme.secondary;
  style.code_background = theme.window;
  style.hairline = theme.hairline;
  return style;
}

void AnswerText::append_text(const QString& text) {
  source_ += text;
  bytes_ += text.toUtf8();
  if (!frame_.isActive()) frame_.start();
}

void AnswerText::render_tail() {
  // What became final since the last frame is written for the last time; the block behind it will be written again.
  const qsizetype tail = stable_bytes_ + stable_end(bytes_.mid(stable_bytes_));
  const MarkdownStyle style = markdown_style();
  QTextCursor cursor(document());
  cursor.beginEditBlock();
  cursor.setPosition(stable_position_);
  cursor.movePosition(QTextCursor::End, QTextCursor::KeepAnchor);
  cursor.removeSelectedText();
  const auto write = [&](const QByteArray& part) {
    if (cursor.position() > 0) cursor.insertBlock();
    write_markdown(cursor, part, style);
    rendered_bytes_ += part.size();
  };
  if (tail > stable_bytes_) {
    write(bytes_.mid(stable_bytes_, tail - stable_bytes_));
    stable_bytes_ = tail;
    stable_position_ = cursor.position();
  }
  if (tail < bytes_.size()) write(bytes_.mid(tail));
  cursor.endEditBlock();
}

void AnswerText::show_message(const app::Message& message) {
  frame_.stop();
  finished_ = message.state != app::MessageState::partial;
  source_ = QString::fromStdString(message.text);
  bytes_ = source_.toUtf8();
  citations_ = message.citations;
  unsupported_ = message.report ? message.report->unsupported : std::vector<app::Unsupported>();
  main_document_.clear();
  for (const app::Citation& citation : citations_) {
    if (main_document_.isEmpty()) main_document_ = QString::fromStdString(citation.document);
  }
  if (finished_) return render_all();
  document()->clear();
  stable_bytes_ = stable_position_ = 0;
  render_tail();
}

void AnswerText::render_all() {
  QTextCursor cursor(document());
  cursor.beginEditBlock();
  cursor.select(QTextCursor::Document);
  cursor.removeSelectedText();
  cursor.setBlockFormat({});
  map_ = write_markdown(cursor, bytes_, markdown_style());
  rendered_bytes_ += bytes_.size();
  mark_unsupported();
  insert_chips();
  cursor.endEditBlock();
  stable_bytes_ = bytes_.size();
  stable_position_ = document()->characterCount() - 1;
  fit_height();
}

int AnswerText::document_position(std::int64_t byte) const {
  int position = 0;
  for (const SourceSpan& span : map_) {
    if (span.start >= byte && position > 0) break;
    const std::int64_t end = std::min(byte, span.end);
    if (end < span.start) continue;
    position = span.position + static_cast<int>(QString::fromUtf8(bytes_.mid(span.start, end - span.start)).size());
  }
  return position;
}

void AnswerText::mark_unsupported() {
  const Theme& theme = Theme::current();
  for (const app::Unsupported& sentence : unsupported_) {
    const int start = document_position(byte_of(bytes_, sentence.start) + 1) - 1;
    const int end = document_position(byte_of(bytes_, sentence.end));
    if (end <= start) continue;
    QTextCursor cursor(document());
    cursor.setPosition(std::max(0, start));
    cursor.setPosition(std::min(end, document()->characterCount() - 1), QTextCursor::KeepAnchor);
    QTextCharFormat format;
    format.setUnderlineStyle(QTextCharFormat::DashUnderline);
    format.setUnderlineColor(theme.dark ? theme.elsewhere : theme.cited_line);
    format.setToolTip(tr("Not supported by the text: nothing in the documents that were read says this."));
    cursor.mergeCharFormat(format);
  }
}

void AnswerText::insert_chips() {
  std::vector<int> order;
  for (std::size_t i = 0; i < citations_.size(); ++i) {
    if (citations_[i].answer_end >= 0) order.push_back(static_cast<int>(i));
  }
  std::stable_sort(order.begin(), order.end(), [this](int a, int b) {
    return citations_[static_cast<std::size_t>(a)].answer_end < citations_[static_cast<std::size_t>(b)].answer_end;
  });
  // A marker that the model wrote, "[1:31]", gives way to its chip.
  static const QRegularExpression marker(QStringLiteral("\\s*\\[[^\\[\\]\\n]{1,40}\\]$"));
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    const app::Citation& citation = citations_[static_cast<std::size_t>(*at)];
    const std::int64_t end_byte = byte_of(bytes_, citation.answer_end);
    QTextCursor cursor(document());
    cursor.setPosition(std::min(document_position(end_byte), document()->characterCount() - 1));
    if (citation.origin == app::CitationOrigin::model) {
      const QString before = cursor.block().text().left(cursor.positionInBlock());
      const QRegularExpressionMatch match = marker.match(before);
      if (match.hasMatch()) {
        cursor.movePosition(QTextCursor::PreviousCharacter, QTextCursor::KeepAnchor,
                            static_cast<int>(match.capturedLength()));
        cursor.removeSelectedText();
      }
    }
    QTextCharFormat plain = cursor.charFormat();
    plain.setUnderlineStyle(QTextCharFormat::NoUnderline);
    plain.clearProperty(QTextFormat::TextToolTip);
    QTextCharFormat chip;
    chip.setObjectType(chip_type);
    chip.setProperty(chip_property, *at);
    chip.setVerticalAlignment(QTextCharFormat::AlignMiddle);
    chip.setAnchor(true);
    chip.setAnchorHref(QStringLiteral("citation:%1").arg(*at));
    chip.setToolTip(chip_tooltip(citation));
    cursor.insertText(QStringLiteral(" "), plain);
    cursor.insertText(QString(QChar::ObjectReplacementCharacter), chip);
  }
}

int AnswerText::chip_count() const {
  return static_cast<int>(document()->toRawText().count(QChar(QChar::ObjectReplacementCharacter)));
}

QRectF AnswerText::chip_rect(int citation) const {
  for (QTextBlock block = document()->begin(); block.isValid(); block = block.next()) {
    for (auto it = block.begin(); !it.atEnd(); ++it) {
      const QTextCharFormat format = it.fragment().charFormat();
      if (format.objectType() != chip_type || format.intProperty(chip_property) != citation) continue;
      const int at = it.fragment().position() - block.position();
      const QTextLine line = block.layout()->lineForTextPosition(at);
      if (!line.isValid()) return {};
      const QPointF origin = document()->documentLayout()->blockBoundingRect(block).topLeft();
      return {origin + QPointF(line.cursorToX(at), line.y()),
              QSizeF(line.cursorToX(at + 1) - line.cursorToX(at), line.height())};
    }
  }
  return {};
}

void AnswerText::set_pressed(int citation) {
  pressed_ = citation;
  viewport()->update();
}

QSizeF AnswerText::intrinsicSize(QTextDocument*, int, const QTextFormat& format) {
  const auto index = static_cast<std::size_t>(format.intProperty(chip_property));
  if (index >= citations_.size()) return {0, 0};
  const QFontMetricsF metrics(interface_font(chip_px, QFont::DemiBold));
  return {std::ceil(metrics.horizontalAdvance(chip_label(citations_[index], main_document_))) + 14, chip_height};
}

void AnswerText::drawObject(QPainter* painter, const QRectF& rect, QTextDocument*, int, const QTextFormat& format) {
  const int index = format.intProperty(chip_property);
  if (index < 0 || static_cast<std::size_t>(index) >= citations_.size()) return;
  const app::Citation& citation = citations_[static_cast<std::size_t>(index)];
  const ChipColours colours = colours_of(citation.status, Theme::current());
  painter->save();
  painter->setRenderHint(QPainter::Antialiasing);
  const QRectF pill(rect.left() + 0.5, rect.center().y() - chip_height / 2.0 + 0.5, rect.width() - 1, chip_height - 1);
  painter->setBrush(colours.fill);
  painter->setPen(index == pressed_ ? QPen(colours.text, 1.2) : QPen(Qt::NoPen));
  painter->drawRoundedRect(pill, pill.height() / 2, pill.height() / 2);
  painter->setPen(colours.text);
  painter->setFont(interface_font(chip_px, QFont::DemiBold));
  painter->drawText(pill, Qt::AlignCenter, chip_label(citation, main_document_));
  painter->restore();
}

QVariant AnswerText::loadResource(int, const QUrl&) {
  return {};
}

void AnswerText::resizeEvent(QResizeEvent* event) {
  QTextBrowser::resizeEvent(event);
  fit_height();
}

void AnswerText::fit_height() {
  const int height = std::max(4, static_cast<int>(std::ceil(document()->size().height())) + 2);
  if (height != minimumHeight()) setFixedHeight(height);
}

void AnswerText::wheelEvent(QWheelEvent* event) {
  event->ignore();
}

bool AnswerText::viewportEvent(QEvent* event) {
  if (event->type() == QEvent::ToolTip) {
    const auto* help = static_cast<QHelpEvent*>(event);
    const int at = document()->documentLayout()->hitTest(help->pos(), Qt::ExactHit);
    QString tip;
    if (at >= 0) {
      QTextCursor cursor(document());
      cursor.setPosition(std::min(at + 1, document()->characterCount() - 1));
      tip = cursor.charFormat().toolTip();
    }
    if (tip.isEmpty())
      QToolTip::hideText();
    else
      QToolTip::showText(help->globalPos(), tip, this);
    return true;
  }
  return QTextBrowser::viewportEvent(event);
}

void AnswerText::changeEvent(QEvent* event) {
  QTextBrowser::changeEvent(event);
  if (event->type() != QEvent::PaletteChange || bytes_.isEmpty()) return;
  if (finished_) {
    render_all();
  } else {
    stable_bytes_ = stable_position_ = 0;
    render_tail();
  }
}

QMimeData* AnswerText::createMimeDataFromSelection() const {
  auto* plain = new QMimeData;
  QString text = textCursor().selection().toPlainText();
  text.remove(QChar(QChar::ObjectReplacementCharacter));
  plain->setText(text);
  return plain;
}

}  // namespace lectern::ui
