// The tokens stand in one table per theme. A widget that paints itself asks Theme::current(), which tells the two
// tables apart by the palette: so a change of theme is one change of the palette, and nobody keeps a pointer to "the
// theme".
#include "ui/theme.h"

#include <QApplication>
#include <QFile>
#include <QFontDatabase>
#include <QPalette>
#include <QStyle>
#include <QStyleFactory>
#include <QVariant>

namespace lectern::ui {

namespace {

Theme make_light() {
  Theme t;
  t.window = QColor(0xf4f3f0);
  t.field = QColor(0xfbfaf8);
  t.desk = QColor(0xe9e7e2);
  t.page = QColor(0xffffff);
  t.hairline = QColor(0xe2dfd8);
  t.text = QColor(0x1f2328);
  t.secondary = QColor(0x6a6f76);
  t.hint = QColor(0xa3a7ad);
  t.accent = QColor(0x2f5d8c);
  t.accent_tint = QColor(0xe6eef6);
  t.on_accent = QColor(0xffffff);
  t.cited_fill = QColor(0xffe9a8);
  t.cited_line = QColor(0xd9a400);
  t.verified = QColor(0x1c7a4a);
  t.verified_fill = QColor(0xe3f3ea);
  t.elsewhere = QColor(0x8f5b00);
  t.elsewhere_fill = QColor(0xfbeed3);
  t.absent = QColor(0xb3261e);
  t.absent_fill = QColor(0xfbe4e2);
  t.hover = QColor(0xebe9e4);
  return t;
}

Theme make_dark() {
  Theme t;
  t.dark = true;
  t.window = QColor(0x17191c);
  t.field = QColor(0x1e2124);
  t.desk = QColor(0x121416);
  t.page = QColor(0xf3f1ec);
  t.hairline = QColor(0x31353a);
  t.text = QColor(0xe6e7e9);
  t.secondary = QColor(0x9aa0a8);
  t.hint = QColor(0x656b73);
  t.accent = QColor(0x86b3e3);
  t.accent_tint = QColor(0x24364a);
  t.on_accent = QColor(0x14202c);
  t.cited_fill = QColor(0xffe08a);
  t.cited_line = QColor(0xd9a400);
  t.verified = QColor(0x7fd3a3);
  t.verified_fill = QColor(0x1d3a2b);
  t.elsewhere = QColor(0xe8bd6a);
  t.elsewhere_fill = QColor(0x40331a);
  t.absent = QColor(0xf29b94);
  t.absent_fill = QColor(0x452422);
  t.hover = QColor(0x23272b);
  return t;
}

QPalette palette_of(const Theme& t) {
  QPalette p;
  p.setColor(QPalette::Window, t.window);
  p.setColor(QPalette::WindowText, t.text);
  p.setColor(QPalette::Base, t.field);
  p.setColor(QPalette::AlternateBase, t.window);
  p.setColor(QPalette::Text, t.text);
  p.setColor(QPalette::PlaceholderText, t.hint);
  p.setColor(QPalette::Button, t.window);
  p.setColor(QPalette::ButtonText, t.text);
  p.setColor(QPalette::BrightText, t.absent);
  p.setColor(QPalette::ToolTipBase, t.field);
  p.setColor(QPalette::ToolTipText, t.text);
  p.setColor(QPalette::Highlight, t.dark ? QColor(0x35557a) : QColor(0xc5daee));
  p.setColor(QPalette::HighlightedText, t.text);
  p.setColor(QPalette::Link, t.accent);
  p.setColor(QPalette::LinkVisited, t.accent);
  p.setColor(QPalette::Light, t.field);
  p.setColor(QPalette::Midlight, t.hover);
  p.setColor(QPalette::Mid, t.hairline);
  p.setColor(QPalette::Dark, t.hairline);
  p.setColor(QPalette::Shadow, t.desk);
  for (const auto role : {QPalette::WindowText, QPalette::Text, QPalette::ButtonText}) {
    p.setColor(QPalette::Disabled, role, t.hint);
  }
  return p;
}

QString style_sheet(const Theme& t) {
  QFile file(QStringLiteral(":/lectern/app.qss"));
  if (!file.open(QIODevice::ReadOnly)) return {};
  QString sheet = QString::fromUtf8(file.readAll());
  // Longer names first: "@accent-tint" holds "@accent".
  const std::pair<const char*, QColor> tokens[] = {
      {"@accent-tint", t.accent_tint},
      {"@on-accent", t.on_accent},
      {"@accent", t.accent},
      {"@window", t.window},
      {"@field", t.field},
      {"@desk", t.desk},
      {"@hairline", t.hairline},
      {"@text", t.text},
      {"@secondary", t.secondary},
      {"@hint", t.hint},
      {"@hover", t.hover},
      {"@absent-fill", t.absent_fill},
      {"@absent", t.absent},
      {"@elsewhere", t.elsewhere},
      {"@verified", t.verified},
  };
  for (const auto& [token, colour] : tokens) sheet.replace(QLatin1String(token), colour.name());
  return sheet;
}

}  // namespace

ThemeChoice theme_choice(const QString& name) {
  if (name == QLatin1String("light")) return ThemeChoice::light;
  if (name == QLatin1String("dark")) return ThemeChoice::dark;
  return ThemeChoice::system;
}

QString name(ThemeChoice choice) {
  switch (choice) {
    case ThemeChoice::light: return QStringLiteral("light");
    case ThemeChoice::dark: return QStringLiteral("dark");
    case ThemeChoice::system: break;
  }
  return QStringLiteral("system");
}

const Theme& Theme::light() {
  static const Theme theme = make_light();
  return theme;
}

const Theme& Theme::dark_theme() {
  static const Theme theme = make_dark();
  return theme;
}

const Theme& Theme::current() {
  return QApplication::palette().color(QPalette::Window).lightness() < 128 ? dark_theme() : light();
}

void apply_theme(ThemeChoice choice) {
  // The desktop's own palette is asked once; afterwards the application's palette is ours.
  const QVariant known = qApp->property("lectern_desktop_is_dark");
  if (!known.isValid()) {
    qApp->setProperty("lectern_desktop_is_dark", QApplication::palette().color(QPalette::Window).lightness() < 128);
    QApplication::setStyle(QStyleFactory::create(QStringLiteral("Fusion")));
    QApplication::setFont(interface_font(13));
  }
  const bool dark = choice == ThemeChoice::dark ||
                    (choice == ThemeChoice::system && qApp->property("lectern_desktop_is_dark").toBool());
  const Theme& theme = dark ? Theme::dark_theme() : Theme::light();
  QApplication::setPalette(palette_of(theme));
  qApp->setStyleSheet(style_sheet(theme));
}

QFont interface_font(int pixels, QFont::Weight weight) {
  QFont font = QFontDatabase::systemFont(QFontDatabase::GeneralFont);
  // Without a desktop the "system font" is the fallback of fontconfig; Inter, where it is installed, is what a desktop
  // would have chosen.
  static const QStringList fallbacks = {QStringLiteral("DejaVu Sans"), QStringLiteral("Sans Serif"),
                                        QStringLiteral("Sans"), QStringLiteral("sans-serif"), QString()};
  if (fallbacks.contains(font.family()) && QFontDatabase::hasFamily(QStringLiteral("Inter"))) {
    font.setFamilies({QStringLiteral("Inter"), QStringLiteral("Noto Sans CJK SC")});
  } else {
    font.setFamilies({font.family(), QStringLiteral("Noto Sans CJK SC")});
  }
  font.setPixelSize(pixels);
  font.setWeight(weight);
  font.setHintingPreference(QFont::PreferNoHinting);
  return font;
}

QFont code_font(int pixels) {
  QFont font = QFontDatabase::systemFont(QFontDatabase::FixedFont);
  font.setFamilies({font.family(), QStringLiteral("Noto Sans Mono"), QStringLiteral("Noto Sans Mono CJK SC")});
  font.setStyleHint(QFont::Monospace);
  font.setPixelSize(pixels);
  return font;
}

}  // namespace lectern::ui
