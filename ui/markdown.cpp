// md4c calls back with pieces of text that point into the source, which gives the map from source to document for free:
// citations are known by their place in the source. QTextDocument::setMarkdown has no such map and would render all of
// the answer anew for each word. Lists are paragraphs with a hanging indent and our own marker, because QTextList of
// Qt 6.4 cannot start at another number than one.
#include "ui/markdown.h"

#include <md4c.h>
#include <QTextBlock>
#include <QTextDocument>
#include <QTextTable>

#include "ui/theme.h"

namespace lectern::ui {

namespace {

constexpr double list_indent_px = 18;

class Writer {
 public:
  Writer(QTextCursor& cursor, const QByteArray& source, const MarkdownStyle& style, std::int64_t offset)
      : cursor_(cursor), source_(source), style_(style), offset_(offset) {
    base_.setFont(interface_font(style.text_px));
    base_.setForeground(style.text);
  }

  int enter_block(MD_BLOCKTYPE type, void* detail) {
    switch (type) {
      case MD_BLOCK_QUOTE: ++quotes_; break;
      case MD_BLOCK_UL: lists_.push_back({false, 0}); break;
      case MD_BLOCK_OL: lists_.push_back({true, static_cast<MD_BLOCK_OL_DETAIL*>(detail)->start}); break;
      case MD_BLOCK_LI: begin_item(); break;
      case MD_BLOCK_H: begin(heading_format(static_cast<MD_BLOCK_H_DETAIL*>(detail)->level)); break;
      case MD_BLOCK_P: begin(base_); break;
      case MD_BLOCK_CODE: begin_code(); break;
      case MD_BLOCK_HR: begin_rule(); break;
      case MD_BLOCK_TABLE: begin_table(*static_cast<MD_BLOCK_TABLE_DETAIL*>(detail)); break;
      case MD_BLOCK_TR: ++row_, column_ = -1; break;
      case MD_BLOCK_TH:
      case MD_BLOCK_TD: begin_cell(type == MD_BLOCK_TH); break;
      default: break;
    }
    return 0;
  }

  int leave_block(MD_BLOCKTYPE type) {
    switch (type) {
      case MD_BLOCK_QUOTE: --quotes_; break;
      case MD_BLOCK_UL:
      case MD_BLOCK_OL: lists_.pop_back(); break;
      case MD_BLOCK_CODE: code_ = false; break;
      case MD_BLOCK_TABLE:
        if (table_) {
          cursor_ = table_->lastCursorPosition();
          cursor_.movePosition(QTextCursor::NextBlock);
          table_ = nullptr;
          fresh_ = true;  // the block behind a table is there already
        }
        break;
      default: break;
    }
    if (type == MD_BLOCK_LI || type == MD_BLOCK_P) in_item_start_ = false;
    return 0;
  }

  int enter_span(MD_SPANTYPE type, void* detail) {
    QTextCharFormat format = current();
    switch (type) {
      case MD_SPAN_EM: emphasize(format); break;
      case MD_SPAN_STRONG: format.setFontWeight(QFont::DemiBold); break;
      case MD_SPAN_DEL: format.setFontStrikeOut(true); break;
      case MD_SPAN_CODE:
        format.setFont(code_font(style_.text_px - 1));
        format.setBackground(style_.code_background);
        break;
      case MD_SPAN_A: {
        const MD_ATTRIBUTE& href = static_cast<MD_SPAN_A_DETAIL*>(detail)->href;
        addresses_.push_back(QString::fromUtf8(href.text, static_cast<qsizetype>(href.size)));
        link_start_ = cursor_.position();
        break;
      }
      default: break;
    }
    spans_.push_back(format);
    return 0;
  }

  int leave_span(MD_SPANTYPE type) {
    spans_.pop_back();
    if (type == MD_SPAN_A) {
      // The address is shown, not followed.
      QTextCursor shown(cursor_);
      shown.setPosition(link_start_, QTextCursor::KeepAnchor);
      QTextCharFormat format = current();
      format.setForeground(style_.secondary);
      if (shown.selectedText() != addresses_.back())
        cursor_.insertText(QStringLiteral(" (%1)").arg(addresses_.back()), format);
      addresses_.pop_back();
    }
    return 0;
  }

