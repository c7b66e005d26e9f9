// The text of an answer: streamed Markdown, citation chips, underlined sentences without support.
#pragma once

#include <QTextBrowser>
#include <QTextObjectInterface>
#include <QTimer>
#include <cstdint>
#include <vector>

#include "app/records.h"
#include "ui/markdown.h"

namespace lectern::ui {

/// "✓ 1 · p. 31", "↪ 4 · Amendment p. 3", "✕ 6 · not found".
QString chip_label(const app::Citation& citation, const QString& main_document);
/// The quote, its state in words, document and page.
QString chip_tooltip(const app::Citation& citation);
QString place_words(const app::Citation& citation);
/// The quote on one line, words that were cut at a line end joined.
QString quote_words(const app::Citation& citation);

class AnswerText : public QTextBrowser, public QTextObjectInterface {
  Q_OBJECT
  Q_INTERFACES(QTextObjectInterface)
 public:
  explicit AnswerText(QWidget* parent = nullptr);

  /// Text so far, while it streams; drawn at most once a frame, only what is behind the last finished block.
  void append_text(const QString& text);
  const QString& source() const { return source_; }
  /// The whole answer with its citations and unsupported sentences.
  void show_message(const app::Message& message);
  void set_pressed(int citation);  // index, or -1
  int chip_count() const;
  /// Where the chip of the citation stands, in this widget; for tests and screenshots.
  QRectF chip_rect(int citation) const;
  /// How many blocks were rendered since the answer began: a measure of how incremental the rendering is.
  std::int64_t rendered_bytes() const { return rendered_bytes_; }

  QSizeF intrinsicSize(QTextDocument* document, int position, const QTextFormat& format) override;
  void drawObject(QPainter* painter, const QRectF& rect, QTextDocument* document, int position,
                  const QTextFormat& format) override;

 Q_SIGNALS:
  void citation_clicked(int citation);

 protected:
  QVariant loadResource(int type, const QUrl& name) override;
  void resizeEvent(QResizeEvent* event) override;
  void wheelEvent(QWheelEvent* event) override;
  bool viewportEvent(QEvent* event) override;
  void changeEvent(QEvent* event) override;
  QMimeData* createMimeDataFromSelection() const override;

 private:
  MarkdownStyle markdown_style() const;
  void render_tail();
  void render_all();
  int document_position(std::int64_t byte) const;
  void mark_unsupported();
  void insert_chips();
  void fit_height();

  QString source_;
  QByteArray bytes_;
  std::vector<app::Citation> citations_;
  std::vector<app::Unsupported> unsupported_;
  std::vector<SourceSpan> map_;
  QString main_document_;
  QTimer frame_;
  qsizetype stable_bytes_ = 0;
  int stable_position_ = 0;
  std::int64_t rendered_bytes_ = 0;
  int pressed_ = -1;
  bool finished_ = false;
};

}  // namespace lectern::ui
