// Pages and text share bar, find and history; what differs is only the view in the stack. "Back" holds places that a
// jump (citation, page box, outline) left, never places that were scrolled past.
#include "ui/document_pane.h"

#include <QEvent>
#include <QHBoxLayout>
#include <QIntValidator>
#include <QLabel>
#include <QLineEdit>
#include <QScrollBar>
#include <QStackedWidget>
#include <QToolButton>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>

#include "app/workspace.h"
#include "ui/elided_label.h"
#include "ui/empty_state.h"
#include "ui/icons.h"
#include "ui/library_model.h"
#include "ui/theme.h"

namespace lectern::ui {

namespace {

QToolButton* tool(QWidget* parent, const char* object, const QString& name, const QString& tip) {
  auto* button = new QToolButton(parent);
  button->setObjectName(QLatin1String(object));
  button->setAccessibleName(name);
  button->setToolTip(tip);
  button->setIconSize(QSize(16, 16));
  return button;
}

}  // namespace

DocumentPane::DocumentPane(app::Workspace& workspace, QWidget* parent)
    : QWidget(parent),
      workspace_(workspace),
      bar_(new QWidget(this)),
      find_bar_(new QWidget(this)),
      stack_(new QStackedWidget(this)),
      empty_(new EmptyState(stack_)),
      pages_(new PageView(workspace, stack_)),
      lines_(new TextView(stack_)) {
  setObjectName(QStringLiteral("document_pane"));
  setAttribute(Qt::WA_StyledBackground);
  setAccessibleName(tr("Reader"));
  setFocusPolicy(Qt::ClickFocus);
  build_bar();
  build_find_bar();
  for (QWidget* view : {static_cast<QWidget*>(empty_), static_cast<QWidget*>(pages_), static_cast<QWidget*>(lines_)}) {
    stack_->addWidget(view);
  }
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(0, 0, 0, 0);
  layout->setSpacing(0);
  layout->addWidget(bar_);
  layout->addWidget(find_bar_);
  layout->addWidget(stack_, 1);
  find_bar_->hide();

  connect(pages_, &PageView::page_changed, this, [this](int) {
    update_bar();
    Q_EMIT place_changed();
  });
  connect(pages_, &PageView::zoom_changed, this, [this](double) { update_bar(); });
  connect(pages_->verticalScrollBar(), &QScrollBar::valueChanged, this, &DocumentPane::place_changed);
  connect(lines_->verticalScrollBar(), &QScrollBar::valueChanged, this, [this] {
    update_bar();
    Q_EMIT place_changed();
  });
  paint_icons();
  update_bar();
}

void DocumentPane::build_bar() {
  bar_->setObjectName(QStringLiteral("reader_bar"));
  bar_->setAttribute(Qt::WA_StyledBackground);
  bar_->setFixedHeight(40);
  toggle_ = tool(bar_, "toggle_library", tr("Show or hide the library"), tr("Show or hide the library"));
  back_button_ = tool(bar_, "go_back", tr("Back"), tr("Back to where you were (Alt+Left)"));
  forward_button_ = tool(bar_, "go_forward", tr("Forward"), tr("Forward (Alt+Right)"));
  smaller_ = tool(bar_, "zoom_out", tr("Smaller"), tr("Smaller (Ctrl+-)"));
  larger_ = tool(bar_, "zoom_in", tr("Larger"), tr("Larger (Ctrl++)"));
  find_button_ = tool(bar_, "find", tr("Find in this document"), tr("Find in this document (Ctrl+F)"));
  find_button_->setText(tr("Find"));
  title_ = new ElidedLabel(bar_, Qt::ElideMiddle);
  title_->setObjectName(QStringLiteral("title"));
  page_box_ = new QLineEdit(bar_);
  page_box_->setObjectName(QStringLiteral("page_box"));
  page_box_->setAccessibleName(tr("Page"));
  page_box_->setToolTip(tr("Go to page (Ctrl+G)"));
  page_box_->setAlignment(Qt::AlignCenter);
  page_box_->setFixedWidth(46);
  page_box_->setValidator(new QIntValidator(1, 1'000'000, page_box_));
  page_count_ = new QLabel(bar_);
  page_count_->setProperty("role", QStringLiteral("secondary"));
  zoom_ = new QLabel(bar_);
  zoom_->setAlignment(Qt::AlignCenter);
  zoom_->setMinimumWidth(48);
  zoom_->setAccessibleName(tr("Zoom"));
  auto* layout = new QHBoxLayout(bar_);
  layout->setContentsMargins(12, 0, 12, 0);
  layout->setSpacing(4);
  layout->addWidget(toggle_);
  layout->addWidget(back_button_);
  layout->addWidget(forward_button_);
  layout->addSpacing(6);
  layout->addWidget(title_, 1);
  layout->addWidget(page_box_);
  layout->addSpacing(4);
  layout->addWidget(page_count_);
  layout->addSpacing(6);
  layout->addWidget(smaller_);
  layout->addWidget(zoom_);
  layout->addWidget(larger_);
  layout->addSpacing(6);
  layout->addWidget(find_button_);

  connect(toggle_, &QToolButton::clicked, this, &DocumentPane::library_toggled);
  connect(back_button_, &QToolButton::clicked, this, &DocumentPane::go_back);
  connect(forward_button_, &QToolButton::clicked, this, &DocumentPane::go_forward);
  connect(smaller_, &QToolButton::clicked, this, [this] { pages_->set_zoom(pages_->zoom() / 1.1); });
  connect(larger_, &QToolButton::clicked, this, [this] { pages_->set_zoom(pages_->zoom() * 1.1); });
  connect(find_button_, &QToolButton::clicked, this, &DocumentPane::show_find_bar);
  connect(page_box_, &QLineEdit::returnPressed, this, [this] {
    mark_place();
    if (stack_->currentWidget() == lines_)
      lines_->go_to_line(page_box_->text().toInt());
    else
      pages_->go_to_page(page_box_->text().toInt());
    stack_->currentWidget()->setFocus();
    update_bar();
  });
}

bool DocumentPane::is_finding() const {
  return find_bar_->isVisible();
}

void DocumentPane::build_find_bar() {
  find_bar_->setObjectName(QStringLiteral("find_bar"));
  find_bar_->setAttribute(Qt::WA_StyledBackground);
  find_bar_->setFixedHeight(42);
  find_box_ = new QLineEdit(find_bar_);
  find_box_->setObjectName(QStringLiteral("find_box"));
  find_box_->setPlaceholderText(tr("Find in this document"));
  find_box_->setAccessibleName(tr("Find in this document"));
  find_box_->setMaximumWidth(320);
  find_count_ = new QLabel(find_bar_);
  find_count_->setObjectName(QStringLiteral("find_count"));
  find_count_->setProperty("role", QStringLiteral("secondary"));
  find_previous_ = tool(find_bar_, "find_previous", tr("Previous match"), tr("Previous match (Shift+F3)"));
  find_next_ = tool(find_bar_, "find_next", tr("Next match"), tr("Next match (F3)"));
  find_close_ = tool(find_bar_, "find_close", tr("Close the find bar"), tr("Close (Esc)"));
  auto* layout = new QHBoxLayout(find_bar_);
  layout->setContentsMargins(14, 0, 12, 0);
  layout->setSpacing(4);
  layout->addWidget(find_box_, 1);
  layout->addSpacing(6);
  layout->addWidget(find_count_);
  layout->addStretch();
  layout->addWidget(find_previous_);
  layout->addWidget(find_next_);
  layout->addWidget(find_close_);
  connect(find_box_, &QLineEdit::textChanged, this, &DocumentPane::run_find);
  connect(find_box_, &QLineEdit::returnPressed, this, &DocumentPane::find_next);
  connect(find_previous_, &QToolButton::clicked, this, &DocumentPane::find_previous);
  connect(find_next_, &QToolButton::clicked, this, &DocumentPane::find_next);
  connect(find_close_, &QToolButton::clicked, this, &DocumentPane::close_find_bar);
}

void DocumentPane::paint_icons() {
  const QColor colour = Theme::current().secondary;
  toggle_->setIcon(icon(Glyph::sidebar, colour));
  back_button_->setIcon(icon(Glyph::back, colour));
  forward_button_->setIcon(icon(Glyph::forward, colour));
  smaller_->setIcon(icon(Glyph::minus, colour));
  larger_->setIcon(icon(Glyph::plus, colour));
  find_previous_->setIcon(icon(Glyph::up, colour));
  find_next_->setIcon(icon(Glyph::down, colour));
  find_close_->setIcon(icon(Glyph::close, colour));
}

void DocumentPane::changeEvent(QEvent* event) {
  if (event->type() == QEvent::PaletteChange && find_close_) paint_icons();
  QWidget::changeEvent(event);
}

void DocumentPane::update_bar() {
  const bool open = !fingerprint_.isEmpty();
  const bool pictures = open && text_.has_pictures();
  title_->set_text(open ? QString::fromStdString(text_.document().name) : QString());
  for (QWidget* widget :
       {static_cast<QWidget*>(page_box_), static_cast<QWidget*>(page_count_), static_cast<QWidget*>(find_button_)}) {
    widget->setVisible(open);
  }
  for (QWidget* widget :
       {static_cast<QWidget*>(smaller_), static_cast<QWidget*>(larger_), static_cast<QWidget*>(zoom_)}) {
    widget->setVisible(pictures);
  }
  if (open) {
    const int count = pictures ? text_.page_count() : lines_->blockCount();
    if (!page_box_->hasFocus())
      page_box_->setText(QString::number(pictures ? pages_->current_page() : lines_->top_line()));
    page_count_->setText(pictures ? tr("of %1").arg(grouped(count)) : tr("of %1 lines").arg(grouped(count)));
    page_box_->setAccessibleName(pictures ? tr("Page") : tr("Line"));
    zoom_->setText(tr("%1 %").arg(std::lround(pages_->zoom() * 100)));
  }
  back_button_->setEnabled(can_go_back());
  forward_button_->setEnabled(can_go_forward());
}

bool DocumentPane::open(const QString& fingerprint) {
  if (fingerprint == fingerprint_ && !fingerprint.isEmpty()) return true;
  std::optional<documents::Document> document = workspace_.document(fingerprint);
  if (!document) return false;
  pages_->show_document(nullptr);
  text_ = ReaderText(std::move(*document));
  fingerprint_ = fingerprint;
  cited_.clear();
  current_citation_.reset();
  found_.clear();
  found_at_ = -1;
  if (text_.has_pictures()) {
    stack_->setCurrentWidget(pages_);
    pages_->show_document(&text_);
  } else {
    stack_->setCurrentWidget(lines_);
    lines_->show_text(text_.whole_text(), text_.document().kind == documents::DocumentKind::code);
  }
  if (find_bar_->isVisible()) run_find();
  update_bar();
  Q_EMIT document_opened(fingerprint_);
  return true;
}

void DocumentPane::close_document() {
  pages_->show_document(nullptr);
  lines_->clear();
  text_ = ReaderText();
  fingerprint_.clear();
  cited_.clear();
  current_citation_.reset();
  found_.clear();
  close_find_bar();
  stack_->setCurrentWidget(empty_);
  update_bar();
  Q_EMIT document_opened(QString());
}

bool DocumentPane::open_citation(const app::Citation& citation, const std::vector<app::Citation>& all) {
  if (citation.fingerprint.empty() || citation.status == app::CitationStatus::absent) return false;
  const QString fingerprint = QString::fromStdString(citation.fingerprint);
  mark_place();
  if (!open(fingerprint)) {
    if (!back_.empty()) back_.pop_back();
    update_bar();
    return false;
  }
  cited_.clear();
  for (const app::Citation& other : all) {
    if (other.fingerprint == citation.fingerprint && other.status != app::CitationStatus::absent)
      cited_.push_back(other);
  }
  current_citation_ = citation;
  show_highlights();
  const TextPlace place{citation.page, citation.start, citation.end};
  if (text_.has_pictures())
    pages_->go_to(place);
  else
    lines_->go_to_line(citation.lines ? citation.lines->first : text_.lines(place).first);
  update_bar();
  return true;
}

void DocumentPane::clear_citations() {
  cited_.clear();
  current_citation_.reset();
  show_highlights();
}

void DocumentPane::show_highlights() {
  const auto is_current = [this](const app::Citation& c) {
    return current_citation_ && c.page == current_citation_->page && c.start == current_citation_->start &&
           c.end == current_citation_->end;
  };
  if (text_.has_pictures()) {
    std::vector<Highlight> highlights;
    for (const app::Citation& c : cited_) {
      // Two citations of the same words are one highlight.
      const TextPlace place{c.page, c.start, c.end};
      if (std::any_of(highlights.begin(), highlights.end(), [&](const Highlight& h) { return h.place == place; }))
        continue;
      highlights.push_back(
          {{c.page, c.start, c.end}, is_current(c) ? Highlight::Kind::current_citation : Highlight::Kind::cited});
    }
    for (std::size_t i = 0; i < found_.size(); ++i) {
      highlights.push_back(
          {found_[i], static_cast<int>(i) == found_at_ ? Highlight::Kind::current_found : Highlight::Kind::found});
    }
    pages_->set_highlights(std::move(highlights));
    return;
  }
  std::vector<TextView::Lines> lines;
  for (const app::Citation& c : cited_) {
    const auto range = c.lines ? *c.lines : text_.lines({c.page, c.start, c.end});
    lines.push_back({range.first, range.second, is_current(c), false});
  }
  for (std::size_t i = 0; i < found_.size(); ++i) {
    const auto range = text_.lines(found_[i]);
    lines.push_back({range.first, range.second, static_cast<int>(i) == found_at_, true});
  }
  lines_->set_highlights(std::move(lines));
}

QString DocumentPane::place() const {
  if (fingerprint_.isEmpty()) return {};
  return text_.has_pictures() ? pages_->place() : lines_->place();
}

void DocumentPane::go_to_place(const QString& place) {
  if (place.isEmpty() || fingerprint_.isEmpty()) return;
  if (text_.has_pictures())
    pages_->go_to_place(place);
  else
    lines_->go_to_place(place);
}

void DocumentPane::mark_place() {
  if (fingerprint_.isEmpty()) return;
  const Stop here{fingerprint_, place()};
  if (back_.empty() || back_.back().fingerprint != here.fingerprint || back_.back().place != here.place)
    back_.push_back(here);
  if (back_.size() > 100) back_.erase(back_.begin());
  forward_.clear();
}

void DocumentPane::go(std::vector<Stop>& from, std::vector<Stop>& to) {
  if (from.empty()) return;
  const Stop next = from.back();
  from.pop_back();
  if (!fingerprint_.isEmpty()) to.push_back({fingerprint_, place()});
  if (open(next.fingerprint)) go_to_place(next.place);
  update_bar();
}

void DocumentPane::go_back() {
  go(back_, forward_);
}

void DocumentPane::go_forward() {
  go(forward_, back_);
}

void DocumentPane::focus_page_box() {
  if (fingerprint_.isEmpty()) return;
  page_box_->setFocus(Qt::ShortcutFocusReason);
  page_box_->selectAll();
}

void DocumentPane::show_find_bar() {
  if (fingerprint_.isEmpty()) return;
  find_bar_->show();
  const QString selected = text_.has_pictures() ? pages_->selected_text() : lines_->textCursor().selectedText();
  if (!selected.isEmpty() && selected.size() < 80) find_box_->setText(selected.simplified());
  find_box_->setFocus(Qt::ShortcutFocusReason);
  find_box_->selectAll();
  run_find();
}

void DocumentPane::close_find_bar() {
  if (!find_bar_->isVisible()) return;
  find_bar_->hide();
  found_.clear();
  found_at_ = -1;
  show_highlights();
  stack_->currentWidget()->setFocus();
}

void DocumentPane::run_find() {
  found_ = text_.find(find_box_->text());
  found_at_ = -1;
  // The first match at or after the sight.
  const int page = text_.has_pictures() ? pages_->current_page() : 1;
  for (std::size_t i = 0; i < found_.size() && found_at_ < 0; ++i) {
    if (found_[i].page >= page) found_at_ = static_cast<int>(i);
  }
  if (found_at_ < 0 && !found_.empty()) found_at_ = 0;
  show_match();
}

void DocumentPane::show_match() {
  const bool asked = !find_box_->text().trimmed().isEmpty();
  find_count_->setText(!asked ? QString()
                       : found_.empty()
                           ? tr("not found")
                           : tr("%1 of %2").arg(found_at_ + 1).arg(grouped(static_cast<std::int64_t>(found_.size()))));
  show_highlights();
  if (found_at_ < 0) return;
  const TextPlace& place = found_[static_cast<std::size_t>(found_at_)];
  if (text_.has_pictures())
    pages_->go_to(place);
  else
    lines_->go_to_line(text_.lines(place).first);
}

void DocumentPane::find_next() {
  if (!find_bar_->isVisible()) return show_find_bar();
  if (found_.empty()) return;
  found_at_ = (found_at_ + 1) % matches();
  show_match();
}

void DocumentPane::find_previous() {
  if (!find_bar_->isVisible()) return show_find_bar();
  if (found_.empty()) return;
  found_at_ = (found_at_ + matches() - 1) % matches();
  show_match();
}

}  // namespace lectern::ui