  int text(MD_TEXTTYPE type, const MD_CHAR* text, MD_SIZE size) {
    QString shown;
    switch (type) {
      case MD_TEXT_NULLCHAR: shown = QChar(QChar::ReplacementCharacter); break;
      case MD_TEXT_BR: shown = QChar(QChar::LineSeparator); break;
      case MD_TEXT_SOFTBR: shown = QStringLiteral(" "); break;
      case MD_TEXT_ENTITY: shown = entity(QString::fromUtf8(text, static_cast<qsizetype>(size))); break;
      default: shown = QString::fromUtf8(text, static_cast<qsizetype>(size)); break;
    }
    if (code_) shown.replace(QLatin1Char('\n'), QChar(QChar::LineSeparator));
    if (text >= source_.constData() && text < source_.constData() + source_.size()) {
      const std::int64_t start = offset_ + (text - source_.constData());
      map_.push_back({start, start + static_cast<std::int64_t>(size), cursor_.position()});
    }
    cursor_.insertText(shown, current());
    return 0;
  }

  std::vector<SourceSpan> finish() { return std::move(map_); }

 private:
  struct List {
    bool ordered = false;
    unsigned next = 0;
  };

  QTextCharFormat current() const { return spans_.empty() ? block_ : spans_.back(); }

  void emphasize(QTextCharFormat& format) const { format.setFontItalic(true); }

  QTextCharFormat heading_format(unsigned level) const {
    QTextCharFormat format = base_;
    format.setFont(interface_font(style_.text_px + (level == 1 ? 4 : level == 2 ? 2 : 1), QFont::DemiBold));
    return format;
  }

  QTextBlockFormat block_format() const {
    QTextBlockFormat format;
    format.setLineHeight(128, QTextBlockFormat::ProportionalHeight);  // of a face whose lines are 1.21 em: 1.55 em
    format.setTopMargin(cursor_.document()->isEmpty() ? 0 : 7);
    format.setLeftMargin(list_indent_px * static_cast<double>(lists_.size()) + 14 * quotes_);
    return format;
  }

  void open(const QTextBlockFormat& format, const QTextCharFormat& text) {
    block_ = text;
    if (fresh_) {
      cursor_.setBlockFormat(format);
      cursor_.setBlockCharFormat(text);
    } else {
      cursor_.insertBlock(format, text);
    }
    fresh_ = false;
  }

  void begin(QTextCharFormat text) {
    if (in_item_start_) {  // the first paragraph of a list item stands beside its marker
      in_item_start_ = false;
      return;
    }
    if (quotes_ > 0) text.setForeground(style_.secondary);
    open(block_format(), text);
  }

  void begin_item() {
    List& list = lists_.back();
    const QString marker = list.ordered ? QStringLiteral("%1.\t").arg(list.next++) : QStringLiteral("•\t");
    QTextBlockFormat format = block_format();
    format.setTextIndent(-list_indent_px);
    format.setTabPositions({QTextOption::Tab(list_indent_px, QTextOption::LeftTab)});
    format.setTopMargin(5);
    open(format, base_);
    cursor_.insertText(marker, base_);
    in_item_start_ = true;
  }

  void begin_code() {
    QTextCharFormat text = base_;
    text.setFont(code_font(style_.text_px - 1));
    QTextBlockFormat format = block_format();
    format.setBackground(style_.code_background);
    format.setLineHeight(0, QTextBlockFormat::SingleHeight);
    format.setBottomMargin(4);
    in_item_start_ = false;
    open(format, text);
    code_ = true;
  }

  void begin_rule() {
    QTextBlockFormat format = block_format();
    format.setProperty(QTextFormat::BlockTrailingHorizontalRulerWidth, QTextLength(QTextLength::PercentageLength, 100));
    open(format, base_);
  }

  void begin_table(const MD_BLOCK_TABLE_DETAIL& detail) {
    QTextTableFormat format;
    format.setCellPadding(5);
    format.setCellSpacing(0);
    format.setBorder(1);
    format.setBorderBrush(style_.hairline);
    format.setBorderCollapse(true);
    format.setTopMargin(8);
    const auto rows = static_cast<int>(std::min(detail.head_row_count + detail.body_row_count, 500U));
    const auto columns = static_cast<int>(std::min(detail.col_count, 32U));
    table_ = cursor_.insertTable(std::max(rows, 1), std::max(columns, 1), format);
    row_ = column_ = -1;
  }

  void begin_cell(bool head) {
    ++column_;
    block_ = base_;
    if (head) block_.setFontWeight(QFont::DemiBold);
    if (!table_ || row_ >= table_->rows() || column_ >= table_->columns()) return;
    cursor_ = table_->cellAt(row_, column_).firstCursorPosition();
    cursor_.setBlockCharFormat(block_);
  }

  static QString entity(const QString& text) {
    static const std::pair<const char*, char16_t> known[] = {
        {"&amp;", u'&'},       {"&lt;", u'<'},    {"&gt;", u'>'},    {"&quot;", u'"'},
        {"&nbsp;", u'\u00a0'}, {"&apos;", u'\''}, {"&mdash;", u'—'}, {"&ndash;", u'–'}};
    for (const auto& [name, character] : known) {
      if (text == QLatin1String(name)) return QChar(character);
    }
    if (text.startsWith(QLatin1String("&#"))) {
      const bool hex = text.size() > 3 && (text[2] == QLatin1Char('x') || text[2] == QLatin1Char('X'));
      bool good = false;
      const uint code = text.mid(hex ? 3 : 2, text.size() - (hex ? 4 : 3)).toUInt(&good, hex ? 16 : 10);
      const bool surrogate = code >= 0xd800 && code < 0xe000;
      if (good && code >= 32 && code < 0x110000 && !surrogate) {
        const auto point = static_cast<char32_t>(code);
        return QString::fromUcs4(&point, 1);
      }
    }
    return text;
  }

  QTextCursor& cursor_;
  const QByteArray& source_;
  const MarkdownStyle& style_;
  std::int64_t offset_;
  QTextCharFormat base_, block_;
  std::vector<QTextCharFormat> spans_;
  std::vector<List> lists_;
  std::vector<QString> addresses_;
  std::vector<SourceSpan> map_;
  QTextTable* table_ = nullptr;
  int quotes_ = 0, row_ = 0, column_ = 0, link_start_ = 0;
  bool fresh_ = true, code_ = false, in_item_start_ = false;
};

}  // namespace

std::vector<SourceSpan> write_markdown(QTextCursor& cursor, const QByteArray& markdown, const MarkdownStyle& style,
                                       std::int64_t source_offset) {
  Writer writer(cursor, markdown, style, source_offset);
  MD_PARSER parser{};
  parser.flags = MD_FLAG_NOHTML | MD_FLAG_TABLES | MD_FLAG_STRIKETHROUGH;
  parser.enter_block = [](MD_BLOCKTYPE type, void* detail, void* self) {
    return static_cast<Writer*>(self)->enter_block(type, detail);
  };
  parser.leave_block = [](MD_BLOCKTYPE type, void*, void* self) {
    return static_cast<Writer*>(self)->leave_block(type);
  };
  parser.enter_span = [](MD_SPANTYPE type, void* detail, void* self) {
    return static_cast<Writer*>(self)->enter_span(type, detail);
  };
  parser.leave_span = [](MD_SPANTYPE type, void*, void* self) { return static_cast<Writer*>(self)->leave_span(type); };
  parser.text = [](MD_TEXTTYPE type, const MD_CHAR* text, MD_SIZE size, void* self) {
    return static_cast<Writer*>(self)->text(type, text, size);
  };
  md_parse(markdown.constData(), static_cast<MD_SIZE>(markdown.size()), &parser, &writer);
  return writer.finish();
}

qsizetype stable_end(const QByteArray& markdown) {
  qsizetype stable = 0, line_start = 0;
  bool fenced = false, after_blank = false;
  while (line_start < markdown.size()) {
    const qsizetype newline = markdown.indexOf('\n', line_start);
    const qsizetype line_end = newline < 0 ? markdown.size() : newline;
    const QByteArray line = markdown.mid(line_start, line_end - line_start);
    const QByteArray bare = line.trimmed();
    const bool fence = bare.startsWith("```") || bare.startsWith("~~~");
    // A block begins behind a blank line, at the margin; a line that may still grow into a continuation is not enough.
    if (!fenced && after_blank && !bare.isEmpty() && line[0] != ' ' && line[0] != '\t') stable = line_start;
    if (fence) fenced = !fenced;
    after_blank = bare.isEmpty();
    if (newline < 0) break;
    line_start = newline + 1;
  }
  return stable;
}

}  // namespace lectern::ui
